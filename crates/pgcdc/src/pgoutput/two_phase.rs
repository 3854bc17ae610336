//! What protocol version 3 adds with `two_phase`: transactions that are sent when they are prepared, and how they end.

use super::{DecodeError, Message, MessageInput};

/// A transaction that `PREPARE TRANSACTION` has prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrepareMessage<'a> {
    /// Position of its prepare record.
    pub prepare_lsn: u64,
    /// Position after it.
    pub end_lsn: u64,
    /// Time of the prepare, microseconds since 2000-01-01 UTC.
    pub prepare_time_us: i64,
    /// Transaction id.
    pub xid: u32,
    /// Its global identifier: the name it was prepared under.
    pub gid: &'a str,
}

/// `COMMIT PREPARED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitPreparedMessage<'a> {
    /// Position of the commit.
    pub commit_lsn: u64,
    /// Position after it.
    pub end_lsn: u64,
    /// Commit time, microseconds since 2000-01-01 UTC.
    pub commit_time_us: i64,
    /// Transaction id.
    pub xid: u32,
    /// Its global identifier.
    pub gid: &'a str,
}

/// `ROLLBACK PREPARED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollbackPreparedMessage<'a> {
    /// Position after the prepare.
    pub prepare_end_lsn: u64,
    /// Position after the rollback.
    pub end_lsn: u64,
    /// Time of the prepare, microseconds since 2000-01-01 UTC.
    pub prepare_time_us: i64,
    /// Time of the rollback, microseconds since 2000-01-01 UTC.
    pub rollback_time_us: i64,
    /// Transaction id.
    pub xid: u32,
    /// Its global identifier.
    pub gid: &'a str,
}

impl<'a> MessageInput<'a> {
    /// The content of a message of this kind, if it is one of two-phase commit.
    pub(super) fn two_phase(&mut self, kind: u8) -> Result<Option<Message<'a>>, DecodeError> {
        if matches!(kind, b'P' | b'K' | b'r') {
            self.u8("flags")?;
        }
        Ok(Some(match kind {
            b'b' => Message::BeginPrepare(self.prepare()?),
            b'P' => Message::Prepare(self.prepare()?),
            b'K' => Message::CommitPrepared(CommitPreparedMessage {
                commit_lsn: self.u64("the commit LSN")?,
                end_lsn: self.u64("the end LSN")?,
                commit_time_us: self.i64("the commit time")?,
                xid: self.u32("the xid")?,
                gid: self.string("the gid")?,
            }),
            b'r' => Message::RollbackPrepared(RollbackPreparedMessage {
                prepare_end_lsn: self.u64("the prepare's end LSN")?,
                end_lsn: self.u64("the end LSN")?,
                prepare_time_us: self.i64("the prepare time")?,
                rollback_time_us: self.i64("the rollback time")?,
                xid: self.u32("the xid")?,
                gid: self.string("the gid")?,
            }),
            _ => return Ok(None),
        }))
    }

    pub(super) fn prepare(&mut self) -> Result<PrepareMessage<'a>, DecodeError> {
        Ok(PrepareMessage {
            prepare_lsn: self.u64("the prepare LSN")?,
            end_lsn: self.u64("the end LSN")?,
            prepare_time_us: self.i64("the prepare time")?,
            xid: self.u32("the xid")?,
            gid: self.string("the gid")?,
        })
    }
}
