//! The columns that identify the rows of a sink's table in PostgreSQL.

use tokio_postgres::Client;

use super::key::SinkKey;
use crate::observe::discovery::table::ObservedTable;
use crate::pipeline::Failure;

/// The columns of a table of the sink that are the key of its table of the source.
#[derive(Debug, Clone, Default)]
pub(in crate::observe) struct KeyColumns {
    /// In the order of that key. Empty: its primary key has the same names.
    pub(in crate::observe) names: Vec<String>,
    /// Whether a deletion has them.
    pub(in crate::observe) are_in_deletions: bool,
}

/// The columns that are said, or its primary key.
///
/// # Errors
/// When there is no such column, or the primary key has other columns than the source's.
pub(super) async fn columns(
    client: &Client,
    place: &ObservedTable,
    of: &ObservedTable,
    said: Option<&SinkKey>,
) -> Result<KeyColumns, Failure> {
    let Some(said) = said else {
        check_names(place, of)?;
        return Ok(KeyColumns {
            names: Vec::new(),
            are_in_deletions: true,
        });
    };
    let question = "SELECT a.attname::text, c.relreplident = 'f' OR EXISTS ( \
          SELECT FROM pg_index i WHERE i.indrelid = c.oid AND a.attnum = ANY (i.indkey::int2[]) \
            AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END) \
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
    let rows = client
        .query(question, &[&place.schema, &place.table])
        .await?;
    let existing: Vec<(String, bool)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut found = KeyColumns {
        names: Vec::new(),
        are_in_deletions: true,
    };
    for path in said.paths() {
        let name = path.join(".");
        let Some((_, is_identity)) = existing.iter().find(|(known, _)| *known == name) else {
            let known: Vec<_> = existing.iter().map(|(name, _)| &**name).collect();
            return Err(refused(format!(
                "table {} of the sink has no column {name} (--sink-key); it has {}",
                place.name,
                known.join(", ")
            )));
        };
        found.are_in_deletions &= is_identity;
        found.names.push(name);
    }
    Ok(found)
}

/// That the primary keys of both tables have columns of the same names. A table without one may have an index in its place.
fn check_names(place: &ObservedTable, of: &ObservedTable) -> Result<(), Failure> {
    let names = |key: &[String]| {
        let mut names: Vec<_> = key.iter().map(|name| name.to_ascii_lowercase()).collect();
        names.sort_unstable();
        names
    };
    if place.key.is_empty() || of.key.is_empty() || names(&place.key) == names(&of.key) {
        return Ok(());
    }
    Err(refused(format!(
        "the key of table {} of the sink is {}, and that of {} is {}: say which columns of the sink's are that key (--sink-key {}=COLUMN{})",
        place.name,
        place.key.join(", "),
        of.name,
        of.key.join(", "),
        of.name,
        ",COLUMN".repeat(of.key.len() - 1)
    )))
}

fn refused(why: String) -> Failure {
    Failure::usage(anyhow::anyhow!(why))
}
