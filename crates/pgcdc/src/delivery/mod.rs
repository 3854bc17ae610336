//! Delivery: decodes what the stream brings and passes it to the handler, each transaction complete, nothing twice however
//! often the stream breaks.

pub(crate) mod acknowledger;
pub(crate) mod replay_state;
pub(crate) mod spool;

pub use acknowledger::Acknowledger;

mod prepared;

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::clock::{TimeSource, UnixNanos};
use crate::delivery::replay_state::{OpenTransaction, ReplayState};
use crate::event::schema_changes::SchemaChanges;
use crate::event::{Change, Commit, Event, LogicalMessage, Operation, Transaction};
use crate::pgoutput::{self, Message, RelationMessage};
use crate::reader::config::{Acknowledge, Origins, ReaderConfig};
use crate::reader::stats::ReaderStats;
use crate::slots::monitor::HEARTBEAT_PREFIX;
use crate::snapshot::{CopiedChunk, CopiedTable, CopyOverlap, SnapshotPlan, SnapshotRow};
use crate::types::catalogue::CatalogueColumn;
use crate::wire::StreamMessage;
use crate::{Lsn, ReaderError, Relation, Relations, TableName, Xid};

/// Whether to continue reading.
pub(super) type Flow = ControlFlow<()>;

/// The handler, with the state that decides what it receives.
pub(super) struct Delivery<H> {
    clock: Arc<dyn TimeSource>,
    handler: H,
    mode: Acknowledge,
    origins: Origins,
    acknowledger: Acknowledger,
    pub(super) relations: Relations,
    /// Descriptions that the handler has not been told of.
    schema_changes: SchemaChanges,
    /// The catalogue's columns of the table that the next message describes.
    pub(super) next_columns: Option<Vec<CatalogueColumn>>,
    replay: ReplayState,
    /// Changes of the stream that are in the initial copies already.
    overlap: CopyOverlap,
    pub(super) stats: ReaderStats,
    /// Commit time of the last delivered transaction.
    last_commit: Option<UnixNanos>,
}

