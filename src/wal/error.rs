//! Why the reader cannot start or go on.

use pgwire_replication::PgWireError;

use super::pgoutput::DecodeError;
use super::{InvalidSlotName, Lsn};

/// Why the reader cannot start or go on.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReaderError {
    /// Nobody answers, or the connection broke.
    #[error("WAL reader: the connection to PostgreSQL at {server} failed: {reason}")]
    Connection {
        /// Host and port.
        server: String,
        /// The system's words.
        reason: String,
    },
    /// User or password are wrong, or the user may not replicate.
    #[error(
        "WAL reader: PostgreSQL at {server} refused user \"{user}\": {reason}; check the password, and that the role has REPLICATION"
    )]
    Refused {
        /// Host and port.
        server: String,
        /// User.
        user: String,
        /// The server's words.
        reason: String,
    },
    /// `wal_level` is below logical.
    #[error(
        "WAL reader: PostgreSQL at {server} has wal_level below logical; set wal_level = logical in postgresql.conf and restart it"
    )]
    WalLevel {
        /// Host and port.
        server: String,
    },
    /// Every slot is taken.
    #[error(
        "WAL reader: PostgreSQL at {server} has no free replication slot or sender ({reason}); drop a slot that is no longer used (\"cdc-bench cleanup\" drops ours), or raise max_replication_slots and max_wal_senders"
    )]
    NoFreeSlot {
        /// Host and port.
        server: String,
        /// The server's words.
        reason: String,
    },
    /// Anything else the server said.
    #[error("WAL reader: PostgreSQL at {server} refused to stream: {reason}")]
    Server {
        /// Host and port.
        server: String,
        /// The server's words.
        reason: String,
    },
    /// A temporary slot went away with its connection: what came meanwhile is not to be had any more.
    #[error(
        "WAL reader: the stream from {server} broke at {last} ({reason}), and its temporary slot is gone with it; a named slot would go on from there"
    )]
    TemporarySlotLost {
        /// Host and port.
        server: String,
        /// Last position handled.
        last: Lsn,
        /// Why.
        reason: String,
    },
    /// The stream holds something we do not understand.
    #[error("WAL reader: {cause} (at {lsn})")]
    Decode {
        /// What.
        cause: DecodeError,
        /// Where.
        lsn: Lsn,
    },
    /// A row came before its table's description.
    #[error("WAL reader: a row of relation {oid} came before its description (at {lsn})")]
    UnknownRelation {
        /// OID.
        oid: u32,
        /// Where.
        lsn: Lsn,
    },
    /// Not a name for a slot.
    #[error(transparent)]
    SlotName(#[from] InvalidSlotName),
    /// The thread could not be made, or ended unexpectedly.
    #[error("WAL reader: its thread {0}")]
    Thread(String),
}

impl ReaderError {
    /// Sorts what the protocol library reports.
    pub(super) fn of(error: &PgWireError, server: &str, user: &str) -> Self {
        let (server, reason) = (server.to_owned(), error.to_string());
        let says = |text: &str| reason.contains(text);
        if says("wal_level") {
            return Self::WalLevel { server };
        }
        // SQLSTATE 53400 (all slots in use) and 53300 (all senders in use).
        if says("all replication slots are in use")
            || says("max_wal_senders")
            || says("53400")
            || says("53300")
        {
            return Self::NoFreeSlot { server, reason };
        }
        if error.is_auth()
            || says("28P01")
            || says("28000")
            || says("password authentication failed")
            || says("permission denied to")
        {
            return Self::Refused {
                server,
                user: user.to_owned(),
                reason,
            };
        }
        if error.is_io() || error.is_tls() {
            return Self::Connection { server, reason };
        }
        Self::Server { server, reason }
    }
}
