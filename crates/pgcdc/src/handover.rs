//! What the stream brings, handed over: decoded, each transaction whole, nothing twice however often the stream breaks.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use pgwire_replication::ReplicationEvent;

use super::catalogue::CatalogueColumn;
use super::clock::{TimeSource, UnixNanos};
use super::config::{Acknowledge, Origins, ReaderConfig};
use super::event::{Change, Commit, Event, LogicalMessage, Operation, Transaction};
use super::pgoutput::{self, Message, RelationMessage};
use super::reader::{Acknowledger, ReaderStats};
use super::snapshot::{CopiedTable, Overlap, SnapshotPlan, SnapshotRow};
use super::watch::HEARTBEAT_PREFIX;
use super::{Lsn, ReaderError, Relation, Relations, TableName, Xid};

/// PostgreSQL counts microseconds from 2000-01-01; this many seconds after the Unix epoch.
const POSTGRES_EPOCH_S: i64 = 946_684_800;

/// Whether to read on.
pub(super) type Flow = ControlFlow<()>;

/// The handler, and how far it has got.
pub(super) struct Handover<H> {
    clock: Arc<dyn TimeSource>,
    handler: H,
    mode: Acknowledge,
    origins: Origins,
    pub(super) acknowledger: Acknowledger,
    pub(super) relations: Relations,
    /// What the catalogue says of the table whose description is next.
    pub(super) looked_up: Option<Vec<CatalogueColumn>>,
    pub(super) place: Place,
    /// What the stream brings of copied tables, and their copies have.
    overlap: Overlap,
    pub(super) stats: ReaderStats,
}

/// How far the handler has got.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// Behind this, nothing has been handed over.
    pub(super) handled: Lsn,
    /// Behind the last transaction that came by.
    ended: Lsn,
    /// Behind the last transaction that had something for the handler.
    pub(super) told: Lsn,
    /// The transaction being read.
    open: Option<Open>,
    /// The one that was being read when the stream broke: it comes again, from its beginning.
    again: Option<Open>,
}

/// A transaction being read.
#[derive(Debug)]
struct Open {
    transaction: Transaction,
    /// Changes and messages of it that came by in this stream.
    seen: u64,
    /// Those that the handler had before the stream broke, and does not get again.
    skip: u64,
    /// Whether the handler knows of it.
    told: bool,
    /// Whether the handler is to hear nothing of it.
    filtered: bool,
}

