//! How transactions end that were prepared for a two-phase commit.

use crate::clock::UnixNanos;
use crate::{Lsn, Xid};

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
    /// Position after its prepare: [`Prepare::end_lsn`](crate::Prepare).
    pub prepare_end_lsn: Lsn,
    /// Position after the rollback.
    pub end_lsn: Lsn,
    /// Time of the rollback, on PostgreSQL's clock.
    pub rollback_time: UnixNanos,
}
