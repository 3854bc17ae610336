//! Stamps that one worker takes of an event that another one follows, as records of the test's topic of stamps. It has the
//! partitions of the outbox's topic: who owns a partition there reads the stamps of its events here.
//!
//! A record is a batch of one worker: its name, how far PostgreSQL's clock is ahead of its own, and fixed-size entries.

use cdc_bench_model::event::{EventId, EventType};
use cdc_bench_model::timeline::{CapturePath, Captured, Nanos, Stamp};
use uuid::Uuid;

/// First byte of every batch.
const VERSION: u8 = 1;

/// Who has taken the stamps of a batch, and by which clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StampSource {
    /// Name of the worker.
    pub(crate) worker: String,
    /// PostgreSQL's clock minus the worker's.
    pub(crate) to_postgres: Nanos,
    /// How far that may be off.
    pub(crate) bound: Nanos,
}

/// What was stamped of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stamped {
    /// The load has inserted it.
    Inserted {
        event_type: EventType,
        ts: Stamp,
        t0: Stamp,
        ta: Stamp,
    },
    /// PostgreSQL has refused it.
    Refused,
    /// The reader of a path has its row. Tc is on PostgreSQL's clock.
    Captured(CapturePath, Captured),
    /// The producer of a path has its delivery report.
    Delivered(CapturePath, Stamp),
}

/// The stamps of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StampEntry {
    pub(crate) id: EventId,
    pub(crate) seq: u64,
    pub(crate) stamped: Stamped,
}

/// A batch that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no batch of stamps of this version")]
pub(crate) struct NoStampsError;

/// The beginning of a batch; entries are appended to it.
pub(crate) fn begin_batch(source: &StampSource) -> Vec<u8> {
    let name = source.worker.as_bytes();
    let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
    let mut batch = vec![VERSION, length];
    batch.extend(&name[..usize::from(length)]);
    batch.extend(source.to_postgres.0.to_le_bytes());
    batch.extend(source.bound.0.to_le_bytes());
    batch
}

impl StampEntry {
    /// Appends it.
    pub(crate) fn write(&self, batch: &mut Vec<u8>) {
        let tag = match self.stamped {
            Stamped::Inserted { event_type, .. } => {
                // Three of them.
                u8::try_from(event_type.index()).unwrap_or(0x0f)
            }
            Stamped::Refused => 0x10,
            Stamped::Captured(path, _) => 0x20 | path_tag(path),
            Stamped::Delivered(path, _) => 0x30 | path_tag(path),
        };
        batch.push(tag);
        batch.extend(self.id.0.as_bytes());
        batch.extend(self.seq.to_le_bytes());
        let mut stamp = |stamp: Stamp| batch.extend(stamp.0.to_le_bytes());
        match self.stamped {
            Stamped::Inserted { ts, t0, ta, .. } => [ts, t0, ta].into_iter().for_each(stamp),
            Stamped::Refused => {}
            Stamped::Captured(_, captured) => {
                stamp(captured.tc);
                stamp(captured.t1);
                batch.extend(captured.lsn.to_le_bytes());
                batch.extend(captured.commit_lsn.to_le_bytes());
                batch.extend(captured.xid.to_le_bytes());
            }
            Stamped::Delivered(_, t2) => stamp(t2),
        }
    }
}