impl<H: FnMut(Event<'_>) -> Flow> Delivery<H> {
    pub(super) fn new(config: &ReaderConfig, handler: H, acknowledger: Acknowledger) -> Self {
        Self {
            clock: Arc::clone(&config.time_source),
            handler,
            mode: config.acknowledge,
            origins: config.origins,
            acknowledger,
            relations: Relations::default(),
            schema_changes: SchemaChanges::default(),
            next_columns: None,
            replay: ReplayState::default(),
            overlap: CopyOverlap::default(),
            stats: ReaderStats::default(),
            last_commit: None,
        }
    }

    /// Starts after this position, which counts as delivered and acknowledged.
    pub(super) fn start_after(&mut self, lsn: Lsn) {
        self.replay.start_after(lsn);
        self.acknowledger.acknowledge(lsn);
    }

    /// Resume LSN: nothing after it was delivered.
    pub(super) fn resume_lsn(&self) -> Lsn {
        self.replay.resume_lsn()
    }

    /// Commit time of the last delivered transaction.
    pub(super) fn last_commit(&self) -> Option<UnixNanos> {
        self.last_commit
    }

    /// A table was copied as of `point`: changes of it that committed before are not delivered.
    pub(super) fn add_copy(&mut self, table: TableName, point: Lsn) {
        self.overlap.add(table, point);
    }

    /// Whether a table's copy was delivered, by this reader or an earlier one.
    pub(super) fn is_copied(&self, table: &TableName) -> bool {
        self.overlap.has_copy(table)
    }

    /// Registers the description of a table, for the rows after it.
    pub(super) fn describe(
        &mut self,
        message: &RelationMessage<'_>,
        catalogue: Option<&[CatalogueColumn]>,
    ) -> Arc<Relation> {
        let before = self.relations.get(message.oid).cloned();
        let relation = Arc::clone(self.relations.describe(message, catalogue));
        self.schema_changes.described(before, &relation);
        self.overlap.describe(&relation);
        relation
    }

    /// The transaction in progress.
    pub(super) fn transaction(&self) -> Option<Xid> {
        self.replay.xid()
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
        position: SnapshotRow,
        snapshot: &Transaction,
        index: u64,
    ) -> Flow {
        let schema = &mut self.schema_changes;
        if let Some(flow) = schema.deliver(relation, snapshot, &mut self.handler) {
            flow?;
        }
        self.stats.copied_rows += 1;
        (self.handler)(Event::Change(Change {
            relation,
            operation: Operation::Read(position),
            new: Some(row),
            old: None,
            transaction: snapshot,
            lsn: snapshot.commit_lsn,
            index,
            received: self.clock.now(),
        }))
    }

    /// A chunk of a table's initial copy is complete.
    pub(super) fn chunk_is_copied(&mut self, copied: CopiedChunk<'_>) -> Flow {
        let flow = (self.handler)(Event::CopiedChunk(copied));
        if self.mode == Acknowledge::OnReturn {
            self.acknowledger
                .acknowledge_chunk(copied.relation.table_name(), copied.chunk.clone());
        }
        flow
    }

    /// The initial copy of a table is complete.
    pub(super) fn table_is_copied(&mut self, copied: CopiedTable<'_>) -> Flow {
        self.add_copy(copied.relation.table_name(), copied.point);
        let flow = (self.handler)(Event::Copied(copied));
        if self.mode == Acknowledge::OnReturn {
            self.acknowledger
                .acknowledge_copy(copied.relation.table_name(), copied.point);
        }
        flow
    }

    /// The stream broke: the transaction in progress will come again from its beginning.
    pub(super) fn stream_broke(&mut self) {
        self.replay.interrupt();
    }

    /// A message of the stream.
    ///
    /// # Errors
    /// When it cannot be decoded, or comes where it may not.
    pub(super) fn message(&mut self, message: StreamMessage<'_>) -> Result<Flow, ReaderError> {
        match message {
            StreamMessage::Wal { lsn, data } => self.data(lsn, data),
            StreamMessage::KeepAlive { wal_end } => Ok(self.idle(wal_end)),
        }
    }

    fn transaction_ends(&mut self, end_lsn: Lsn) -> Flow {
        self.stats.transactions += 1;
        self.stats.last_lsn = end_lsn;
        let Some(open) = self.replay.end(end_lsn) else {
            return Flow::Continue(());
        };
        if !open.begun {
            return self.idle(end_lsn);
        }
        let flow = (self.handler)(Event::Commit(Commit {
            transaction: &open.transaction,
            end_lsn,
            events: open.received,
        }));
        self.replay.commit_delivered(end_lsn);
        self.last_commit = Some(open.transaction.commit_time);
        if self.mode == Acknowledge::OnReturn {
            self.acknowledger.note(end_lsn);
        }
        flow
    }

    /// The server has reached this position, and every event before it was delivered: its WAL may be discarded even when the
    /// published tables are idle.
    fn idle(&mut self, lsn: Lsn) -> Flow {
        if !self.replay.advance(lsn) {
            return Flow::Continue(());
        }
        if self.acknowledger.acknowledged() >= self.replay.delivered() {
            self.acknowledger.note(lsn);
        }
        (self.handler)(Event::Idle(lsn))
    }

    /// A message of the output plugin, as protocol version 1 has it.
    pub(super) fn data(&mut self, lsn: Lsn, data: &[u8]) -> Result<Flow, ReaderError> {
        let message = pgoutput::decode(data).map_err(|cause| ReaderError::Decode { cause, lsn })?;
        self.decoded(lsn, message)
    }

    /// The same, decoded.
    pub(super) fn decoded(&mut self, lsn: Lsn, message: Message<'_>) -> Result<Flow, ReaderError> {
        let (oid, operation, new, old) = match message {
            Message::Relation(description) => {
                let columns = self.next_columns.take();
                self.describe(&description, columns.as_deref());
                return Ok(Flow::Continue(()));
            }
            Message::Origin { name, .. } => {
                if let Some(open) = self.replay.current() {
                    open.filtered |= self.origins == Origins::Local;
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
                    if self.change(oid, operation, None, None, lsn)?.is_break() {
                        return Ok(Flow::Break(()));
                    }
                }
                return Ok(Flow::Continue(()));
            }
            Message::Begin {
                final_lsn,
                commit_time_us,
                xid,
            } => {
                self.replay.begin(Transaction {
                    xid: Xid(xid),
                    commit_lsn: Lsn(final_lsn),
                    commit_time: UnixNanos::from_postgres_micros(commit_time_us),
                    previous: self.replay.last_end_lsn(),
                    origin: None,
                    gid: None,
                })?;
                return Ok(Flow::Continue(()));
            }
            Message::Commit { end_lsn, .. } => return Ok(self.transaction_ends(Lsn(end_lsn))),
            Message::Logical {
                transactional,
                lsn,
                prefix,
                content,
            } => return Ok(self.logical_message(transactional, Lsn(lsn), prefix, content)),
            Message::Type { oid, schema, name } => {
                self.relations.types_mut().add_name(oid, schema, name);
                return Ok(Flow::Continue(()));
            }
            Message::BeginPrepare(message) => {
                self.prepared_begins(&message)?;
                return Ok(Flow::Continue(()));
            }
            Message::Prepare(message) => return Ok(self.is_prepared(&message)),
            Message::CommitPrepared(message) => return self.prepared_commits(&message),
            Message::RollbackPrepared(message) => return self.prepared_rolls_back(&message),
        };
        self.change(oid, operation, new, old, lsn)
    }

    fn change(
        &mut self,
        oid: u32,
        operation: Operation,
        new: Option<pgoutput::Tuple<'_>>,
        old: Option<pgoutput::OldTuple<'_>>,
        lsn: Lsn,
    ) -> Result<Flow, ReaderError> {
        // The row is decoded.
        let received = self.clock.now();
        let relation = self
            .relations
            .get(oid)
            .ok_or(ReaderError::UnknownRelation { oid, lsn })?;
        let open = self
            .replay
            .current()
            .ok_or(ReaderError::NoTransaction { lsn })?;
        let Some(index) = open.next() else {
            return Ok(Flow::Continue(()));
        };
        if self.overlap.contains(oid, open.transaction.commit_lsn) {
            return Ok(Flow::Continue(()));
        }
        if deliver_begin(open, &mut self.handler).is_break() {
            return Ok(Flow::Break(()));
        }
        let schema = &mut self.schema_changes;
        if let Some(Flow::Break(())) =
            schema.deliver(relation, &open.transaction, &mut self.handler)
        {
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

    fn logical_message(
        &mut self,
        transactional: bool,
        lsn: Lsn,
        prefix: &str,
        content: &[u8],
    ) -> Flow {
        let received = self.clock.now();
        if prefix == HEARTBEAT_PREFIX {
            return Flow::Continue(());
        }
        if !transactional {
            // It comes between transactions, and is like one: everything before it was delivered.
            if !self.replay.message(lsn) {
                return Flow::Continue(());
            }
            let flow = (self.handler)(Event::Message(LogicalMessage {
                transaction: None,
                lsn,
                index: 0,
                prefix,
                content,
                received,
            }));
            self.replay.commit_delivered(lsn);
            if self.mode == Acknowledge::OnReturn {
                self.acknowledger.note(lsn);
            }
            return flow;
        }
        let Some(open) = self.replay.current() else {
            return Flow::Continue(());
        };
        let Some(index) = open.next() else {
            return Flow::Continue(());
        };
        deliver_begin(open, &mut self.handler)?;
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

/// Delivers the transaction's `Begin` before its first event.
fn deliver_begin(open: &mut OpenTransaction, handler: &mut impl FnMut(Event<'_>) -> Flow) -> Flow {
    if open.begun {
        return Flow::Continue(());
    }
    open.begun = true;
    handler(Event::Begin(&open.transaction))
}
