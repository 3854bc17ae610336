//! The key of a sink's rows, where it is not that of their table: where in a row each column of the table's key is.

use serde_json::{Map, Value};

use crate::observe::discovery::table::ObservedTable;
use crate::observe::records::canonical_key;
use crate::observe::request::{PipelineRequest, SinkKeyOf};
use crate::pipeline::Failure;

/// Where the columns of a table's key are, in the order of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::observe) struct SinkKey {
    columns: Vec<(String, Vec<String>)>,
}

impl SinkKey {
    /// The key of this table's rows in the sink, if the user says it.
    ///
    /// # Errors
    /// When it has not a path for each column of the table's key.
    pub(super) fn of(
        request: &PipelineRequest,
        table: &ObservedTable,
    ) -> Result<Option<Self>, Failure> {
        let mut said = request.sink_keys.iter();
        let is_it = |said: &&SinkKeyOf| {
            said.table
                .as_deref()
                .is_none_or(|name| table.is_named(name))
        };
        let Some(said) = said.find(is_it) else {
            return Ok(None);
        };
        if said.paths.len() != table.key.len() {
            return Err(refused(format!(
                "--sink-key has {}, and the key of {} is {}: one path for each of its columns, in this order, with commas between them",
                said.paths.join(", "),
                table.name,
                if table.key.is_empty() {
                    "none".to_owned()
                } else {
                    table.key.join(", ")
                }
            )));
        }
        let paths = said.paths.iter();
        let paths = paths.map(|path| path.split('.').map(str::to_owned).collect());
        Ok(Some(Self {
            columns: table.key.iter().cloned().zip(paths).collect(),
        }))
    }

    /// Where each column is.
    pub(in crate::observe) fn paths(&self) -> impl Iterator<Item = &[String]> {
        self.columns.iter().map(|(_, path)| &**path)
    }

    /// The key of a row in the form of the table's; `None` where a column is not there.
    pub(in crate::observe) fn read(
        &self,
        part: impl Fn(&[String]) -> Option<Value>,
    ) -> Option<String> {
        let columns = self.columns.iter();
        let columns = columns.map(|(column, path)| Some((column.clone(), part(path)?)));
        Some(canonical_key(columns.collect::<Option<Map<_, _>>>()?))
    }
}

/// That keys were said of observed tables alone, once each.
///
/// # Errors
/// Which one was not.
pub(super) fn check(request: &PipelineRequest, tables: &[ObservedTable]) -> Result<(), Failure> {
    for said in &request.sink_keys {
        let of = |table: &&ObservedTable| match &said.table {
            Some(name) => table.is_named(name),
            None => tables.len() == 1,
        };
        let Some(table) = tables.iter().find(of) else {
            return Err(refused(match &said.table {
                Some(name) => format!("--sink-key names table {name}, which is not observed"),
                None => format!(
                    "--sink-key {} does not say of which table, and several are observed: --sink-key TABLE={0}",
                    said.paths.join(",")
                ),
            }));
        };
        let same = request.sink_keys.iter().filter(|other| match &other.table {
            Some(name) => table.is_named(name),
            None => true,
        });
        if same.count() > 1 {
            return Err(refused(format!(
                "--sink-key is given more than once for {}; for a key of several columns, put commas between their paths",
                table.name
            )));
        }
    }
    Ok(())
}

fn refused(why: String) -> Failure {
    Failure::usage(anyhow::anyhow!(why))
}
