//! Decoder of pgoutput: the messages of a logical replication stream, protocol versions 1 to 3.
//!
//! Source: PostgreSQL's documentation, "Logical Replication Message Formats". Everything decoded borrows from its message, and
//! no bytes make the decoder panic. A row is validated when its message is decoded; its values are read from the message on
//! access, so a row takes no memory of its own.

mod columns;
#[cfg(test)]
mod encode;
mod owned;
mod streamed;
#[cfg(test)]
mod tests;
mod tuple;
mod two_phase;

use std::fmt;

use simdutf8::basic::from_utf8;

pub use columns::{ColumnMessage, Columns, ColumnsBuffer};
pub use owned::OwnedTuples;
pub use streamed::{StreamControl, stream_control, streamed};
pub use tuple::{Tuple, TupleBuffer, Value, Values};
pub use two_phase::{CommitPreparedMessage, PrepareMessage, RollbackPreparedMessage};

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// `B`: a transaction begins.
    Begin {
        /// Position of its commit.
        final_lsn: u64,
        /// Commit time, microseconds since 2000-01-01 UTC.
        commit_time_us: i64,
        /// Transaction id.
        xid: u32,
    },
    /// `C`: a transaction ends.
    Commit {
        /// Position of the commit.
        commit_lsn: u64,
        /// Position after the transaction.
        end_lsn: u64,
        /// Commit time, microseconds since 2000-01-01 UTC.
        commit_time_us: i64,
    },
    /// `O`: the transaction was replicated from another server.
    Origin {
        /// Position of the commit there.
        commit_lsn: u64,
        /// Name of the origin.
        name: &'a str,
    },
    /// `R`: description of a table, for the rows after it.
    Relation(RelationMessage<'a>),
    /// `Y`: a user-defined type.
    Type {
        /// Its OID.
        oid: u32,
        /// Its schema (empty for `pg_catalog`).
        schema: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// `I`: a row was inserted.
    Insert {
        /// The table's OID.
        relation: u32,
        /// The row.
        new: Tuple<'a>,
    },
    /// `U`: a row was updated.
    Update {
        /// The table's OID.
        relation: u32,
        /// The old key, or the old row with `REPLICA IDENTITY FULL`; absent when the key did not change.
        old: Option<OldTuple<'a>>,
        /// The row.
        new: Tuple<'a>,
    },
    /// `D`: a row was deleted.
    Delete {
        /// The table's OID.
        relation: u32,
        /// The key, or the row with `REPLICA IDENTITY FULL`.
        old: OldTuple<'a>,
    },
    /// `T`: tables were truncated.
    Truncate {
        /// Their OIDs.
        relations: Vec<u32>,
        /// With `CASCADE`.
        cascade: bool,
        /// With `RESTART IDENTITY`.
        restart_identity: bool,
    },
    /// `M`: `pg_logical_emit_message()`.
    Logical {
        /// Whether it belongs to the current transaction.
        transactional: bool,
        /// Its position.
        lsn: u64,
        /// Its prefix.
        prefix: &'a str,
        /// Its content.
        content: &'a [u8],
    },
    /// `b`: a transaction begins that was prepared and has not committed.
    BeginPrepare(PrepareMessage<'a>),
    /// `P`: such a transaction is complete.
    Prepare(PrepareMessage<'a>),
    /// `K`: a prepared transaction has committed.
    CommitPrepared(CommitPreparedMessage<'a>),
    /// `r`: a prepared transaction was rolled back.
    RollbackPrepared(RollbackPreparedMessage<'a>),
}

/// A table's description in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationMessage<'a> {
    /// OID.
    pub oid: u32,
    /// Schema (empty for `pg_catalog`).
    pub schema: &'a str,
    /// Table.
    pub name: &'a str,
    /// `relreplident`: `d`efault, `n`othing, `f`ull, `i`ndex.
    pub replica_identity: u8,
    /// Columns in order.
    pub columns: Columns<'a>,
}

/// The old row of an update or a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldTuple<'a> {
    /// `K`: the key columns; the others are null.
    Key(Tuple<'a>),
    /// `O`: all columns.
    Full(Tuple<'a>),
}

/// The error for bytes that are no valid message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pgoutput message {kind} is malformed at byte {offset}: expected {expected}")]
pub struct DecodeError {
    /// Kind of the message.
    pub kind: MessageKind,
    /// Byte at which decoding stopped.
    pub offset: usize,
    /// What was expected there.
    pub expected: &'static str,
}

/// The first byte of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageKind(pub Option<u8>);

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(byte) if byte.is_ascii_graphic() => write!(f, "'{}'", char::from(byte)),
            Some(byte) => write!(f, "0x{byte:02x}"),
            None => f.write_str("(empty)"),
        }
    }
}

/// Decodes one message.
///
/// # Errors
/// When the bytes are not exactly one complete message. Those about a transaction that is sent while it runs are for
/// [`stream_control`] and [`streamed`].
pub fn decode(message: &[u8]) -> Result<Message<'_>, DecodeError> {
    let mut input = MessageInput {
        kind: MessageKind(message.first().copied()),
        all: message,
        at: 0,
    };
    let kind = input.u8("a message type")?;
    let decoded = match kind {
        b'B' => Message::Begin {
            final_lsn: input.u64("the final LSN")?,
            commit_time_us: input.i64("the commit time")?,
            xid: input.u32("the xid")?,
        },
        b'C' => {
            input.u8("flags")?;
            Message::Commit {
                commit_lsn: input.u64("the commit LSN")?,
                end_lsn: input.u64("the end LSN")?,
                commit_time_us: input.i64("the commit time")?,
            }
        }
        b'O' => Message::Origin {
            commit_lsn: input.u64("the commit LSN")?,
            name: input.string("the origin's name")?,
        },
        b'R' => Message::Relation(input.relation()?),
        b'Y' => Message::Type {
            oid: input.u32("the type's OID")?,
            schema: input.string("the type's schema")?,
            name: input.string("the type's name")?,
        },
        b'I' => {
            let relation = input.u32("the relation's OID")?;
            input.tag(b'N', "'N' and the new row")?;
            Message::Insert {
                relation,
                new: input.tuple()?,
            }
        }
        b'U' => input.update()?,
        b'D' => {
            let relation = input.u32("the relation's OID")?;
            let tag = input.u8("'K' or 'O'")?;
            let old = input.old(tag, "'K' or 'O' and the old row")?;
            Message::Delete { relation, old }
        }
        b'T' => input.truncate()?,
        b'M' => input.logical()?,
        kind => match input.two_phase(kind)? {
            Some(decoded) => decoded,
            None => return Err(input.stop(0, "a message type of pgoutput")),
        },
    };
    if input.at != message.len() {
        return Err(input.stop(input.at, "the end of the message"));
    }
    Ok(decoded)
}

/// A message, and the position up to which it is read.
struct MessageInput<'a> {
    kind: MessageKind,
    all: &'a [u8],
    at: usize,
}

