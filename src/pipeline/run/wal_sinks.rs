//! What our reader does with the rows it decodes: on Debezium's path it observes, on the other paths it delivers them to the
//! consumer, through Kafka or in process.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cdc_bench_model::RunId;
use cdc_bench_model::event::{AGGREGATE_ID, SCHEMA};
use cdc_bench_model::timeline::{CapturePath, Captured, Clock, Stamp};
use pgcdc::{
    Acknowledge, Change, Event, Reader, ReaderConfig, ReaderError, ReaderHandle, Slot, SlotName,
    TableName,
};
use pgcdc_debezium::{EnvelopeConfig, EnvelopeError, Envelopes, MessageKey};
use rdkafka::ClientConfig;

use crate::broker::Publisher;
use crate::pipeline::failure::Failure;
use crate::pipeline::monitor::threads::{OwnThreads, Role};
use crate::pipeline::provision::names::topic_prefix;
use crate::pipeline::provision::route::RouteSource;
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::run::ack_tracker::{AckTracker, AckUnit};
use crate::pipeline::run::gate::Gate;
use crate::pipeline::run::links::Links;
use crate::pipeline::run::observer::{FollowedEvent, PathObserver};
use crate::pipeline::run::outbox_table::OutboxTable;
use crate::pipeline::run::reader_clock::{ReaderClock, to_stamp, to_unix_nanos};
use crate::records::{ReceivedRecord, RecordBatch, RecordSource};

/// Capacity of the queue between our reader and the consumer in process; as many as between Kafka's receiver and its writer.
const QUEUE: usize = 1_000;

/// Starts our reader with the sink that a path needs.
pub(crate) struct WalSinks<'a> {
    pub(crate) servers: &'a ServerClients,
    pub(crate) links: &'a Links,
    pub(crate) path: CapturePath,
    pub(crate) source: &'a RouteSource,
    pub(crate) run: &'a RunId,
    pub(crate) observer: &'a Arc<PathObserver>,
    pub(crate) threads: &'a OwnThreads,
    /// In front of the reader's handler.
    pub(crate) gate: &'a Gate,
    /// Counts the measured rows that the reader decodes.
    pub(crate) captured: &'a Arc<AtomicU64>,
    /// Whether records are keyed by aggregate, and not by event.
    pub(crate) by_aggregate: bool,
    pub(crate) clock: Clock,
}

