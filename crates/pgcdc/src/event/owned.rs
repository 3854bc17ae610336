//! Events that own what they hold, to be kept or sent to other tasks.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;

use crate::clock::UnixNanos;
use crate::event::prepared::{CommitPrepared, RollbackPrepared};
use crate::event::{Change, Event, LogicalMessage, Operation, Transaction};
use crate::pgoutput::{OldTuple, OwnedTuples, Tuple};
use crate::row_de::RowError;
use crate::snapshot::{CopyChunk, SnapshotPlan};
use crate::value::{FromValue, ValueError};
use crate::{Lsn, Relation, Xid};

/// An event of the stream: [`Event`] without a borrow.
#[derive(Debug, Clone)]
pub enum OwnedEvent {
    /// As [`Event::Begin`].
    Begin(Arc<Transaction>),
    /// As [`Event::Change`].
    Change(OwnedChange),
    /// As [`Event::Message`].
    Message(OwnedMessage),
    /// As [`Event::Commit`].
    Commit(OwnedCommit),
    /// As [`Event::Idle`].
    Idle(Lsn),
    /// As [`Event::Snapshot`].
    Snapshot(Arc<SnapshotPlan>),
    /// As [`Event::CopiedChunk`].
    CopiedChunk(OwnedChunk),
    /// As [`Event::Copied`].
    Copied(OwnedCopy),
    /// As [`Event::Prepare`].
    Prepare(OwnedPrepare),
    /// As [`Event::CommitPrepared`].
    CommitPrepared(OwnedCommitPrepared),
    /// As [`Event::RollbackPrepared`].
    RollbackPrepared(OwnedRollbackPrepared),
    /// As [`Event::Schema`].
    Schema(OwnedSchemaChange),
}

/// A table's new description: [`SchemaChange`](crate::SchemaChange) without a borrow.
#[derive(Debug, Clone)]
pub struct OwnedSchemaChange {
    /// As of the changes before; `None` for a table that this reader has not seen.
    pub before: Option<Arc<Relation>>,
    /// As of the changes after.
    pub after: Arc<Relation>,
    /// The transaction of the first change after.
    pub transaction: Arc<Transaction>,
}

/// A change: [`Change`] without a borrow. Its rows are one allocation; clones share it, and its table and transaction.
#[derive(Debug, Clone)]
pub struct OwnedChange {
    /// As [`Change::relation`].
    pub relation: Arc<Relation>,
    /// As [`Change::operation`].
    pub operation: Operation,
    /// The new and the old row.
    pub rows: OwnedTuples,
    /// As [`Change::transaction`].
    pub transaction: Arc<Transaction>,
    /// As [`Change::lsn`].
    pub lsn: Lsn,
    /// As [`Change::index`].
    pub index: u64,
    /// As [`Change::received`].
    pub received: UnixNanos,
}

/// A message: [`LogicalMessage`] without a borrow.
#[derive(Debug, Clone)]
pub struct OwnedMessage {
    /// As [`LogicalMessage::transaction`].
    pub transaction: Option<Arc<Transaction>>,
    /// As [`LogicalMessage::lsn`].
    pub lsn: Lsn,
    /// As [`LogicalMessage::index`].
    pub index: u64,
    /// As [`LogicalMessage::prefix`].
    pub prefix: String,
    /// As [`LogicalMessage::content`].
    pub content: Bytes,
    /// As [`LogicalMessage::received`].
    pub received: UnixNanos,
}

/// The end of a transaction: [`Commit`](crate::Commit) without a borrow.
#[derive(Debug, Clone)]
pub struct OwnedCommit {
    /// The transaction.
    pub transaction: Arc<Transaction>,
    /// Position after it: what is acknowledged when a sink has it.
    pub end_lsn: Lsn,
    /// Number of its changes and messages.
    pub events: u64,
}

/// A table whose initial copy is complete: [`CopiedTable`](crate::CopiedTable) without a borrow.
#[derive(Debug, Clone)]
pub struct OwnedCopy {
    /// The table.
    pub relation: Arc<Relation>,
    /// The position as of which the rows were copied.
    pub point: Lsn,
    /// Number of rows.
    pub rows: u64,
    /// Number of tables that remain to be copied.
    pub left: usize,
}

