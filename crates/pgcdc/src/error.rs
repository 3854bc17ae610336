//! Why the reader cannot start or go on.

use pgwire_replication::PgWireError;

use super::pgoutput::DecodeError;
use super::{InvalidSlotName, Lsn, SlotName};

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
        "WAL reader: PostgreSQL at {server} has no free replication slot or sender ({reason}); drop a slot that is no longer used (SELECT pg_drop_replication_slot('NAME')), or raise max_replication_slots and max_wal_senders"
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
    /// A change came outside of any transaction.
    #[error("WAL reader: a change came outside of a transaction (at {lsn})")]
    NoTransaction {
        /// Where.
        lsn: Lsn,
    },
    /// There is no such publication.
    #[error(
        "WAL reader: database \"{database}\" at {server} has no publication \"{publication}\": CREATE PUBLICATION \"{publication}\" FOR TABLE ..."
    )]
    NoPublication {
        /// Host and port.
        server: String,
        /// Database.
        database: String,
        /// Which.
        publication: String,
    },
    /// The publication is there, and a table that was asked for is not in it.
    #[error(
        "publication \"{publication}\" does not have {table}: ALTER PUBLICATION \"{publication}\" ADD TABLE {table}, or name another publication"
    )]
    NotPublished {
        /// Which.
        publication: String,
        /// Schema and table.
        table: String,
    },
    /// After the stream broke in mid-transaction, that transaction did not come again: somebody else has moved the slot.
    #[error(
        "WAL reader: the transaction that commits at {wanted} was cut off, and the stream goes on with the one at {found}: another reader has moved the slot, and the rest of the first is not to be had any more"
    )]
    Gap {
        /// Commit of the transaction that was cut off.
        wanted: Lsn,
        /// Commit of the one that came.
        found: Lsn,
    },
    /// Between two connections of ours, somebody else has read from the slot, and acknowledged what we have not seen.
    #[error(
        "WAL reader: slot \"{slot}\" at {server} stands at {stands}, and this reader has acknowledged no more than {ours}: another reader has moved it, and what lies between is not to be had any more"
    )]
    SlotMoved {
        /// Host and port.
        server: String,
        /// Slot.
        slot: SlotName,
        /// What we acknowledged last.
        ours: Lsn,
        /// Where it is now.
        stands: Lsn,
    },
    /// The slot holds back more WAL than it may.
    #[error(
        "WAL reader: slot \"{slot}\" at {server} holds back {retained} bytes of WAL, and {limit} are allowed; it goes on doing so until it is read further or dropped: SELECT pg_drop_replication_slot('{slot}')"
    )]
    RetainedWal {
        /// Host and port.
        server: String,
        /// Slot.
        slot: SlotName,
        /// Bytes held back.
        retained: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The checkpoint cannot be read or written.
    #[error("WAL reader: its checkpoint: {reason}")]
    Checkpoint {
        /// The system's words.
        reason: String,
    },
    /// The initial copy cannot be made.
    #[error("WAL reader: the initial copy from {source_of_rows} failed: {reason}")]
    Copy {
        /// Host and port, or the table.
        source_of_rows: String,
        /// The server's words.
        reason: String,
    },
    /// An initial copy into a slot that stays, and nobody to remember what has been copied.
    #[error(
        "WAL reader: an initial copy with the slot \"{slot}\", which stays, needs a checkpoint that keeps which tables are copied"
    )]
    CopyWithoutCheckpoint {
        /// The slot.
        slot: SlotName,
    },
    /// Not a name for a slot.
    #[error(transparent)]
    SlotName(#[from] InvalidSlotName),
    /// The thread could not be made, or ended unexpectedly.
    #[error("WAL reader: its thread {0}")]
    Thread(String),
}

impl ReaderError {
    /// Whether another attempt would end the same way.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::NoFreeSlot { .. } => false,
            Self::Server { reason, .. } => {
                // The slot or the publication is gone (42704, 55000), or the message is too large for us; everything
                // else a server says of itself: shutting down, starting up, the slot still in use, out of memory.
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
