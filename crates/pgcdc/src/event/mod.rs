//! Events that a reader delivers to its handler.

pub(crate) mod owned;
pub(crate) mod prepared;
pub(crate) mod schema_changes;

pub use owned::{
    OwnedChange, OwnedChunk, OwnedCommit, OwnedCommitPrepared, OwnedCopy, OwnedEvent, OwnedMessage,
    OwnedPrepare, OwnedRollbackPrepared, OwnedSchemaChange,
};
pub use prepared::{CommitPrepared, RollbackPrepared};

use std::fmt;
use std::sync::Arc;

use crate::clock::UnixNanos;
use crate::pgoutput::{OldTuple, Tuple};
use crate::snapshot::{CopiedChunk, CopiedTable, SnapshotPlan, SnapshotRow};
use crate::value::{FromValue, ValueError};
use crate::{Lsn, Relation, Xid};

/// An event of the stream. The events between a `Begin` and its `Commit` (or `Prepare`) belong to that transaction.
/// Transactions come complete, one after the other, in the order of their commits.
#[derive(Debug)]
pub enum Event<'a> {
    /// A transaction begins. A transaction without any change or message to deliver has no events.
    Begin(&'a Transaction),
    /// A row was inserted, updated, deleted or copied, or a table was truncated.
    Change(Change<'a>),
    /// A message of `pg_logical_emit_message()`.
    Message(LogicalMessage<'a>),
    /// The transaction is complete: this is where a sink makes it durable.
    Commit(Commit<'a>),
    /// Everything before this position was delivered: there was no event between the last commit and it.
    Idle(Lsn),
    /// An initial copy begins. Its rows follow as changes with [`Operation::Read`], outside of any transaction. After a
    /// broken connection it begins again, with the tables that were not complete: a sink that cannot overwrite rows must
    /// empty those tables, except for those that are resumed ([`PlannedTable::resumed`](crate::PlannedTable::resumed)).
    Snapshot(&'a SnapshotPlan),
    /// A chunk of a table is complete, with [`SnapshotResume::ByChunk`](crate::SnapshotResume::ByChunk): every row of it was
    /// delivered, between rows of other chunks.
    CopiedChunk(CopiedChunk<'a>),
    /// The initial copy of a table is complete: this is where a sink makes it durable.
    Copied(CopiedTable<'a>),
    /// The transaction is prepared, and not committed: this is where a sink makes it durable without showing it. With
    /// [`ReaderConfig::two_phase`](crate::ReaderConfig), and never without.
    Prepare(Prepare<'a>),
    /// A transaction that was prepared before has committed.
    CommitPrepared(CommitPrepared<'a>),
    /// A transaction that was prepared before was rolled back.
    RollbackPrepared(RollbackPrepared<'a>),
    /// A table's description is not the one before; it comes before the first change, or copied row, of the new shape.
    Schema(SchemaChange<'a>),
}

/// A table's description, where it differs from the one before in names, columns, their types or the replica identity. What the
/// catalogue alone knows, defaults for instance, does not count.
#[derive(Debug, Clone, Copy)]
pub struct SchemaChange<'a> {
    /// As of the changes before; `None` for a table that this reader has not seen.
    pub before: Option<&'a Arc<Relation>>,
    /// As of the changes after.
    pub after: &'a Arc<Relation>,
    /// The transaction of the first change after; for an initial copy, what stands for its snapshot. The table itself may have
    /// been altered before.
    pub transaction: &'a Transaction,
}

/// A transaction. All fields are known from its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Transaction id.
    pub xid: Xid,
    /// Position of its commit record: unique, and ascending in the order of commits. Of a prepared transaction, position of
    /// its prepare record.
    pub commit_lsn: Lsn,
    /// Commit time, on PostgreSQL's clock. Of a prepared transaction, time of the prepare.
    pub commit_time: UnixNanos,
    /// Position after the previous transaction that this reader received.
    pub previous: Option<Lsn>,
    /// Its replication origin, if it was replicated to this server.
    pub origin: Option<String>,
    /// The name that it was prepared under, when it is prepared and has not committed: its rows hold when
    /// [`Event::CommitPrepared`] with this name comes. `None` without [`ReaderConfig::two_phase`](crate::ReaderConfig).
    pub gid: Option<String>,
}

/// The end of a transaction.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// The transaction.
    pub transaction: &'a Transaction,
    /// Position after it. A reader that starts after this position receives the next transaction first.
    pub end_lsn: Lsn,
    /// Number of its changes and messages.
    pub events: u64,
}

/// A transaction was prepared (`PREPARE TRANSACTION`): its rows, which came before, are complete and durable, and nobody sees
/// them. [`Event::CommitPrepared`] or [`Event::RollbackPrepared`] with the same `gid` follows, at
/// any later time.
#[derive(Debug, Clone, Copy)]
pub struct Prepare<'a> {
    /// The transaction.
    pub transaction: &'a Transaction,
    /// Its global identifier: the name it was prepared under. It may be used again after the transaction has ended.
    pub gid: &'a str,
    /// Position after the prepare. A transaction that is acknowledged here does not come again: when it commits, only its
    /// `gid` does.
    pub end_lsn: Lsn,
    /// Number of its changes and messages.
    pub events: u64,
}

/// What was done to a row or a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A row of the initial copy, inserted at any time before.
    Read(SnapshotRow),
    /// A row was inserted.
    Insert,
    /// A row was updated.
    Update,
    /// A row was deleted.
    Delete,
    /// A table was truncated.
    Truncate {
        /// With `CASCADE`.
        cascade: bool,
        /// With `RESTART IDENTITY`.
        restart_identity: bool,
    },
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read(_) => "read",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Truncate { .. } => "truncate",
        })
    }
}

/// A change of a row or a table, borrowed from its message.
#[derive(Debug)]
pub struct Change<'a> {
    /// The table.
    pub relation: &'a Arc<Relation>,
    /// What was done.
    pub operation: Operation,
    /// The new row, for reads, inserts and updates.
    pub new: Option<Tuple<'a>>,
    /// The old row, with the columns that the replica identity includes.
    pub old: Option<OldTuple<'a>>,
    /// Its transaction. For a row of the initial copy this stands for the snapshot: `commit_lsn` is the copy's position, and
    /// `xid` is of a transaction that made no change.
    pub transaction: &'a Transaction,
    /// Position of the change: `source.lsn` in Debezium's envelope.
    pub lsn: Lsn,
    /// Number of events before it in its transaction, or of rows before it in its table's copy.
    pub index: u64,
    /// Time at which the row was received and decoded, on the reader's [`TimeSource`](crate::TimeSource).
    pub received: UnixNanos,
}

impl<'a> Change<'a> {
    /// The new row, or the old one if there is no new one.
    #[must_use]
    pub fn row(&self) -> Option<&Tuple<'a>> {
        self.new.as_ref().or(match &self.old {
            Some(OldTuple::Key(row) | OldTuple::Full(row)) => Some(row),
            None => None,
        })
    }

    /// A column's value in [`Change::row`]; `None` for NULL.
    ///
    /// # Errors
    /// When the column does not exist, when its value is no `T`, or when the stream does not carry it because it did not
    /// change.
    pub fn get<T: FromValue<'a>>(&self, column: &str) -> Result<Option<T>, ValueError> {
        let index = self
            .relation
            .column(column)
            .ok_or_else(|| ValueError::NoColumn {
                relation: self.relation.to_string(),
                column: column.to_owned(),
            })?;
        self.get_at(index)
    }

    /// The same by the column's position.
    ///
    /// # Errors
    /// As [`Change::get`].
    pub fn get_at<T: FromValue<'a>>(&self, index: usize) -> Result<Option<T>, ValueError> {
        let description = self.relation.columns.get(index);
        let value = self.row().and_then(|row| row.get(index));
        match (description, value) {
            (Some(description), Some(value)) => T::of(value, description),
            _ => Err(ValueError::NoColumn {
                relation: self.relation.to_string(),
                column: index.to_string(),
            }),
        }
    }
}

/// A message of `pg_logical_emit_message()` in the WAL.
#[derive(Debug, Clone, Copy)]
pub struct LogicalMessage<'a> {
    /// Its transaction; `None` for a non-transactional message, which is written even if its transaction rolls back.
    pub transaction: Option<&'a Transaction>,
    /// Position.
    pub lsn: Lsn,
    /// Number of events before it in its transaction.
    pub index: u64,
    /// Prefix.
    pub prefix: &'a str,
    /// Content.
    pub content: &'a [u8],
    /// Time at which it was received, on the reader's [`TimeSource`](crate::TimeSource).
    pub received: UnixNanos,
}