/// A chunk of a table that was copied: [`CopiedChunk`](crate::CopiedChunk) without a borrow.
#[derive(Debug, Clone)]
pub struct OwnedChunk {
    /// The table.
    pub relation: Arc<Relation>,
    /// The chunk, for [`Acknowledger::acknowledge_chunk`](crate::Acknowledger::acknowledge_chunk).
    pub chunk: CopyChunk,
    /// Number of rows.
    pub rows: u64,
}

/// The end of a transaction that was prepared: [`Prepare`](crate::Prepare) without a borrow.
#[derive(Debug, Clone)]
pub struct OwnedPrepare {
    /// The transaction.
    pub transaction: Arc<Transaction>,
    /// As [`Prepare::gid`](crate::Prepare::gid).
    pub gid: String,
    /// As [`Prepare::end_lsn`](crate::Prepare::end_lsn).
    pub end_lsn: Lsn,
    /// Number of its changes and messages.
    pub events: u64,
}

/// A prepared transaction has committed: [`CommitPrepared`] without a borrow.
#[derive(Debug, Clone)]
pub struct OwnedCommitPrepared {
    /// Its global identifier.
    pub gid: String,
    /// Transaction id.
    pub xid: Xid,
    /// Position of the commit.
    pub commit_lsn: Lsn,
    /// Position after it.
    pub end_lsn: Lsn,
    /// Commit time, on PostgreSQL's clock.
    pub commit_time: UnixNanos,
}

/// A prepared transaction was rolled back: [`RollbackPrepared`] without a borrow.
#[derive(Debug, Clone)]
pub struct OwnedRollbackPrepared {
    /// Its global identifier.
    pub gid: String,
    /// Transaction id.
    pub xid: Xid,
    /// Position after its prepare.
    pub prepare_end_lsn: Lsn,
    /// Position after the rollback.
    pub end_lsn: Lsn,
    /// Time of the rollback, on PostgreSQL's clock.
    pub rollback_time: UnixNanos,
}

impl From<&CommitPrepared<'_>> for OwnedCommitPrepared {
    fn from(end: &CommitPrepared<'_>) -> Self {
        Self {
            gid: end.gid.to_owned(),
            xid: end.xid,
            commit_lsn: end.commit_lsn,
            end_lsn: end.end_lsn,
            commit_time: end.commit_time,
        }
    }
}

impl From<&RollbackPrepared<'_>> for OwnedRollbackPrepared {
    fn from(end: &RollbackPrepared<'_>) -> Self {
        Self {
            gid: end.gid.to_owned(),
            xid: end.xid,
            prepare_end_lsn: end.prepare_end_lsn,
            end_lsn: end.end_lsn,
            rollback_time: end.rollback_time,
        }
    }
}

impl OwnedChange {
    /// The change, borrowed.
    #[must_use]
    pub fn borrowed(&self) -> Change<'_> {
        Change {
            relation: &self.relation,
            operation: self.operation,
            new: self.rows.new_row(),
            old: self.rows.old_row(),
            transaction: &self.transaction,
            lsn: self.lsn,
            index: self.index,
            received: self.received,
        }
    }

    /// The new row, for reads, inserts and updates.
    #[must_use]
    pub fn new_row(&self) -> Option<Tuple<'_>> {
        self.rows.new_row()
    }

    /// The old row, with the columns that the replica identity includes.
    #[must_use]
    pub fn old_row(&self) -> Option<OldTuple<'_>> {
        self.rows.old_row()
    }

    /// A column's value, as [`Change::get`].
    ///
    /// # Errors
    /// As [`Change::get`].
    pub fn get<'a, T: FromValue<'a>>(&'a self, column: &str) -> Result<Option<T>, ValueError> {
        self.borrowed().get(column)
    }

    /// The row as a type, as [`Change::deserialize`].
    ///
    /// # Errors
    /// As [`Change::deserialize`].
    pub fn deserialize<'a, T: Deserialize<'a>>(&'a self) -> Result<T, RowError> {
        self.borrowed().deserialize()
    }

    /// The columns that were sent, as [`Change::deserialize_sent`].
    ///
    /// # Errors
    /// As [`Change::deserialize_sent`].
    pub fn deserialize_sent<'a, T: Deserialize<'a>>(&'a self) -> Result<T, RowError> {
        self.borrowed().deserialize_sent()
    }

    /// The old row as a type, as [`Change::deserialize_old`].
    ///
    /// # Errors
    /// As [`Change::deserialize_old`].
    pub fn deserialize_old<'a, T: Deserialize<'a>>(&'a self) -> Result<Option<T>, RowError> {
        self.borrowed().deserialize_old()
    }
}