impl WalSinks<'_> {
    fn reader_config(&self, slot: Slot) -> ReaderConfig {
        let postgres = &self.servers.endpoints.postgres;
        let server = self.links.postgres_of_reader(postgres).server();
        let mut config = ReaderConfig::new(server, slot, [&self.source.publication]);
        config.time_source = Arc::new(ReaderClock(self.clock));
        config
    }

    /// Configuration of a reader whose rows must be delivered: its slot survives a broken connection and is acknowledged by the
    /// ack tracker.
    fn delivering_config(&self) -> Result<ReaderConfig, Failure> {
        let name = self.source.slot.as_deref().unwrap_or_default();
        let mut config = self.reader_config(Slot::Permanent {
            name: SlotName::new(name).map_err(ReaderError::from)?,
            failover: false,
        });
        config.acknowledge = Acknowledge::Manual;
        // Debezium's events contain the primary key.
        config.describe = true;
        Ok(config)
    }

    /// A handler that takes nothing while the gate is shut, and ends the reader when it is shut for good.
    fn behind_gate(
        &self,
        mut handle: impl FnMut(Event<'_>) -> ControlFlow<()> + Send + 'static,
    ) -> impl FnMut(Event<'_>) -> ControlFlow<()> + Send + 'static {
        let gate = self.gate.clone();
        move |event| {
            if gate.pass_blocking() {
                handle(event)
            } else {
                ControlFlow::Break(())
            }
        }
    }

    fn rows(&self) -> OutboxRows {
        OutboxRows {
            outbox: OutboxTable::of(self.source.shard),
            observer: Arc::clone(self.observer),
            captured: Arc::clone(self.captured),
            threads: self.threads.clone(),
            has_registered_thread: false,
        }
    }

    fn envelopes(&self) -> Envelopes {
        let database = &self.servers.endpoints.postgres.database;
        let name = topic_prefix(self.path, self.run, self.source.shard);
        let by_aggregate = MessageKey {
            table: TableName::new(SCHEMA, self.source.shard.table()),
            columns: vec![AGGREGATE_ID.to_owned()],
        };
        Envelopes::new(EnvelopeConfig {
            message_keys: self
                .by_aggregate
                .then_some(by_aggregate)
                .into_iter()
                .collect(),
            ..EnvelopeConfig::new(name, database)
        })
    }

    /// Starts a reader that observes: it stamps T1 of the rows that Debezium reads too.
    pub(crate) async fn start_observer(&self) -> Result<ReaderHandle, Failure> {
        let slot = self.source.observer_slot.as_deref().unwrap_or_default();
        let name = SlotName::new(slot).map_err(ReaderError::from)?;
        let slot = if self.source.observer_slot_is_permanent {
            Slot::Permanent {
                name,
                failover: false,
            }
        } else {
            Slot::Temporary(name)
        };
        let mut rows = self.rows();
        let handler = move |event: Event<'_>| {
            if let Event::Change(change) = event {
                rows.stamp(&change);
            }
            ControlFlow::Continue(())
        };
        Ok(Reader::spawn(self.reader_config(slot), handler).await?)
    }

    /// Starts a reader that publishes every change to Kafka as Debezium's event.
    pub(crate) async fn start_publisher(
        &self,
        kafka: &ClientConfig,
        topic: &str,
    ) -> Result<(ReaderHandle, Arc<Publisher<SentRecord>>), Failure> {
        let acks = Arc::new(AckTracker::default());
        let (observer, tracker) = (Arc::clone(self.observer), Arc::clone(&acks));
        let delivered = Box::new(move |sent: SentRecord, t2: Stamp| {
            if let Some(event) = sent.event {
                observer.delivered(event, t2);
            }
            tracker.delivered(sent.number);
        });
        let publisher = Publisher::new(kafka, self.clock, delivered)?;
        let topic = topic.to_owned();
        let publisher = Arc::new(publisher);
        let (target, clock) = (Arc::clone(&publisher), self.clock);
        let mut sink = EnvelopeSink {
            rows: self.rows(),
            envelopes: self.envelopes(),
            acks: Arc::clone(&acks),
            number: 0,
            clock,
            deliver: move |record: OutgoingRecord<'_>| {
                let sent = SentRecord {
                    number: record.number,
                    event: record.event,
                };
                target.send(&topic, record.key, record.value, sent)
            },
        };
        let handler = self.behind_gate(move |event| sink.event(event));
        let reader = Reader::spawn(self.delivering_config()?, handler).await?;
        acks.set_acknowledger(reader.acknowledger());
        Ok((reader, publisher))
    }

    /// Starts a reader that passes every change to the consumer in this process.
    pub(crate) async fn start_embedded(&self) -> Result<(ReaderHandle, ChannelSource), Failure> {
        let acks = Arc::new(AckTracker::default());
        let (sender, records) = async_channel::bounded(QUEUE);
        let clock = self.clock;
        let mut sink = EnvelopeSink {
            rows: self.rows(),
            envelopes: self.envelopes(),
            acks: Arc::clone(&acks),
            number: 0,
            clock,
            deliver: move |record: OutgoingRecord<'_>| {
                let mut alone = RecordBatch::default();
                alone.push(ReceivedRecord {
                    value: record.value,
                    partition: 0,
                    offset: i64::try_from(record.number).unwrap_or(i64::MAX),
                    appended: None,
                    received: clock.now(),
                });
                sender.send_blocking(alone)
            },
        };
        let handler = self.behind_gate(move |event| sink.event(event));
        let reader = Reader::spawn(self.delivering_config()?, handler).await?;
        acks.set_acknowledger(reader.acknowledger());
        Ok((reader, ChannelSource { records, acks }))
    }
}

/// Reports decoded outbox rows to the observer.
struct OutboxRows {
    outbox: OutboxTable,
    observer: Arc<PathObserver>,
    captured: Arc<AtomicU64>,
    threads: OwnThreads,
    has_registered_thread: bool,
}

