//! What a publication does with the outbox: a run needs every inserted row of it, whole.

use std::fmt;

use cdc_bench_model::event::{SCHEMA, TABLE};
use postgres_protocol::escape::escape_identifier;
use tokio_postgres::{Client, Row};

use super::checks::COLUMNS;
use super::error::{SourceError, refused};

/// A publication of the source database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutboxPublication {
    /// Its name.
    pub(crate) name: String,
    /// What keeps inserted rows of the outbox, or parts of them, from its subscribers; `None`: nothing does.
    pub(crate) gap: Option<PublicationGap>,
}

/// Why a publication does not publish the outbox as it is. Its text is the end of a sentence about the publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PublicationGap {
    /// The table is not among its tables.
    Table,
    /// Inserts are not among its operations: those that are.
    Inserts(Vec<&'static str>),
    /// A row filter, which rows of the load may not pass.
    RowFilter(String),
    /// A column list without columns that are needed.
    Columns(Vec<&'static str>),
}

impl fmt::Display for PublicationGap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table => write!(f, "does not have the table {SCHEMA}.{TABLE}"),
            Self::Inserts(operations) => write!(
                f,
                "does not publish inserts (publish = '{}')",
                operations.join(", ")
            ),
            Self::RowFilter(filter) => {
                write!(f, "filters the rows of {SCHEMA}.{TABLE}: WHERE {filter}")
            }
            Self::Columns(missing) => write!(
                f,
                "leaves out the column(s) {} of {SCHEMA}.{TABLE}",
                missing.join(", ")
            ),
        }
    }
}

impl PublicationGap {
    /// The statements for the owner of the publication.
    pub(crate) fn closed_by(&self, publication: &str) -> String {
        let publication = escape_identifier(publication);
        let alter = format!("ALTER PUBLICATION {publication}");
        match self {
            Self::Table => format!("{alter} ADD TABLE {SCHEMA}.{TABLE}"),
            Self::Inserts(operations) => {
                let operations: Vec<_> = std::iter::once("insert")
                    .chain(operations.iter().copied())
                    .collect();
                format!("{alter} SET (publish = '{}')", operations.join(", "))
            }
            Self::RowFilter(_) | Self::Columns(_) => format!(
                "{alter} DROP TABLE {SCHEMA}.{TABLE} and {alter} ADD TABLE {SCHEMA}.{TABLE}"
            ),
        }
    }
}

/// Row filters and column lists are of PostgreSQL 15 and later: earlier versions have no such columns in the view.
const QUESTION: &str = "SELECT p.pubname::text, p.puballtables AND to_regclass($3) IS NULL, t.tablename IS NOT NULL, \
    p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, to_jsonb(t) ->> 'rowfilter', \
    ARRAY(SELECT jsonb_array_elements_text(to_jsonb(t) -> 'attnames')) \
    FROM pg_publication p LEFT JOIN pg_publication_tables t \
    ON t.pubname = p.pubname AND t.schemaname = $1 AND t.tablename = $2";

/// Every publication of the database.
///
/// # Errors
/// When the server refuses.
pub(crate) async fn outbox_publications(
    client: &Client,
) -> Result<Vec<OutboxPublication>, SourceError> {
    let table = format!("{SCHEMA}.{TABLE}");
    let rows = client.query(QUESTION, &[&SCHEMA, &TABLE, &table]).await;
    let rows = rows.map_err(refused("read its catalogues"))?;
    Ok(rows.iter().map(publication).collect())
}

/// Checks that a publication, if it is there, publishes the outbox as it is.
///
/// # Errors
/// [`SourceError::Publication`], or when the server refuses.
pub(crate) async fn check_publication(client: &Client, name: &str) -> Result<(), SourceError> {
    let publications = outbox_publications(client).await?;
    let mut gaps = publications.into_iter().filter(|found| found.name == name);
    match gaps.next().and_then(|found| found.gap) {
        None => Ok(()),
        Some(gap) => Err(SourceError::Publication {
            name: name.to_owned(),
            closed_by: gap.closed_by(name),
            gap: gap.to_string(),
        }),
    }
}

/// A row of [`QUESTION`].
fn publication(row: &Row) -> OutboxPublication {
    let (will_have_table, has_table): (bool, bool) = (row.get(1), row.get(2));
    let operations = ["insert", "update", "delete", "truncate"].into_iter();
    let operations: Vec<_> = operations
        .zip(3..)
        .filter(|(_, column)| row.get::<usize, bool>(*column))
        .map(|(operation, _)| operation)
        .collect();
    let columns: Vec<String> = row.get(8);
    OutboxPublication {
        name: row.get(0),
        gap: gap(
            will_have_table || has_table,
            operations,
            row.get(7),
            &columns,
        ),
    }
}

/// The first gap. No columns: all of them.
fn gap(
    has_table: bool,
    operations: Vec<&'static str>,
    row_filter: Option<String>,
    columns: &[String],
) -> Option<PublicationGap> {
    if !has_table {
        return Some(PublicationGap::Table);
    }
    if !operations.contains(&"insert") {
        return Some(PublicationGap::Inserts(operations));
    }
    if let Some(filter) = row_filter {
        return Some(PublicationGap::RowFilter(filter));
    }
    let is_missing = |name: &&str| !columns.iter().any(|column| column == name);
    let missing: Vec<_> = COLUMNS.into_iter().filter(is_missing).collect();
    (!columns.is_empty() && !missing.is_empty()).then_some(PublicationGap::Columns(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(
        has_table: bool,
        operations: &[&'static str],
        row_filter: Option<&str>,
        columns: &[&str],
    ) -> Option<(String, String)> {
        let columns: Vec<_> = columns.iter().map(|name| (*name).to_owned()).collect();
        let filter = row_filter.map(str::to_owned);
        let gap = gap(has_table, operations.to_vec(), filter, &columns)?;
        Some((gap.to_string(), gap.closed_by("p")))
    }

    #[test]
    fn a_publication_has_to_publish_every_insert_of_the_outbox_whole() {
        let all = ["insert", "update", "delete", "truncate"];
        for columns in [&[][..], &COLUMNS] {
            assert_eq!(closed(true, &all, None, columns), None);
            assert_eq!(closed(true, &["insert"], None, columns), None);
        }
        for (gap, says, statement) in [
            (
                closed(false, &all, None, &[]),
                "activity.event_outbox",
                "ADD TABLE",
            ),
            (
                closed(true, &["update", "delete"], None, &[]),
                "inserts",
                "SET (publish = 'insert, update, delete')",
            ),
            (
                closed(true, &[], None, &[]),
                "inserts",
                "SET (publish = 'insert')",
            ),
            (
                closed(true, &all, Some("(seq < 10)"), &COLUMNS),
                "WHERE (seq < 10)",
                "DROP TABLE",
            ),
            (
                closed(true, &all, None, &COLUMNS[1..]),
                "column(s) id",
                "DROP TABLE",
            ),
        ] {
            let (text, advice) = gap.unwrap();
            assert!(text.contains(says), "{text}");
            assert!(advice.contains(statement), "{advice}");
        }
    }
}
