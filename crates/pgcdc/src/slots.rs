//! Administration of replication slots and publications: list, create, drop.

use postgres_protocol::escape::{escape_identifier, escape_literal};

use super::server::Server;
use super::session::Session;
use super::wire::TextRows;
use super::{Lsn, ReaderError, SlotName, TableName};

/// The end of the WAL that can be read, on a primary and on a standby.
pub(super) const WAL_END: &str =
    "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END";

/// State of a logical replication slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotState {
    /// Name.
    pub name: String,
    /// Its output plugin, such as `pgoutput`.
    pub plugin: String,
    /// Database.
    pub database: String,
    /// The server process that streams from it now.
    pub active_pid: Option<u32>,
    /// Whether the server drops it with its connection.
    pub temporary: bool,
    /// Last position that its reader has acknowledged (`confirmed_flush_lsn`).
    pub confirmed: Option<Lsn>,
    /// Bytes of WAL that it retains.
    pub retained_bytes: Option<u64>,
    /// `reserved`, `extended`, `unreserved`, or `lost`: a lost slot can no longer be read.
    pub wal_status: Option<String>,
}

/// The server's logical slots, by name.
///
/// # Errors
/// When the server does not answer, or refuses.
pub async fn list_slots(server: &Server) -> Result<Vec<SlotState>, ReaderError> {
    let rows = query(
        server,
        &format!(
            "SELECT slot_name, plugin, database, active_pid, temporary, confirmed_flush_lsn, \
             pg_wal_lsn_diff({WAL_END}, restart_lsn)::bigint, wal_status \
             FROM pg_replication_slots WHERE slot_type = 'logical' ORDER BY slot_name"
        ),
    )
    .await?;
    let state = |row: &Vec<Option<String>>| {
        let text = |index: usize| row.get(index).cloned().flatten();
        SlotState {
            name: text(0).unwrap_or_default(),
            plugin: text(1).unwrap_or_default(),
            database: text(2).unwrap_or_default(),
            active_pid: text(3).and_then(|pid| pid.parse().ok()),
            temporary: text(4).as_deref() == Some("t"),
            confirmed: text(5).and_then(|lsn| lsn.parse().ok()),
            retained_bytes: text(6).and_then(|bytes| bytes.parse().ok()),
            wal_status: text(7),
        }
    };
    Ok(rows.iter().map(state).collect())
}

/// Drops a slot. A slot that does not exist is no error; one that is in use is.
///
/// # Errors
/// When the server does not answer, or refuses.
pub async fn drop_slot(server: &Server, name: &SlotName) -> Result<(), ReaderError> {
    let sql = format!(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{name}'"
    );
    query(server, &sql).await.map(drop)
}

/// The current end of the server's WAL; on a standby, of what it has replayed.
///
/// # Errors
/// When the server does not answer, or refuses.
pub async fn current_lsn(server: &Server) -> Result<Lsn, ReaderError> {
    let rows = query(server, &format!("SELECT {WAL_END}")).await?;
    let text = rows.first().and_then(|row| row.first().cloned().flatten());
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| ReaderError::Protocol {
            server: server.address(),
            reason: "it did not say where its WAL ends".to_owned(),
        })
}

/// Creates a publication of these tables if none of this name exists; returns true when it was created. An existing one must
/// publish them all.
///
/// # Errors
/// When the server does not answer, or refuses, or the existing publication lacks a table.
pub async fn ensure_publication(
    server: &Server,
    name: &str,
    tables: &[TableName],
) -> Result<bool, ReaderError> {
    let exists = format!(
        "SELECT 1 FROM pg_publication WHERE pubname = {}",
        escape_literal(name)
    );
    if !query(server, &exists).await?.is_empty() {
        return require_tables(server, name, tables).await.map(|()| false);
    }
    let tables: Vec<_> = tables
        .iter()
        .map(|table| {
            format!(
                "{}.{}",
                escape_identifier(&table.schema),
                escape_identifier(&table.name)
            )
        })
        .collect();
    let create = format!(
        "CREATE PUBLICATION {} FOR TABLE {}",
        escape_identifier(name),
        tables.join(", ")
    );
    query(server, &create).await.map(|_| true)
}

async fn require_tables(
    server: &Server,
    name: &str,
    tables: &[TableName],
) -> Result<(), ReaderError> {
    let published = published_tables(server, &[name]).await?;
    match tables.iter().find(|table| !published.contains(table)) {
        Some(table) => Err(ReaderError::NotPublished {
            publication: name.to_owned(),
            table: table.to_string(),
        }),
        None => Ok(()),
    }
}

/// The tables of these publications, by name.
///
/// # Errors
/// When the server does not answer, or refuses.
pub async fn published_tables(
    server: &Server,
    publications: &[impl AsRef<str>],
) -> Result<Vec<TableName>, ReaderError> {
    let literals: Vec<_> = publications
        .iter()
        .map(|name| escape_literal(name.as_ref()))
        .collect();
    let sql = format!(
        "SELECT DISTINCT schemaname, tablename FROM pg_publication_tables WHERE pubname IN ({}) ORDER BY 1, 2",
        literals.join(", ")
    );
    let rows = query(server, &sql).await?;
    let table = |row: Vec<Option<String>>| {
        let mut row = row.into_iter().flatten();
        Some(TableName::new(row.next()?, row.next()?))
    };
    Ok(rows.into_iter().filter_map(table).collect())
}

/// Drops a publication. One that does not exist is no error.
///
/// # Errors
/// When the server does not answer, or refuses.
pub async fn drop_publication(server: &Server, name: &str) -> Result<(), ReaderError> {
    let name = escape_identifier(name);
    query(server, &format!("DROP PUBLICATION IF EXISTS {name}"))
        .await
        .map(drop)
}

async fn query(server: &Server, sql: &str) -> Result<TextRows, ReaderError> {
    Session::open(server).await?.query(sql).await
}
