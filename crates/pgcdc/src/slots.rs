//! Replication slots: look and drop.

use pgwire_replication::{PgWireError, ReplicationClient};

use super::config::Server;
use super::{Lsn, ReaderError, SlotName, TableName};

/// A logical replication slot as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotState {
    /// Name.
    pub name: String,
    /// Its output plugin, such as `pgoutput`.
    pub plugin: String,
    /// Database.
    pub database: String,
    /// The server process that reads from it now.
    pub active_pid: Option<u32>,
    /// Whether it goes away with its connection.
    pub temporary: bool,
    /// Up to where its reader is done.
    pub confirmed: Option<Lsn>,
    /// Bytes of WAL that it holds back.
    pub retained_bytes: Option<u64>,
    /// `reserved`, `extended`, `unreserved`, or `lost`: then it can never be read from again.
    pub wal_status: Option<String>,
}

/// The server's logical slots, by name.
///
/// # Errors
/// When the server does not answer, or refuses.
pub async fn list_slots(server: &Server) -> Result<Vec<SlotState>, ReaderError> {
    let rows = ask(
        server,
        "SELECT slot_name, plugin, database, active_pid, temporary, confirmed_flush_lsn, \
         pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint, wal_status \
         FROM pg_replication_slots WHERE slot_type = 'logical' ORDER BY slot_name",
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

/// Drops a slot. One that is not there is dropped already; one that is being read from is an error.
///
/// # Errors
/// When the server does not answer, or refuses.
pub async fn drop_slot(server: &Server, name: &SlotName) -> Result<(), ReaderError> {
    let question = format!(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{name}'"
    );
    ask(server, &question).await.map(drop)
}

/// Where the server's WAL ends now.
///
/// # Errors
/// When the server does not answer, or refuses.
pub async fn current_lsn(server: &Server) -> Result<Lsn, ReaderError> {
    let rows = ask(server, "SELECT pg_current_wal_lsn()").await?;
    let text = rows.first().and_then(|row| row.first().cloned().flatten());
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| ReaderError::Server {
            server: server.address(),
            reason: "it did not say where its WAL ends".to_owned(),
        })
}

/// Makes a publication of these tables when there is none of this name; true when it was made. One that is there must
/// have them all.
///
/// # Errors
/// When the server does not answer, or refuses, or the publication that is there lacks a table.
pub async fn ensure_publication(
    server: &Server,
    name: &str,
    tables: &[TableName],
) -> Result<bool, ReaderError> {
    let literal = name.replace('\'', "''");
    let there = format!("SELECT 1 FROM pg_publication WHERE pubname = '{literal}'");
    if !ask(server, &there).await?.is_empty() {
        return has_tables(server, name, tables).await.map(|()| false);
    }
    let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let tables: Vec<_> = tables
        .iter()
        .map(|table| format!("{}.{}", quote(&table.schema), quote(&table.name)))
        .collect();
    let make = format!(
        "CREATE PUBLICATION {} FOR TABLE {}",
        quote(name),
        tables.join(", ")
    );
    ask(server, &make).await.map(|_| true)
}

async fn has_tables(server: &Server, name: &str, tables: &[TableName]) -> Result<(), ReaderError> {
    let there = published_tables(server, &[name]).await?;
    match tables.iter().find(|table| !there.contains(table)) {
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
        .map(|name| format!("'{}'", name.as_ref().replace('\'', "''")))
        .collect();
    let question = format!(
        "SELECT DISTINCT schemaname, tablename FROM pg_publication_tables WHERE pubname IN ({}) ORDER BY 1, 2",
        literals.join(", ")
    );
    let rows = ask(server, &question).await?;
    let table = |row: Vec<Option<String>>| {
        let mut row = row.into_iter().flatten();
        Some(TableName::new(row.next()?, row.next()?))
    };
    Ok(rows.into_iter().filter_map(table).collect())
}

/// Drops a publication; one that is not there is dropped already.
///
/// # Errors
/// When the server does not answer, or refuses.
pub async fn drop_publication(server: &Server, name: &str) -> Result<(), ReaderError> {
    let name = name.replace('"', "\"\"");
    ask(server, &format!("DROP PUBLICATION IF EXISTS \"{name}\""))
        .await
        .map(drop)
}

async fn ask(server: &Server, sql: &str) -> Result<Vec<Vec<Option<String>>>, ReaderError> {
    let sorted = |error: PgWireError| ReaderError::of(&error, &server.address(), &server.user);
    let mut client = ReplicationClient::connect_gated(server.session())
        .await
        .map_err(sorted)?;
    let rows = client.simple_query(sql).await.map_err(sorted)?;
    let text = |value: Option<bytes::Bytes>| {
        value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(rows
        .into_iter()
        .map(|row| row.into_iter().map(text).collect())
        .collect())
}
