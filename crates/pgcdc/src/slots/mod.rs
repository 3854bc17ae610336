//! Administration of replication slots: list, drop.

pub(crate) mod creation;
pub(crate) mod monitor;

use crate::server::Server;
use crate::server::session::Session;
use crate::wire::TextRows;
use crate::{Lsn, ReaderError, SlotName};

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

pub(super) async fn query(server: &Server, sql: &str) -> Result<TextRows, ReaderError> {
    Session::open(server).await?.query(sql).await
}