/// Reads a batch; `entry` is called for each of its entries.
///
/// # Errors
/// When it is of another version, or cut off. What came before has been passed on.
pub(crate) fn read_batch(
    batch: &[u8],
    mut entry: impl FnMut(&StampSource, StampEntry),
) -> Result<(), NoStampsError> {
    let mut rest = Rest(batch);
    if rest.byte()? != VERSION {
        return Err(NoStampsError);
    }
    let length = usize::from(rest.byte()?);
    let name = rest.0.split_at_checked(length).ok_or(NoStampsError)?;
    rest.0 = name.1;
    let source = StampSource {
        worker: String::from_utf8(name.0.to_vec()).map_err(|_| NoStampsError)?,
        to_postgres: Nanos(rest.stamp()?.0),
        bound: Nanos(rest.stamp()?.0),
    };
    while !rest.0.is_empty() {
        let tag = rest.byte()?;
        let (id, seq) = (Uuid::from_bytes(rest.take()?), rest.number()?);
        let stamped = match tag & 0xf0 {
            0x00 => Stamped::Inserted {
                event_type: *EventType::ALL.get(usize::from(tag)).ok_or(NoStampsError)?,
                ts: rest.stamp()?,
                t0: rest.stamp()?,
                ta: rest.stamp()?,
            },
            0x10 => Stamped::Refused,
            0x20 => {
                let captured = Captured {
                    tc: rest.stamp()?,
                    t1: rest.stamp()?,
                    lsn: rest.number()?,
                    commit_lsn: rest.number()?,
                    xid: u32::from_le_bytes(rest.take()?),
                };
                Stamped::Captured(tagged_path(tag)?, captured)
            }
            0x30 => Stamped::Delivered(tagged_path(tag)?, rest.stamp()?),
            _ => return Err(NoStampsError),
        };
        let id = EventId(id);
        entry(&source, StampEntry { id, seq, stamped });
    }
    Ok(())
}

fn path_tag(path: CapturePath) -> u8 {
    match path {
        CapturePath::Debezium => 0,
        CapturePath::Wal => 1,
        CapturePath::Embedded => 2,
    }
}

fn tagged_path(tag: u8) -> Result<CapturePath, NoStampsError> {
    match tag & 0x0f {
        0 => Ok(CapturePath::Debezium),
        1 => Ok(CapturePath::Wal),
        2 => Ok(CapturePath::Embedded),
        _ => Err(NoStampsError),
    }
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], NoStampsError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(NoStampsError)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, NoStampsError> {
        self.take().map(|[byte]| byte)
    }

    fn number(&mut self) -> Result<u64, NoStampsError> {
        self.take().map(u64::from_le_bytes)
    }

    fn stamp(&mut self) -> Result<Stamp, NoStampsError> {
        self.take().map(|bytes| Stamp(i64::from_le_bytes(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> (StampSource, Vec<StampEntry>, Vec<u8>) {
        let source = StampSource {
            worker: "node-3".to_owned(),
            to_postgres: Nanos(-3_000_000_000),
            bound: Nanos(41_000),
        };
        let captured = Captured {
            tc: Stamp(1),
            t1: Stamp(2),
            lsn: u64::MAX,
            commit_lsn: 4,
            xid: 5,
        };
        let inserted = |event_type| Stamped::Inserted {
            event_type,
            ts: Stamp(-1),
            t0: Stamp(i64::MAX),
            ta: Stamp(i64::MIN),
        };
        let stamped = [
            inserted(EventType::ALL[0]),
            inserted(EventType::ALL[2]),
            Stamped::Refused,
            Stamped::Captured(CapturePath::Wal, captured),
            Stamped::Delivered(CapturePath::Debezium, Stamp(9)),
        ];
        let entries: Vec<_> = (7..)
            .zip(stamped)
            .map(|(seq, stamped)| StampEntry {
                id: EventId(Uuid::from_u128(seq.into())),
                seq,
                stamped,
            })
            .collect();
        let mut bytes = begin_batch(&source);
        entries.iter().for_each(|entry| entry.write(&mut bytes));
        (source, entries, bytes)
    }

    #[test]
    fn what_is_sent_is_what_is_read() {
        let (source, entries, bytes) = batch();
        let mut read = Vec::new();
        let each = |from: &StampSource, entry| {
            assert_eq!(*from, source);
            read.push(entry);
        };
        read_batch(&bytes, each).unwrap();
        assert_eq!(read, entries);
    }

    #[test]
    fn what_is_cut_off_or_of_another_version_is_refused() {
        let (_, entries, mut bytes) = batch();
        for length in 0..bytes.len() {
            let mut read = 0;
            let outcome = read_batch(&bytes[..length], |_, _| read += 1);
            assert!(outcome.is_err() || read < entries.len(), "{length}");
        }
        bytes[0] = 2;
        assert_eq!(read_batch(&bytes, |_, _| ()), Err(NoStampsError));
    }
}