impl OutboxRows {
    /// Stamps a row. The event in it, if it is a measured one.
    fn stamp(&mut self, change: &Change<'_>) -> Option<FollowedEvent> {
        if !self.has_registered_thread {
            self.has_registered_thread = true;
            self.threads.enter(Role::Reader);
        }
        match self.outbox.read(change) {
            Ok(Some(row)) => {
                let captured = Captured {
                    tc: to_stamp(change.transaction.commit_time),
                    t1: to_stamp(change.received),
                    lsn: change.lsn.0,
                    commit_lsn: change.transaction.commit_lsn.0,
                    xid: change.transaction.xid.0,
                };
                let event = self.observer.captured(&row, captured);
                if event.as_ref().is_some_and(FollowedEvent::is_measured) {
                    self.captured.fetch_add(1, Ordering::Relaxed);
                }
                event
            }
            Ok(None) => None,
            Err(error) => {
                tracing::error!(%error, lsn = %change.lsn, "a row of the outbox could not be read");
                None
            }
        }
    }
}

/// What identifies a published record in its delivery report.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SentRecord {
    /// Number of the record.
    number: u64,
    /// The event in it, where its stamps are followed.
    event: Option<FollowedEvent>,
}

/// A record to deliver.
struct OutgoingRecord<'a> {
    number: u64,
    event: Option<FollowedEvent>,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

/// A handler of the reader that encodes changes as Debezium's events and delivers them.
struct EnvelopeSink<F> {
    rows: OutboxRows,
    envelopes: Envelopes,
    acks: Arc<AckTracker>,
    /// Number of records delivered so far.
    number: u64,
    clock: Clock,
    deliver: F,
}

impl<E: std::fmt::Display, F: FnMut(OutgoingRecord<'_>) -> Result<(), E>> EnvelopeSink<F> {
    fn event(&mut self, event: Event<'_>) -> ControlFlow<()> {
        match event {
            Event::Change(change) => self.change(&change),
            Event::Commit(commit) => {
                let unit = AckUnit::Transaction(commit.end_lsn);
                self.acks.expect(self.number, unit);
                ControlFlow::Continue(())
            }
            // Not delivered; but the position after a message outside of transactions is to be acknowledged.
            Event::Message(message) => {
                if message.transaction.is_none() {
                    let unit = AckUnit::Transaction(message.lsn);
                    self.acks.expect(self.number, unit);
                }
                ControlFlow::Continue(())
            }
            // No snapshot is requested.
            Event::Begin(_)
            | Event::Idle(_)
            | Event::Snapshot(_)
            | Event::CopiedChunk(_)
            | Event::Copied(_)
            | Event::Schema(_) => ControlFlow::Continue(()),
            // The reader is not asked for them: a transaction comes when it has committed.
            Event::Prepare(_) | Event::CommitPrepared(_) | Event::RollbackPrepared(_) => {
                ControlFlow::Continue(())
            }
        }
    }

    fn change(&mut self, change: &Change<'_>) -> ControlFlow<()> {
        let event = self.rows.stamp(change);
        let (number, deliver) = (&mut self.number, &mut self.deliver);
        let mut flow = ControlFlow::Continue(());
        let written: Result<(), EnvelopeError> =
            self.envelopes
                .write(change, to_unix_nanos(self.clock.now()), |record| {
                    *number += 1;
                    let outgoing = OutgoingRecord {
                        number: *number,
                        event,
                        key: record.key,
                        value: record.value,
                    };
                    // The consumer is gone, or the producer has failed and reports that itself: the run is about to end.
                    if let Err(error) = deliver(outgoing) {
                        tracing::debug!(%error, "a record was not passed on");
                        flow = ControlFlow::Break(());
                    }
                });
        if let Err(error) = written {
            // Not expected: the stream is requested in text format.
            tracing::error!(%error, lsn = %change.lsn, "a change could not be written");
        }
        flow
    }
}

/// The consumer's record source in process: the records of our reader.
pub(crate) struct ChannelSource {
    records: async_channel::Receiver<RecordBatch>,
    acks: Arc<AckTracker>,
}

impl RecordSource for ChannelSource {
    async fn recv(&mut self) -> Option<RecordBatch> {
        let mut records = self.records.recv().await.ok()?;
        while records.len() < QUEUE
            && let Ok(more) = self.records.try_recv()
        {
            more.iter().for_each(|record| records.push(record));
        }
        Some(records)
    }

    fn written(&mut self, _: i32, offset: i64) {
        self.acks
            .delivered_up_to(u64::try_from(offset).unwrap_or(0));
    }
}
