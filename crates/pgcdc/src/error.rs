//! Errors of the reader.

use pgwire_replication::PgWireError;

use super::pgoutput::DecodeError;
use super::{InvalidSlotName, Lsn, SlotName};

/// Why a reader cannot start or continue.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReaderError {
    /// The server does not answer, or the connection broke.
    #[error("WAL reader: the connection to PostgreSQL at {server} failed: {reason}")]
    Connection {
        /// Host and port.
        server: String,
        /// The message of the operating system.
        reason: String,
    },
    /// User or password are wrong, or the user lacks `REPLICATION`.
    #[error(
        "WAL reader: PostgreSQL at {server} refused user \"{user}\": {reason}; check the password, and that the role has REPLICATION"
    )]
    Refused {
        /// Host and port.
        server: String,
        /// User.
        user: String,
        /// The message of the server.
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
    /// Every slot or sender of the server is in use.
    #[error(
        "WAL reader: PostgreSQL at {server} has no free replication slot or sender ({reason}); drop a slot that is no longer used (SELECT pg_drop_replication_slot('NAME')), or raise max_replication_slots and max_wal_senders"
    )]
    NoFreeSlot {
        /// Host and port.
        server: String,
        /// The message of the server.
        reason: String,
    },
    /// Any other error of the server.
    #[error("WAL reader: PostgreSQL at {server} refused to stream: {reason}")]
    Server {
        /// Host and port.
        server: String,
        /// The message of the server.
        reason: String,
    },
    /// The connection broke, and the server dropped the temporary slot with it: later changes cannot be read.
    #[error(
        "WAL reader: the stream from {server} broke at {last} ({reason}), and its temporary slot is gone with it; a named slot would go on from there"
    )]
    TemporarySlotLost {
        /// Host and port.
        server: String,
        /// Position after the last transaction received.
        last: Lsn,
        /// Why the connection broke.
        reason: String,
    },
    /// A message of the stream cannot be decoded.
    #[error("WAL reader: {cause} (at {lsn})")]
    Decode {
        /// Why.
        cause: DecodeError,
        /// Its position.
        lsn: Lsn,
    },
    /// A row came before its table's description.
    #[error("WAL reader: a row of relation {oid} came before its description (at {lsn})")]
    UnknownRelation {
        /// OID.
        oid: u32,
        /// Its position.
        lsn: Lsn,
    },
    /// A change came outside of any transaction.
    #[error("WAL reader: a change came outside of a transaction (at {lsn})")]
    NoTransaction {
        /// Its position.
        lsn: Lsn,
    },
    /// A publication does not exist.
    #[error(
        "WAL reader: database \"{database}\" at {server} has no publication \"{publication}\": CREATE PUBLICATION \"{publication}\" FOR TABLE ..."
    )]
    NoPublication {
        /// Host and port.
        server: String,
        /// Database.
        database: String,
        /// The publication.
        publication: String,
    },
    /// A publication lacks a table.
    #[error(
        "publication \"{publication}\" does not have {table}: ALTER PUBLICATION \"{publication}\" ADD TABLE {table}, or name another publication"
    )]
    NotPublished {
        /// The publication.
        publication: String,
        /// Schema and table.
        table: String,
    },
    /// The stream broke within a transaction, and the server did not send that transaction again: another reader has advanced
    /// the slot.
    #[error(
        "WAL reader: the transaction that commits at {wanted} was cut off, and the stream goes on with the one at {found}: another reader has moved the slot, and the rest of the first is not to be had any more"
    )]
    Gap {
        /// Commit position of the interrupted transaction.
        wanted: Lsn,
        /// Commit position of the transaction that came instead.
        found: Lsn,
    },
    /// Between two connections of this reader, another one has advanced the slot past what this one has received.
    #[error(
        "WAL reader: slot \"{slot}\" at {server} stands at {stands}, and this reader has acknowledged no more than {ours}: another reader has moved it, and what lies between is not to be had any more"
    )]
    SlotMoved {
        /// Host and port.
        server: String,
        /// Slot.
        slot: SlotName,
        /// Last position that this reader acknowledged.
        ours: Lsn,
        /// Position of the slot now.
        stands: Lsn,
    },
    /// The slot retains more WAL than allowed.
    #[error(
        "WAL reader: slot \"{slot}\" at {server} holds back {retained} bytes of WAL, and {limit} are allowed; it goes on doing so until it is read further or dropped: SELECT pg_drop_replication_slot('{slot}')"
    )]
    RetainedWal {
        /// Host and port.
        server: String,
        /// Slot.
        slot: SlotName,
        /// Bytes retained.
        retained: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The checkpoint cannot be read or written.
    #[error("WAL reader: its checkpoint: {reason}")]
    Checkpoint {
        /// The message of the operating system.
        reason: String,
    },
    /// The initial copy failed.
    #[error("WAL reader: the initial copy from {source_of_rows} failed: {reason}")]
    Copy {
        /// Host and port, or the table.
        source_of_rows: String,
        /// The message of the server.
        reason: String,
    },
    /// An initial copy with a slot that is not temporary needs a checkpoint, which keeps the tables that are copied.
    #[error(
        "WAL reader: an initial copy with the slot \"{slot}\", which stays, needs a checkpoint that keeps which tables are copied"
    )]
    CopyWithoutCheckpoint {
        /// The slot.
        slot: SlotName,
    },
    /// The slot's name is invalid.
    #[error(transparent)]
    SlotName(#[from] InvalidSlotName),
    /// The reader's thread could not be started, or ended unexpectedly.
    #[error("WAL reader: its thread {0}")]
    Thread(String),
}

impl ReaderError {
    /// Whether another attempt would fail in the same way.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::NoFreeSlot { .. } => false,
            Self::Server { reason, .. } => {
                // Permanent: slot or publication do not exist (42704, 55000), or a message exceeds our limit. All others
                // describe a state of the server: shutting down, starting up, slot still in use, out of memory.
                ["42704", "55000", "too large"]
                    .iter()
                    .any(|code| reason.contains(code))
            }
            _ => true,
        }
    }

    pub(super) fn checkpoint(error: std::io::Error) -> Self {
        Self::Checkpoint {
            reason: error.to_string(),
        }
    }

    /// Classifies an error of pgwire-replication.
    pub(super) fn from_wire(error: &PgWireError, server: &str, user: &str) -> Self {
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
