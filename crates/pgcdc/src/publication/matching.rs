//! The tables that match patterns.

use std::collections::BTreeSet;

use postgres_protocol::escape::escape_literal;

use super::error::PublicationError;
use super::warning::PublicationWarning;
use crate::server::Server;
use crate::slots::query;
use crate::{ReaderError, TableName, TablePattern};

/// Tables that may match: neither the system's nor temporary ones.
const TABLES: &str = "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' \
      AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%'";

/// A table that matches.
struct Match {
    table: TableName,
    oid: u32,
    /// The tables that it is a partition of, of every level, and itself.
    ancestors: BTreeSet<u32>,
    is_unlogged: bool,
}

/// The tables that are asked for: those that are named, whether they are there or not, and those that match a pattern now. A
/// partition is left out that matches beside the table that it is a partition of, and, with a warning, an unlogged table.
///
/// # Errors
/// When nothing matches a pattern.
pub(super) async fn resolve(
    server: &Server,
    patterns: &[TablePattern],
    warnings: &mut Vec<PublicationWarning>,
) -> Result<Vec<TableName>, PublicationError> {
    let mut tables = Vec::new();
    for pattern in patterns {
        if let Some(table) = pattern.table() {
            tables.push(table);
            continue;
        }
        let matches = matches(server, pattern).await?;
        let oids: BTreeSet<_> = matches.iter().map(|found| found.oid).collect();
        let before = tables.len();
        for found in matches {
            let is_below = found
                .ancestors
                .iter()
                .any(|oid| *oid != found.oid && oids.contains(oid));
            if found.is_unlogged {
                warnings.push(PublicationWarning::Unlogged {
                    table: found.table,
                    pattern: pattern.clone(),
                });
            } else if !is_below {
                tables.push(found.table);
            }
        }
        if tables.len() == before {
            return Err(PublicationError::NoMatch {
                pattern: pattern.clone(),
                instead: similar(server, pattern).await?,
            });
        }
    }
    Ok(tables)
}

async fn matches(server: &Server, pattern: &TablePattern) -> Result<Vec<Match>, ReaderError> {
    let (schema, name) = (pattern.schema.to_like(), pattern.name.to_like());
    let sql = format!(
        "SELECT n.nspname, c.relname, c.oid, CASE c.relpersistence WHEN 'u' THEN 't' ELSE 'f' END, \
           (SELECT string_agg(a.relid::oid::text, ',') FROM pg_partition_ancestors(c.oid) a (relid)) \
         FROM {TABLES} AND n.nspname LIKE {} AND c.relname LIKE {} ORDER BY n.nspname, c.relname",
        escape_literal(&schema),
        escape_literal(&name)
    );
    let rows = query(server, &sql).await?;
    let read = |row: &Vec<Option<String>>| {
        let text = |index: usize| row.get(index)?.as_deref();
        let ancestors = text(4).unwrap_or_default().split(',');
        Some(Match {
            table: TableName::new(text(0)?, text(1)?),
            oid: text(2)?.parse().ok()?,
            is_unlogged: text(3)? == "t",
            ancestors: ancestors.filter_map(|oid| oid.parse().ok()).collect(),
        })
    };
    let found = rows.iter().map(|row| {
        read(row).ok_or_else(|| ReaderError::Protocol {
            server: server.address(),
            reason: format!("the catalogue's answer is not as expected: {row:?}"),
        })
    });
    found.collect()
}

/// Tables that match in another schema, case or spelling, those of the schema first.
async fn similar(server: &Server, pattern: &TablePattern) -> Result<Vec<TableName>, ReaderError> {
    let sql = format!(
        "SELECT n.nspname, c.relname FROM {TABLES} AND c.relpersistence = 'p' \
           AND translate(lower(c.relname), ' -_', '') LIKE {} \
         ORDER BY n.nspname NOT LIKE {}, n.nspname, c.relname LIMIT 5",
        escape_literal(&pattern.name.to_similar_like()),
        escape_literal(&pattern.schema.to_like())
    );
    let rows = query(server, &sql).await?;
    let table = |row: Vec<Option<String>>| {
        let mut row = row.into_iter().flatten();
        Some(TableName::new(row.next()?, row.next()?))
    };
    Ok(rows.into_iter().filter_map(table).collect())
}
