//! Whether the sink's rows have the keys of their changes, by table. Where none of many writes is of a change that is known, and its
//! key has another form, they have others. With the same form, the sink may be behind: then as many changes have to be missing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

/// Writes in the sink, and changes expected there, before their keys are judged.
const ENOUGH: u64 = 20;

/// Keys of the sink that are not those of the changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherKeys {
    /// The table.
    pub table: Arc<str>,
    /// A key as the sink has it.
    pub in_sink: Arc<str>,
    /// A key as records have it.
    pub in_record: Arc<str>,
}

/// Names of a key's columns, each with its value's type; of a single value its type alone.
fn form(key: &str) -> BTreeMap<String, &'static str> {
    let kind = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    match serde_json::from_str(key) {
        Ok(Value::Object(columns)) => {
            let columns = columns.iter();
            columns
                .map(|(name, value)| (name.clone(), kind(value)))
                .collect()
        }
        Ok(single) => BTreeMap::from([(String::new(), kind(&single))]),
        Err(_) => BTreeMap::new(),
    }
}

/// What was seen of keys so far, by table.
#[derive(Debug, Default)]
pub(super) struct SinkKeys {
    tables: HashMap<Arc<str>, TableKeys>,
}

/// The keys of a table's rows.
#[derive(Debug, Default)]
struct TableKeys {
    expected: u64,
    /// Key of the last change that was expected.
    last_expected: Option<Arc<str>>,
    /// Writes that were of no change when they came.
    early: u64,
    last_early: Option<Arc<str>>,
    /// Changes that were waited for long enough.
    unseen: u64,
    /// Whether there is nothing more to find out.
    is_settled: bool,
}

impl SinkKeys {
    fn unsettled(&mut self, table: &Arc<str>) -> Option<&mut TableKeys> {
        let keys = self.tables.entry(Arc::clone(table)).or_default();
        (!keys.is_settled).then_some(keys)
    }

    /// A change waits for a write of this row.
    pub(super) fn expected(&mut self, (table, key): &(Arc<str>, Arc<str>)) {
        if let Some(keys) = self.unsettled(table) {
            keys.expected += 1;
            keys.last_expected = Some(Arc::clone(key));
        }
    }

    /// This row was written, and no change waits for it.
    pub(super) fn early(&mut self, (table, key): &(Arc<str>, Arc<str>)) {
        if let Some(keys) = self.unsettled(table) {
            keys.early += 1;
            keys.last_early = Some(Arc::clone(key));
        }
    }

    /// A change of this table is waited for no longer.
    pub(super) fn unseen(&mut self, table: &Arc<str>) {
        if let Some(keys) = self.unsettled(table) {
            keys.unseen += 1;
        }
    }

    /// A write was of a change.
    pub(super) fn matched(&mut self, table: &Arc<str>) {
        if let Some(keys) = self.unsettled(table) {
            keys.is_settled = true;
        }
    }

    /// The keys of a table, once, if they are others.
    pub(super) fn take_other(&mut self) -> Option<OtherKeys> {
        let mut tables = self.tables.iter_mut();
        tables.find_map(|(table, keys)| {
            let (in_sink, in_record) = keys.others()?;
            keys.is_settled = true;
            Some(OtherKeys {
                table: Arc::clone(table),
                in_sink,
                in_record,
            })
        })
    }
}

impl TableKeys {
    /// A key of the sink and one of a change, if they are others.
    fn others(&self) -> Option<(Arc<str>, Arc<str>)> {
        if self.is_settled || self.early < ENOUGH || self.expected < ENOUGH {
            return None;
        }
        let in_sink = self.last_early.clone()?;
        let in_record = self.last_expected.clone()?;
        let are_others = form(&in_sink) != form(&in_record) || self.unseen >= ENOUGH;
        are_others.then_some((in_sink, in_record))
    }
}
