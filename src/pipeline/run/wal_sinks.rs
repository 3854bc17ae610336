//! What our reader does with the rows it reads: on Debezium's path it looks on, on the others it feeds the consumer,
//! through Kafka or at once.

use std::ops::ControlFlow;
use std::sync::Arc;

use cdc_bench_model::RunId;
use cdc_bench_model::timeline::{Captured, Clock, Stamp};
use pgcdc::{
    Acknowledge, Change, Event, Reader, ReaderConfig, ReaderError, ReaderHandle, Slot, SlotName,
};
use pgcdc_debezium::{EnvelopeConfig, EnvelopeError, Envelopes};
use rdkafka::ClientConfig;

use crate::broker::Publisher;
use crate::pipeline::failure::Failure;
use crate::pipeline::monitor::threads::{OwnThreads, Role};
use crate::pipeline::provision::names::topic_prefix;
use crate::pipeline::provision::route::Route;
use crate::pipeline::provision::servers::Servers;
use crate::pipeline::run::ack_tracker::{AckTracker, AckUnit};
use crate::pipeline::run::observer::{FollowedEvent, PathObserver};
use crate::pipeline::run::outbox_table::OutboxTable;
use crate::pipeline::run::reader_clock::{ReaderClock, stamp, unix_nanos};
use crate::records::{ReceivedRecord, RecordBatch, RecordSource};

/// Records between our reader and the consumer in the same process, as many as between Kafka's receiver and its writer.
const QUEUE: usize = 1_000;

/// What a feed needs to begin.
pub(crate) struct WalSinks<'a> {
    pub(crate) servers: &'a Servers,
    pub(crate) route: &'a Route,
    pub(crate) run: &'a RunId,
    pub(crate) observer: &'a Arc<PathObserver>,
    pub(crate) threads: &'a OwnThreads,
    pub(crate) clock: Clock,
}

impl WalSinks<'_> {
    fn reader(&self, slot: Slot) -> ReaderConfig {
        let server = self.servers.endpoints.postgres.server();
        let mut config = ReaderConfig::new(server, slot, [&self.route.publication]);
        config.time_source = Arc::new(ReaderClock(self.clock));
        config
    }

    /// A reader whose rows have to arrive: its slot outlives a broken connection, and is acknowledged by receipts.
    fn delivering(&self) -> Result<ReaderConfig, Failure> {
        let name = self.route.slot.as_deref().unwrap_or_default();
        let mut config = self.reader(Slot::Permanent {
            name: SlotName::new(name).map_err(ReaderError::from)?,
            failover: false,
        });
        config.acknowledge = Acknowledge::Manual;
        // Debezium's events have the primary key.
        config.describe = true;
        Ok(config)
    }

    fn rows(&self) -> OutboxRows {
        OutboxRows {
            outbox: OutboxTable::default(),
            observer: Arc::clone(self.observer),
            threads: self.threads.clone(),
            is_known: false,
        }
    }

    fn envelopes(&self) -> Envelopes {
        let database = &self.servers.endpoints.postgres.database;
        let name = topic_prefix(self.route.path, self.run);
        Envelopes::new(EnvelopeConfig::new(name, database))
    }

    /// Looks on: stamps T1 of what Debezium reads beside it.
    pub(crate) async fn look_on(&self) -> Result<ReaderHandle, Failure> {
        let slot = self.route.observer_slot.as_deref().unwrap_or_default();
        let slot = Slot::Temporary(SlotName::new(slot).map_err(ReaderError::from)?);
        let mut rows = self.rows();
        let handler = move |event: Event<'_>| {
            if let Event::Change(change) = event {
                rows.note(&change);
            }
            ControlFlow::Continue(())
        };
        Ok(Reader::spawn(self.reader(slot), handler).await?)
    }

    /// Publishes every change as Debezium's event.
    pub(crate) async fn publish(
        &self,
        kafka: &ClientConfig,
        topic: &str,
    ) -> Result<(ReaderHandle, Arc<Publisher<SentRecord>>), Failure> {
        let acks = Arc::new(AckTracker::default());
        let (observer, arrived) = (Arc::clone(self.observer), Arc::clone(&acks));
        let delivered = Box::new(move |sent: SentRecord, t2: Stamp| {
            if let Some(event) = sent.event {
                observer.delivered(event, t2);
            }
            arrived.arrived(sent.number);
        });
        let publisher = Publisher::new(kafka, self.clock, delivered)?;
        let topic = topic.to_owned();
        let publisher = Arc::new(publisher);
        let (to, clock) = (Arc::clone(&publisher), self.clock);
        let mut feed = EnvelopeSink {
            rows: self.rows(),
            envelopes: self.envelopes(),
            acks: Arc::clone(&acks),
            number: 0,
            clock,
            pass_on: move |record: OutgoingRecord<'_>| {
                let sent = SentRecord {
                    number: record.number,
                    event: record.event,
                };
                to.send(&topic, record.key, record.value, sent)
            },
        };
        let handler = move |event: Event<'_>| feed.event(event);
        let reader = Reader::spawn(self.delivering()?, handler).await?;
        acks.go_to(reader.acknowledger());
        Ok((reader, publisher))
    }

    /// Hands every change to the consumer in this process.
    pub(crate) async fn embed(&self) -> Result<(ReaderHandle, ChannelSource), Failure> {
        let acks = Arc::new(AckTracker::default());
        let (sender, records) = async_channel::bounded(QUEUE);
        let clock = self.clock;
        let mut feed = EnvelopeSink {
            rows: self.rows(),
            envelopes: self.envelopes(),
            acks: Arc::clone(&acks),
            number: 0,
            clock,
            pass_on: move |record: OutgoingRecord<'_>| {
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
        let handler = move |event: Event<'_>| feed.event(event);
        let reader = Reader::spawn(self.delivering()?, handler).await?;
        acks.go_to(reader.acknowledger());
        Ok((reader, ChannelSource { records, acks }))
    }
}

