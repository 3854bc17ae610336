//! What protocol version 2 adds with `streaming`: transactions that are sent while they run. Version 3 ends some of them by a
//! prepare.

use super::{DecodeError, MessageInput, MessageKind, PrepareMessage};

/// A message about a transaction that is sent while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamControl<'a> {
    /// `S`: until the next [`StreamControl::Stop`], messages are of this transaction.
    Start {
        /// The transaction.
        xid: u32,
    },
    /// `E`: messages are of other transactions from here on.
    Stop,
    /// `c`: a transaction that was sent while it ran has committed.
    Commit {
        /// The transaction.
        xid: u32,
        /// Position of the commit.
        commit_lsn: u64,
        /// Position after the transaction.
        end_lsn: u64,
        /// Commit time, microseconds since 2000-01-01 UTC.
        commit_time_us: i64,
    },
    /// `A`: a transaction, or a sub-transaction of it, was rolled back.
    Abort {
        /// The transaction.
        xid: u32,
        /// What was rolled back; the same when it was all of it.
        sub_xid: u32,
    },
    /// `p`: a transaction that was sent while it ran was prepared.
    Prepare(PrepareMessage<'a>),
}

/// Decodes a message about a transaction that is sent while it runs; `None` for any other message.
///
/// # Errors
/// When it is one, and malformed.
pub fn stream_control(message: &[u8]) -> Result<Option<StreamControl<'_>>, DecodeError> {
    let mut input = MessageInput::of(message);
    let control = match input.u8("a message type")? {
        b'S' => {
            let xid = input.u32("the xid")?;
            input.u8("whether it is the first segment")?;
            StreamControl::Start { xid }
        }
        b'E' => StreamControl::Stop,
        b'c' => {
            let xid = input.u32("the xid")?;
            input.u8("flags")?;
            StreamControl::Commit {
                xid,
                commit_lsn: input.u64("the commit LSN")?,
                end_lsn: input.u64("the end LSN")?,
                commit_time_us: input.i64("the commit time")?,
            }
        }
        b'A' => StreamControl::Abort {
            xid: input.u32("the xid")?,
            sub_xid: input.u32("the xid of the sub-transaction")?,
        },
        b'p' => {
            input.u8("flags")?;
            StreamControl::Prepare(input.prepare()?)
        }
        _ => return Ok(None),
    };
    Ok(Some(control))
}

/// A message between [`StreamControl::Start`] and [`StreamControl::Stop`]: the (sub-)transaction that it is of, if it says
/// so, and the message of protocol version 1 that it is, in two parts.
///
/// # Errors
/// When it is too short.
pub fn streamed(message: &[u8]) -> Result<(Option<u32>, [&[u8]; 2]), DecodeError> {
    let mut input = MessageInput::of(message);
    // An origin does not say what it is of.
    if input.u8("a message type")? == b'O' {
        return Ok((None, [message, &[]]));
    }
    let xid = input.u32("the xid")?;
    Ok((Some(xid), [&message[..1], &message[5..]]))
}

impl<'a> MessageInput<'a> {
    fn of(message: &'a [u8]) -> Self {
        Self {
            kind: MessageKind(message.first().copied()),
            all: message,
            at: 0,
        }
    }
}