impl<H: FnMut(Event<'_>) -> Flow> Handover<H> {
    pub(super) fn new(config: &ReaderConfig, handler: H, acknowledger: Acknowledger) -> Self {
        Self {
            clock: Arc::clone(&config.time_source),
            handler,
            mode: config.acknowledge,
            origins: config.origins,
            acknowledger,
            relations: Relations::default(),
            looked_up: None,
            place: Place::default(),
            overlap: Overlap::default(),
            stats: ReaderStats::default(),
        }
    }

    /// A table's copy stands for this position: what the stream has of it before that is not handed over.
    pub(super) fn has_copy(&mut self, table: TableName, point: Lsn) {
        self.overlap.add(table, point);
    }

    /// Whether a table's copy has been handed over, now or before.
    pub(super) fn is_copied(&self, table: &TableName) -> bool {
        self.overlap.has_copy(table)
    }

    /// The rows of a table look like this from here on.
    pub(super) fn describe(
        &mut self,
        message: &RelationMessage<'_>,
        catalogue: Option<&[CatalogueColumn]>,
    ) -> Arc<Relation> {
        let relation = Arc::clone(self.relations.describe(message, catalogue));
        self.overlap.describe(&relation);
        relation
    }

    /// An initial copy begins.
    pub(super) fn snapshot_begins(&mut self, plan: &SnapshotPlan) -> Flow {
        (self.handler)(Event::Snapshot(plan))
    }

    /// A row of an initial copy.
    pub(super) fn row(
        &mut self,
        relation: &Arc<Relation>,
        row: pgoutput::Tuple<'_>,
        place: SnapshotRow,
        snapshot: &Transaction,
        index: u64,
    ) -> Flow {
        self.stats.copied_rows += 1;
        (self.handler)(Event::Change(Change {
            relation,
            operation: Operation::Read(place),
            new: Some(row),
            old: None,
            transaction: snapshot,
            lsn: snapshot.commit_lsn,
            index,
            received: self.clock.now(),
        }))
    }

    /// A table of an initial copy is whole.
    pub(super) fn table_is_copied(&mut self, copied: CopiedTable<'_>) -> Flow {
        self.has_copy(copied.relation.table_name(), copied.point);
        let flow = (self.handler)(Event::Copied(copied));
        if self.mode == Acknowledge::OnReturn {
            self.acknowledger
                .acknowledge_copy(copied.relation.table_name(), copied.point);
        }
        flow
    }

    /// The transaction at hand comes again from its beginning.
    pub(super) fn stream_broke(&mut self) {
        if let Some(open) = self.place.open.take() {
            self.place.again = Some(open);
        }
    }

    pub(super) fn event(&mut self, event: ReplicationEvent) -> Result<Flow, ReaderError> {
        match event {
            ReplicationEvent::XLogData {
                wal_start, data, ..
            } => self.data(Lsn(wal_start.as_u64()), &data),
            ReplicationEvent::Begin {
                final_lsn,
                xid,
                commit_time_micros,
            } => self
                .transaction_begins(Transaction {
                    xid: Xid(xid),
                    commit_lsn: Lsn(final_lsn.as_u64()),
                    commit_time: postgres_time(commit_time_micros),
                    previous: (self.place.ended != Lsn(0)).then_some(self.place.ended),
                    origin: None,
                })
                .map(|()| Flow::Continue(())),
            ReplicationEvent::Commit { end_lsn, .. } => {
                Ok(self.transaction_ends(Lsn(end_lsn.as_u64())))
            }
            ReplicationEvent::KeepAlive { wal_end, .. } => Ok(self.idle(Lsn(wal_end.as_u64()))),
            ReplicationEvent::Message {
                transactional,
                lsn,
                prefix,
                content,
            } => Ok(self.message(transactional, Lsn(lsn.as_u64()), &prefix, &content)),
            ReplicationEvent::StoppedAt { .. } => Ok(Flow::Break(())),
        }
    }

    fn transaction_begins(&mut self, transaction: Transaction) -> Result<(), ReaderError> {
        let mut open = Open {
            transaction,
            seen: 0,
            skip: 0,
            told: false,
            filtered: false,
        };
        if let Some(again) = self.place.again.take() {
            let (wanted, found) = (again.transaction.commit_lsn, open.transaction.commit_lsn);
            // Nothing of it was handed over: it is new still.
            if wanted != found && again.told {
                return Err(ReaderError::Gap { wanted, found });
            }
            if wanted == found {
                // An earlier break may have come later in it than this one.
                open.skip = again.seen.max(again.skip);
                open.told = again.told;
            }
        }
        self.place.open = Some(open);
        Ok(())
    }

    fn transaction_ends(&mut self, end_lsn: Lsn) -> Flow {
        self.stats.transactions += 1;
        self.stats.last_lsn = end_lsn;
        self.place.handled = end_lsn;
        self.place.ended = end_lsn;
        let Some(open) = self.place.open.take() else {
            return Flow::Continue(());
        };
        if !open.told {
            return self.idle(end_lsn);
        }
        let flow = (self.handler)(Event::Commit(Commit {
            transaction: &open.transaction,
            end_lsn,
            events: open.seen,
        }));
        self.place.told = end_lsn;
        if self.mode == Acknowledge::OnReturn {
            self.acknowledger.acknowledge(end_lsn);
        }
        flow
    }

    /// Nothing of ours lies before this position: the server may let go of its WAL also where our tables are idle.
    fn idle(&mut self, lsn: Lsn) -> Flow {
        if self.place.open.is_some() || self.place.again.is_some() {
            return Flow::Continue(());
        }
        self.place.handled = self.place.handled.max(lsn);
        if self.acknowledger.acknowledged() >= self.place.told {
            self.acknowledger.acknowledge(lsn);
        }
        (self.handler)(Event::Idle(lsn))
    }

    fn data(&mut self, lsn: Lsn, data: &Bytes) -> Result<Flow, ReaderError> {
        let message = pgoutput::decode(data).map_err(|cause| ReaderError::Decode { cause, lsn })?;
        // T1: the row is decoded.
        let received = self.clock.now();
        let (oid, operation, new, old) = match message {
            Message::Relation(description) => {
                let columns = self.looked_up.take();
                self.describe(&description, columns.as_deref());
                return Ok(Flow::Continue(()));
            }
            Message::Origin { name, .. } => {
                if let Some(open) = &mut self.place.open {
                    open.filtered = self.origins == Origins::Local;
                    open.transaction.origin = Some(name.to_owned());
                }
                return Ok(Flow::Continue(()));
            }
            Message::Insert { relation, new } => (relation, Operation::Insert, Some(new), None),
            Message::Update { relation, old, new } => (relation, Operation::Update, Some(new), old),
            Message::Delete { relation, old } => (relation, Operation::Delete, None, Some(old)),
            Message::Truncate {
                relations,
                cascade,
                restart_identity,
            } => {
                let operation = Operation::Truncate {
                    cascade,
                    restart_identity,
                };
                for oid in relations {
                    if self
                        .change(oid, operation, None, None, lsn, received)?
                        .is_break()
                    {
                        return Ok(Flow::Break(()));
                    }
                }
                return Ok(Flow::Continue(()));
            }
            Message::Begin { .. }
            | Message::Commit { .. }
            | Message::Type { .. }
            | Message::Logical { .. } => return Ok(Flow::Continue(())),
        };
        self.change(oid, operation, new, old, lsn, received)
    }

    fn change(
        &mut self,
        oid: u32,
        operation: Operation,
        new: Option<pgoutput::Tuple<'_>>,
        old: Option<pgoutput::OldTuple<'_>>,
        lsn: Lsn,
        received: UnixNanos,
    ) -> Result<Flow, ReaderError> {
        let relation = self
            .relations
            .get(oid)
            .ok_or(ReaderError::UnknownRelation { oid, lsn })?;
        let open = self
            .place
            .open
            .as_mut()
            .ok_or(ReaderError::NoTransaction { lsn })?;
        let Some(index) = open.next() else {
            return Ok(Flow::Continue(()));
        };
        if self.overlap.has(oid, open.transaction.commit_lsn) {
            return Ok(Flow::Continue(()));
        }
        if open.tell(&mut self.handler).is_break() {
            return Ok(Flow::Break(()));
        }
        self.stats.changes += 1;
        Ok((self.handler)(Event::Change(Change {
            relation,
            operation,
            new,
            old,
            transaction: &open.transaction,
            lsn,
            index,
            received,
        })))
    }

    fn message(&mut self, transactional: bool, lsn: Lsn, prefix: &str, content: &[u8]) -> Flow {
        let received = self.clock.now();
        if prefix == HEARTBEAT_PREFIX {
            return Flow::Continue(());
        }
        if !transactional {
            // It may come again when the stream breaks: its place is in no transaction.
            return (self.handler)(Event::Message(LogicalMessage {
                transaction: None,
                lsn,
                index: 0,
                prefix,
                content,
                received,
            }));
        }
        let Some(open) = &mut self.place.open else {
            return Flow::Continue(());
        };
        let Some(index) = open.next() else {
            return Flow::Continue(());
        };
        open.tell(&mut self.handler)?;
        (self.handler)(Event::Message(LogicalMessage {
            transaction: Some(&open.transaction),
            lsn,
            index,
            prefix,
            content,
            received,
        }))
    }
}

impl Open {
    /// Counts an event; its position in the transaction, when the handler is to have it.
    fn next(&mut self) -> Option<u64> {
        let index = self.seen;
        self.seen += 1;
        (!self.filtered && index >= self.skip).then_some(index)
    }

    /// The handler hears of the transaction with its first event.
    fn tell(&mut self, handler: &mut impl FnMut(Event<'_>) -> Flow) -> Flow {
        if self.told {
            return Flow::Continue(());
        }
        self.told = true;
        handler(Event::Begin(&self.transaction))
    }
}

/// PostgreSQL's microseconds since 2000-01-01.
pub(super) fn postgres_time(micros: i64) -> UnixNanos {
    UnixNanos::from_micros(POSTGRES_EPOCH_S * 1_000_000 + micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgresqls_epoch_is_the_year_2000() {
        assert_eq!(postgres_time(0), UnixNanos(946_684_800_000_000_000));
        assert_eq!(postgres_time(-1), UnixNanos(946_684_799_999_999_000));
    }
}
