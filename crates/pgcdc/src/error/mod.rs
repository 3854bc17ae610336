//! Errors of the reader.

pub(crate) mod class;

use std::error::Error;
use std::path::PathBuf;

use crate::pgoutput::DecodeError;
use crate::wire::ServerMessage;
use crate::{InvalidSlotName, Lsn, SlotName};

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
    /// User or password are wrong, the connection is not encrypted as the server wants it, or the user lacks a right.
    #[error("WAL reader: PostgreSQL at {server} refused user \"{user}\": {message}; {remedy}")]
    Refused {
        /// Host and port.
        server: String,
        /// User.
        user: String,
        /// What the server said.
        message: Box<ServerMessage>,
        /// What to do.
        remedy: &'static str,
    },
    /// The server asks for a password, and none is given.
    #[error(
        "WAL reader: PostgreSQL at {server} asks for a password of user \"{user}\", and none is given; give one, or let the user in without it (pg_hba.conf: cert, peer, trust)"
    )]
    NoPassword {
        /// Host and port.
        server: String,
        /// User.
        user: String,
    },
    /// What answers is a connection pooler, which has no replication sessions.
    #[error(
        "WAL reader: what answers at {server} is a connection pooler such as PgBouncer ({message}), which passes no replication on: give the address of PostgreSQL itself"
    )]
    Pooler {
        /// Host and port.
        server: String,
        /// What it said.
        message: Box<ServerMessage>,
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
    #[error("WAL reader: PostgreSQL at {server} refused: {message}")]
    Server {
        /// Host and port.
        server: String,
        /// What the server said.
        message: Box<ServerMessage>,
    },
    /// The server sent what its protocol does not allow, or a message that is too large.
    #[error("WAL reader: what PostgreSQL at {server} sent cannot be read: {reason}")]
    Protocol {
        /// Host and port.
        server: String,
        /// What was wrong.
        reason: String,
    },
    /// The same error of the server has ended the stream several times, at the same position.
    #[error(
        "WAL reader: the stream of slot \"{slot}\" fails at {at} each time it is opened ({times} times): {message}{tables}; the transaction there cannot be read until its cause is gone. To go on without what was committed up to now: SELECT pg_replication_slot_advance('{slot}', pg_current_wal_lsn()), then copy the tables anew"
    )]
    StandingError {
        /// Slot.
        slot: SlotName,
        /// Resume LSN: nothing after it was delivered.
        at: Lsn,
        /// How often it was tried.
        times: u32,
        /// What the server said.
        message: Box<ServerMessage>,
        /// Which tables it may be about, as a part of the message; may be empty.
        tables: String,
    },
    /// The slot cannot be read by this reader.
    #[error("WAL reader: slot \"{slot}\" at {server} {reason}; {remedy}")]
    SlotUnusable {
        /// Host and port.
        server: String,
        /// Slot.
        slot: SlotName,
        /// Why not.
        reason: String,
        /// What to do.
        remedy: String,
    },
    /// The slot could not be created in time: the server waits for transactions that were open before.
    #[error(
        "WAL reader: slot \"{slot}\" at {server} was not made within {waited_s} s: {blocker}; nothing was left on the server"
    )]
    SlotBlocked {
        /// Host and port.
        server: String,
        /// Slot.
        slot: SlotName,
        /// Seconds waited.
        waited_s: u64,
        /// What the server waits for, and what to do about it.
        blocker: String,
    },
    /// The checkpoint belongs to another slot, database or cluster.
    #[error(
        "WAL reader: the checkpoint is of {stored}, and this is {found}: its position means nothing here. Give the checkpoint of this slot; or begin anew with another file, and an initial copy"
    )]
    ForeignCheckpoint {
        /// What the checkpoint was written for.
        stored: String,
        /// What the reader is connected to.
        found: String,
    },
    /// The position to start after is not in this server's WAL yet, or not in its history.
    #[error(
        "WAL reader: the position to go on from, {position}, is not in the WAL of PostgreSQL at {server}: {reason}. What was committed in between may be missing here or there: begin anew with another checkpoint and an initial copy"
    )]
    PositionUnknown {
        /// Host and port.
        server: String,
        /// The position.
        position: Lsn,
        /// Why it is not.
        reason: String,
    },
    /// Something was configured that cannot work on a standby.
    #[error("WAL reader: PostgreSQL at {server} is a standby: {reason}")]
    Standby {
        /// Host and port.
        server: String,
        /// What cannot work, and what to do.
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
    /// The slot stands after the position to go on from: it was created anew or advanced, and what lies between is not to be
    /// had any more.
    #[error(
        "WAL reader: slot \"{slot}\" at {server} stands at {stands}, and this reader has to go on from {ours}: the slot was made anew, or another reader has moved it, and what was committed in between cannot be read any more. To begin anew: another checkpoint, and an initial copy; to go on without it: start after {stands}"
    )]
    SlotMoved {
        /// Host and port.
        server: String,
        /// Slot.
        slot: SlotName,
        /// The position to go on from: of the checkpoint, of the configuration, or acknowledged last.
        ours: Lsn,
        /// Position of the slot now.
        stands: Lsn,
    },
    /// The slot that is to be watched is gone.
    #[error(
        "WAL reader: slot \"{slot}\" at {server} is gone while it was read: it was dropped, and what was committed since cannot be read any more"
    )]
    SlotGone {
        /// Host and port.
        server: String,
        /// Slot.
        slot: SlotName,
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
    /// A transaction under way cannot be kept.
    #[error(
        "WAL reader: a transaction that the server sends while it runs cannot be kept in {}: {reason}; make room, name another folder (ReaderConfig::spool), or leave such transactions to the server's disk",
        folder.display()
    )]
    Spool {
        /// The folder.
        folder: PathBuf,
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
    /// With an initial copy a prepared transaction may be in both copy and stream, or in neither.
    #[error(
        "WAL reader: slot \"{slot}\" with ReaderConfig::two_phase cannot begin with an initial copy, nor before the end of one: leave two_phase out, or ReaderConfig::snapshot"
    )]
    CopyWithTwoPhase {
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
    /// The error of a start that was stopped.
    pub(super) fn stopped_early() -> Self {
        Self::Thread("was stopped before the stream began".to_owned())
    }

    pub(super) fn checkpoint(error: &std::io::Error) -> Self {
        Self::Checkpoint {
            reason: error.to_string(),
        }
    }
}

/// The innermost cause, which has the detail.
pub(super) fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause
}