impl<'a> MessageInput<'a> {
    fn stop(&self, offset: usize, expected: &'static str) -> DecodeError {
        DecodeError {
            kind: self.kind,
            offset,
            expected,
        }
    }

    fn bytes(&mut self, count: usize, expected: &'static str) -> Result<&'a [u8], DecodeError> {
        let end = self
            .at
            .checked_add(count)
            .filter(|&end| end <= self.all.len())
            .ok_or_else(|| self.stop(self.at, expected))?;
        let bytes = &self.all[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], DecodeError> {
        let at = self.at;
        self.bytes(N, expected)?
            .try_into()
            .map_err(|_| self.stop(at, expected))
    }

    fn u8(&mut self, expected: &'static str) -> Result<u8, DecodeError> {
        Ok(self.array::<1>(expected)?[0])
    }

    fn u16(&mut self, expected: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array(expected)?))
    }

    fn u32(&mut self, expected: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array(expected)?))
    }

    fn i32(&mut self, expected: &'static str) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array(expected)?))
    }

    fn u64(&mut self, expected: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array(expected)?))
    }

    fn i64(&mut self, expected: &'static str) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array(expected)?))
    }

    /// A length or a count: an error when negative.
    fn length(&mut self, expected: &'static str) -> Result<usize, DecodeError> {
        let at = self.at;
        usize::try_from(self.i32(expected)?).map_err(|_| self.stop(at, expected))
    }

    fn string(&mut self, expected: &'static str) -> Result<&'a str, DecodeError> {
        let rest = &self.all[self.at..];
        let end = rest
            .iter()
            .position(|&b| b == 0)
            .ok_or_else(|| self.stop(self.at, expected))?;
        let text = from_utf8(&rest[..end]).map_err(|_| self.stop(self.at, "UTF-8"))?;
        self.at += end + 1;
        Ok(text)
    }

    fn tag(&mut self, tag: u8, expected: &'static str) -> Result<(), DecodeError> {
        let at = self.at;
        if self.u8(expected)? == tag {
            Ok(())
        } else {
            Err(self.stop(at, expected))
        }
    }

    /// The part of the message from `start` up to the current position.
    fn since(&self, start: usize) -> &'a [u8] {
        &self.all[start..self.at]
    }

    fn relation(&mut self) -> Result<RelationMessage<'a>, DecodeError> {
        let oid = self.u32("the relation's OID")?;
        let schema = self.string("the schema")?;
        let name = self.string("the table's name")?;
        let replica_identity = self.u8("the replica identity")?;
        let columns = self.columns()?;
        Ok(RelationMessage {
            oid,
            schema,
            name,
            replica_identity,
            columns,
        })
    }

    fn columns(&mut self) -> Result<Columns<'a>, DecodeError> {
        let count = self.u16("the number of columns")?;
        let start = self.at;
        for _ in 0..count {
            self.u8("a column's flags")?;
            self.string("a column's name")?;
            self.u32("a column's type")?;
            self.i32("a column's type modifier")?;
        }
        Ok(Columns::checked(count, self.since(start)))
    }

    fn tuple(&mut self) -> Result<Tuple<'a>, DecodeError> {
        let count = self.u16("the number of columns")?;
        let start = self.at;
        for _ in 0..count {
            self.value()?;
        }
        Ok(Tuple::checked(count, self.since(start)))
    }

    fn value(&mut self) -> Result<(), DecodeError> {
        let at = self.at;
        match self.u8("a column's kind")? {
            tuple::NULL | tuple::UNCHANGED => {}
            tuple::TEXT => {
                let length = self.length("a column's length")?;
                let start = self.at;
                let bytes = self.bytes(length, "a column's text")?;
                // The stream is in the client's encoding, which the reader asks to be UTF-8.
                from_utf8(bytes).map_err(|_| self.stop(start, "UTF-8"))?;
            }
            tuple::BINARY => {
                let length = self.length("a column's length")?;
                self.bytes(length, "a column's bytes")?;
            }
            _ => return Err(self.stop(at, "a column's kind: 'n', 'u', 't' or 'b'")),
        }
        Ok(())
    }

    fn old(&mut self, tag: u8, expected: &'static str) -> Result<OldTuple<'a>, DecodeError> {
        match tag {
            b'K' => Ok(OldTuple::Key(self.tuple()?)),
            b'O' => Ok(OldTuple::Full(self.tuple()?)),
            _ => Err(self.stop(self.at - 1, expected)),
        }
    }

    fn update(&mut self) -> Result<Message<'a>, DecodeError> {
        let relation = self.u32("the relation's OID")?;
        let expected = "'K', 'O' or 'N'";
        let tag = self.u8(expected)?;
        let old = if tag == b'N' {
            None
        } else {
            let old = self.old(tag, expected)?;
            self.tag(b'N', "'N' and the new row")?;
            Some(old)
        };
        Ok(Message::Update {
            relation,
            old,
            new: self.tuple()?,
        })
    }

    fn truncate(&mut self) -> Result<Message<'a>, DecodeError> {
        let count = self.length("the number of relations")?;
        let options = self.u8("the options")?;
        // A count beyond the message reserves no memory: it is an error at the message's end.
        let expected = "the relations' OIDs";
        let size = count.checked_mul(4);
        let size = size.ok_or_else(|| self.stop(self.at, expected))?;
        let (oids, _) = self.bytes(size, expected)?.as_chunks();
        let relations = oids.iter().copied().map(u32::from_be_bytes).collect();
        Ok(Message::Truncate {
            relations,
            cascade: options & 1 != 0,
            restart_identity: options & 2 != 0,
        })
    }

    fn logical(&mut self) -> Result<Message<'a>, DecodeError> {
        let transactional = self.u8("the flags")? & 1 == 1;
        let lsn = self.u64("the LSN")?;
        let prefix = self.string("the prefix")?;
        let length = self.length("the content's length")?;
        Ok(Message::Logical {
            transactional,
            lsn,
            prefix,
            content: self.bytes(length, "the content")?,
        })
    }
}
