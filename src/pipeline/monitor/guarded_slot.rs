//! What PostgreSQL says of a replication slot, and of who reads it.

use std::fmt;

use tokio_postgres::Row;

/// The columns of [`GuardedSlot::from_row`]. The reason of an invalidation is a column from version 17 on.
pub(super) const QUESTION: &str = "SELECT slot_name::text, \
    greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint, \
    greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn), 0)::bigint, \
    greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), sent_lsn), 0)::bigint, \
    restart_lsn::text, confirmed_flush_lsn::text, wal_status, to_jsonb(slot)->>'invalidation_reason', \
    active_pid, application_name, host(client_addr), reply_time::text, state \
    FROM pg_replication_slots slot LEFT JOIN pg_stat_replication ON pid = active_pid \
    WHERE slot_name = ANY($1) OR strpos(slot_name, $2) > 0";

/// A replication slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct GuardedSlot {
    pub(super) name: String,
    /// Bytes of WAL that it holds back; `None` where it has none any more.
    pub(super) held: Option<u64>,
    /// Bytes of WAL that its reader has not confirmed.
    pub(super) unconfirmed: Option<u64>,
    /// Bytes of WAL that were not sent to its reader yet; `None` without one.
    pub(super) unsent: Option<u64>,
    /// The LSN from which on WAL is kept for it.
    pub(super) restart: Option<String>,
    /// The LSN up to which its reader has confirmed.
    pub(super) confirmed: Option<String>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub(super) status: Option<String>,
    /// Why it cannot be used any more, if the server says so.
    pub(super) invalidation: Option<String>,
    /// Who reads it.
    pub(super) reader: Option<SlotReader>,
}

/// The session that reads a slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SlotReader {
    /// Process of its walsender.
    pub(super) pid: i32,
    pub(super) application: Option<String>,
    /// `None` for a socket of the same machine, and where it may not be seen.
    pub(super) address: Option<String>,
    /// When its last reply was sent, on its clock; `None` before the first one, and where it may not be seen.
    pub(super) replied: Option<String>,
    /// `streaming`, for example; `None` where it may not be seen.
    pub(super) state: Option<String>,
}

impl GuardedSlot {
    pub(super) fn from_row(row: &Row) -> Self {
        let bytes = |column| {
            let bytes: Option<i64> = row.get(column);
            bytes.and_then(|bytes| u64::try_from(bytes).ok())
        };
        let pid: Option<i32> = row.get(8);
        Self {
            name: row.get(0),
            held: bytes(1),
            unconfirmed: bytes(2),
            unsent: bytes(3),
            restart: row.get(4),
            confirmed: row.get(5),
            status: row.get(6),
            invalidation: row.get(7),
            reader: pid.map(|pid| SlotReader {
                pid,
                application: row.get(9),
                address: row.get(10),
                replied: row.get(11),
                state: row.get(12),
            }),
        }
    }

    /// Whether it can never be read again.
    pub(super) fn is_lost(&self) -> bool {
        self.status.as_deref() == Some("lost") || self.invalidation.is_some()
    }

    /// Whether the server may remove WAL that it needs.
    pub(super) fn is_unreserved(&self) -> bool {
        self.status.as_deref() == Some("unreserved")
    }

    /// From where on WAL is kept for it, and how much that is.
    pub(super) fn kept_wal(&self) -> String {
        let from = self.restart.as_deref().unwrap_or("an unknown position");
        match self.held {
            Some(held) => format!("WAL from {from} on ({})", mib(held)),
            None => format!("WAL from {from} on"),
        }
    }
}

impl SlotReader {
    /// Whether this user may not see when it replied.
    pub(super) fn is_hidden(&self) -> bool {
        self.state.is_none()
    }
}

impl fmt::Display for SlotReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "walsender process {}", self.pid)?;
        if let Some(application) = self.application.as_ref().filter(|name| !name.is_empty()) {
            write!(f, ", application \"{application}\"")?;
        }
        if let Some(address) = &self.address {
            write!(f, ", from {address}")?;
        }
        Ok(())
    }
}

/// Bytes as a user reads them.
pub(super) fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