/// OutboxRows of the outbox as the observer hears of them.
struct OutboxRows {
    outbox: OutboxTable,
    observer: Arc<PathObserver>,
    threads: OwnThreads,
    is_known: bool,
}

impl OutboxRows {
    /// Stamps a row; which event it is, where its stamps are followed.
    fn note(&mut self, change: &Change<'_>) -> Option<FollowedEvent> {
        if !self.is_known {
            self.is_known = true;
            self.threads.enter(Role::Reader);
        }
        match self.outbox.read(change) {
            Ok(Some(row)) => {
                let captured = Captured {
                    tc: stamp(change.transaction.commit_time),
                    t1: stamp(change.received),
                    lsn: change.lsn.0,
                    commit_lsn: change.transaction.commit_lsn.0,
                    xid: change.transaction.xid.0,
                };
                self.observer
                    .captured(row.run_id, row.id, row.seq, captured)
            }
            Ok(None) => None,
            Err(error) => {
                tracing::error!(%error, lsn = %change.lsn, "a row of the outbox could not be read");
                None
            }
        }
    }
}

/// What a record was sent with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SentRecord {
    /// How manyth record it is.
    number: u64,
    /// The event in it, where its stamps are followed.
    event: Option<FollowedEvent>,
}

/// A record on its way out of the feed.
struct OutgoingRecord<'a> {
    number: u64,
    event: Option<FollowedEvent>,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
}

/// A reader's handler that makes Debezium's events and passes them on.
struct EnvelopeSink<F> {
    rows: OutboxRows,
    envelopes: Envelopes,
    acks: Arc<AckTracker>,
    /// Records passed on so far.
    number: u64,
    clock: Clock,
    pass_on: F,
}

impl<E: std::fmt::Display, F: FnMut(OutgoingRecord<'_>) -> Result<(), E>> EnvelopeSink<F> {
    fn event(&mut self, event: Event<'_>) -> ControlFlow<()> {
        match event {
            Event::Change(change) => self.change(&change),
            Event::Commit(commit) => {
                let whole = AckUnit::Transaction(commit.end_lsn);
                self.acks.expect(self.number, whole);
                ControlFlow::Continue(())
            }
            // No initial copy is asked for.
            Event::Begin(_)
            | Event::Message(_)
            | Event::Idle(_)
            | Event::Snapshot(_)
            | Event::Copied(_) => ControlFlow::Continue(()),
        }
    }

    fn change(&mut self, change: &Change<'_>) -> ControlFlow<()> {
        let event = self.rows.note(change);
        let (number, pass_on) = (&mut self.number, &mut self.pass_on);
        let mut flow = ControlFlow::Continue(());
        let written: Result<(), EnvelopeError> =
            self.envelopes
                .write(change, unix_nanos(self.clock.now()), |record| {
                    *number += 1;
                    let passed = OutgoingRecord {
                        number: *number,
                        event,
                        key: record.key,
                        value: record.value,
                    };
                    // The consumer is gone, or the producer has failed and says so itself: the run is about to end.
                    if let Err(error) = pass_on(passed) {
                        tracing::debug!(%error, "a record was not passed on");
                        flow = ControlFlow::Break(());
                    }
                });
        if let Err(error) = written {
            // The stream is asked for in text format.
            tracing::error!(%error, lsn = %change.lsn, "a change could not be written");
        }
        flow
    }
}

/// Records of our reader's as the consumer takes them.
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
        self.acks.arrived_up_to(u64::try_from(offset).unwrap_or(0));
    }
}
