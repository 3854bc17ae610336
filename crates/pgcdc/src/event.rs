//! What a reader hands over.

use std::fmt;
use std::sync::Arc;

use super::clock::UnixNanos;
use super::pgoutput::{OldTuple, Tuple};
use super::snapshot::{CopiedTable, SnapshotPlan, SnapshotRow};
use super::value::{FromValue, ValueError};
use super::{Lsn, Relation, Xid};

/// One step of the stream. Everything between a `Begin` and its `Commit` belongs to that transaction; transactions come
/// whole, one after the other, in the order of their commits.
#[derive(Debug)]
pub enum Event<'a> {
    /// A transaction begins. One without anything for us in it is not told of.
    Begin(&'a Transaction),
    /// A row, or a table, changed.
    Change(Change<'a>),
    /// `pg_logical_emit_message()`.
    Message(LogicalMessage<'a>),
    /// The transaction is whole: this is where a sink makes it durable.
    Commit(Commit<'a>),
    /// Everything before this position has been handed over; there was nothing in it after the last commit.
    Idle(Lsn),
    /// An initial copy begins. Rows of its tables follow as changes, [`Operation::Read`], outside of any transaction. It
    /// begins again, with the tables that were not whole, after a break: a sink that cannot overwrite empties them.
    Snapshot(&'a SnapshotPlan),
    /// A table of the initial copy is whole: this is where a sink makes it durable.
    Copied(CopiedTable<'a>),
}

/// A transaction, known from its beginning on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Its id.
    pub xid: Xid,
    /// Position of its commit. No two transactions have the same, and later ones have larger ones.
    pub commit_lsn: Lsn,
    /// Commit time, on PostgreSQL's clock.
    pub commit_time: UnixNanos,
    /// Position behind the transaction before it, as this reader has seen it.
    pub previous: Option<Lsn>,
    /// Where it came from, when it was replicated to this server.
    pub origin: Option<String>,
}

/// The end of a transaction.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// Which.
    pub transaction: &'a Transaction,
    /// Position behind it. A reader that starts after this one sees the next transaction first.
    pub end_lsn: Lsn,
    /// Changes and messages in it.
    pub events: u64,
}

/// What was done to a row, or to a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A row of the initial copy: it may have been there for long.
    Read(SnapshotRow),
    /// A new row.
    Insert,
    /// A changed row.
    Update,
    /// A removed row.
    Delete,
    /// All rows removed.
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

/// One change, borrowed from the message that brought it.
#[derive(Debug)]
pub struct Change<'a> {
    /// The table.
    pub relation: &'a Arc<Relation>,
    /// What was done.
    pub operation: Operation,
    /// The row after it, for reads, inserts and updates.
    pub new: Option<Tuple<'a>>,
    /// The row before it, as far as the replica identity tells.
    pub old: Option<OldTuple<'a>>,
    /// Transaction; for a row of the initial copy the snapshot, whose commit position is the copy's and whose id is that of
    /// a transaction which did nothing else.
    pub transaction: &'a Transaction,
    /// Position of the change: `source.lsn` in Debezium's envelope.
    pub lsn: Lsn,
    /// How many events of its transaction, or rows of its table's copy, came before it.
    pub index: u64,
    /// When the decoded row was received, on the reader's [`TimeSource`](crate::TimeSource).
    pub received: UnixNanos,
}

impl<'a> Change<'a> {
    /// The row it is about: the new one, else the old one.
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
    /// When there is no such column, when it is no `T`, or when the stream does not carry it because it did not change.
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

/// A message in the WAL.
#[derive(Debug, Clone, Copy)]
pub struct LogicalMessage<'a> {
    /// Its transaction; `None` for one that is written whether or not its transaction commits.
    pub transaction: Option<&'a Transaction>,
    /// Position.
    pub lsn: Lsn,
    /// How many events of its transaction came before it.
    pub index: u64,
    /// Prefix.
    pub prefix: &'a str,
    /// Content.
    pub content: &'a [u8],
    /// When it was received, on the reader's [`TimeSource`](crate::TimeSource).
    pub received: UnixNanos,
}