impl OwnedEvent {
    /// Bytes of memory that it takes, about: what it shares with other events is not counted.
    #[must_use]
    pub fn size(&self) -> usize {
        let content = match self {
            Self::Change(change) => change.rows.size(),
            Self::Message(message) => message.prefix.len() + message.content.len(),
            _ => 0,
        };
        size_of::<Self>() + content
    }
}

/// Makes owned events of a reader's events; those of a transaction share it.
#[derive(Debug, Default)]
pub(crate) struct EventOwner {
    transaction: Option<Arc<Transaction>>,
}

impl EventOwner {
    pub(crate) fn own(&mut self, event: &Event<'_>) -> OwnedEvent {
        match event {
            Event::Begin(transaction) => OwnedEvent::Begin(self.transaction(transaction)),
            Event::Change(change) => OwnedEvent::Change(self.change(change)),
            Event::Message(message) => OwnedEvent::Message(self.message(message)),
            Event::Commit(commit) => OwnedEvent::Commit(OwnedCommit {
                transaction: self.transaction(commit.transaction),
                end_lsn: commit.end_lsn,
                events: commit.events,
            }),
            Event::Idle(lsn) => OwnedEvent::Idle(*lsn),
            Event::Snapshot(plan) => OwnedEvent::Snapshot(Arc::new(SnapshotPlan::clone(plan))),
            Event::Copied(table) => OwnedEvent::Copied(OwnedCopy {
                relation: Arc::clone(table.relation),
                point: table.point,
                rows: table.rows,
                left: table.left,
            }),
            Event::CopiedChunk(chunk) => OwnedEvent::CopiedChunk(OwnedChunk {
                relation: Arc::clone(chunk.relation),
                chunk: chunk.chunk.clone(),
                rows: chunk.rows,
            }),
            Event::Prepare(prepare) => OwnedEvent::Prepare(OwnedPrepare {
                transaction: self.transaction(prepare.transaction),
                gid: prepare.gid.to_owned(),
                end_lsn: prepare.end_lsn,
                events: prepare.events,
            }),
            Event::CommitPrepared(end) => OwnedEvent::CommitPrepared(end.into()),
            Event::RollbackPrepared(end) => OwnedEvent::RollbackPrepared(end.into()),
            Event::Schema(change) => OwnedEvent::Schema(OwnedSchemaChange {
                before: change.before.cloned(),
                after: Arc::clone(change.after),
                transaction: self.transaction(change.transaction),
            }),
        }
    }

    fn change(&mut self, change: &Change<'_>) -> OwnedChange {
        OwnedChange {
            relation: Arc::clone(change.relation),
            operation: change.operation,
            rows: OwnedTuples::new(change.new.as_ref(), change.old.as_ref()),
            transaction: self.transaction(change.transaction),
            lsn: change.lsn,
            index: change.index,
            received: change.received,
        }
    }

    fn message(&mut self, message: &LogicalMessage<'_>) -> OwnedMessage {
        OwnedMessage {
            transaction: message.transaction.map(|of| self.transaction(of)),
            lsn: message.lsn,
            index: message.index,
            prefix: message.prefix.to_owned(),
            content: Bytes::copy_from_slice(message.content),
            received: message.received,
        }
    }

    fn transaction(&mut self, of: &Transaction) -> Arc<Transaction> {
        match &self.transaction {
            Some(kept) if kept.commit_lsn == of.commit_lsn && kept.xid == of.xid => {
                Arc::clone(kept)
            }
            _ => Arc::clone(self.transaction.insert(Arc::new(of.clone()))),
        }
    }
}

/// Bytes that an event takes when it is owned.
pub(crate) fn owned_size(event: &Event<'_>) -> usize {
    let row = |row: Option<&Tuple<'_>>| row.map_or(0, Tuple::size);
    let content = match event {
        Event::Change(change) => {
            let old = match &change.old {
                Some(OldTuple::Key(old) | OldTuple::Full(old)) => Some(old),
                None => None,
            };
            row(change.new.as_ref()) + row(old)
        }
        Event::Message(message) => message.prefix.len() + message.content.len(),
        _ => 0,
    };
    size_of::<OwnedEvent>() + content
}
