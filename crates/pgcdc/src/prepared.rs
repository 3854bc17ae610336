//! Transactions that are prepared for a two-phase commit, and how they end.

use super::clock::UnixNanos;
use super::event::Transaction;
use super::{Lsn, Xid};

/// A transaction was prepared (`PREPARE TRANSACTION`): its rows, which came before, are complete and durable, and nobody sees
/// them. [`Event::CommitPrepared`](super::Event) or [`Event::RollbackPrepared`](super::Event) with the same `gid` follows, at
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

/// A prepared transaction has committed (`COMMIT PREPARED`).
#[derive(Debug, Clone, Copy)]
pub struct CommitPrepared<'a> {
    /// Its global identifier.
    pub gid: &'a str,
    /// Transaction id.
    pub xid: Xid,
    /// Position of the commit.
    pub commit_lsn: Lsn,
    /// Position after it.
    pub end_lsn: Lsn,
    /// Commit time, on PostgreSQL's clock.
    pub commit_time: UnixNanos,
}

/// A prepared transaction was rolled back (`ROLLBACK PREPARED`).
///
/// It may be one that was prepared before the slot was made: a sink that does not hold a transaction of this `gid` and
/// `prepare_end_lsn` has nothing to undo.
#[derive(Debug, Clone, Copy)]
pub struct RollbackPrepared<'a> {
    /// Its global identifier.
    pub gid: &'a str,
    /// Transaction id.
    pub xid: Xid,
    /// Position after its prepare: [`Prepare::end_lsn`].
    pub prepare_end_lsn: Lsn,
    /// Position after the rollback.
    pub end_lsn: Lsn,
    /// Time of the rollback, on PostgreSQL's clock.
    pub rollback_time: UnixNanos,
}
