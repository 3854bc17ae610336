//! Changes as records in Kafka: Debezium's events, one topic per table, with the keys that Debezium uses.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use cdc_bench_model::timeline::Clock;
use pgcdc::{Acknowledger, Change, Commit, LogicalMessage, Relation, TableName};
use pgcdc_debezium::{EnvelopeConfig, EnvelopeError, Envelopes, Record};
use rdkafka::ClientConfig;
use tokio_util::sync::CancellationToken;

use super::topics::{TableTopics, TopicMaker};
use super::undelivered::{SentChange, SentOf, describe};
use crate::broker::{BrokerError, Publisher};
use crate::pipeline::failure::Failure;
use crate::pipeline::run::ack_tracker::{AckTracker, AckUnit};
use crate::pipeline::run::reader_clock::to_unix_nanos;

/// The reader's side: encodes changes and publishes them.
pub(super) struct RecordOutlet {
    envelopes: Envelopes,
    /// Table and topic by the table's OID: a table that is renamed has another topic.
    topics: HashMap<u32, TableTopic>,
    names: TableTopics,
    maker: TopicMaker,
    out: TopicPublisher,
    clock: Clock,
}

/// A table's topic.
struct TableTopic {
    relation: Arc<Relation>,
    table: Arc<TableName>,
    topic: String,
}

/// Publishes records and numbers them.
struct TopicPublisher {
    publisher: Arc<Publisher<SentChange>>,
    acks: Arc<AckTracker>,
    number: u64,
    topic_error: Arc<OnceLock<Failure>>,
}

/// The job's side: flushes, and reports a failure.
pub(super) struct RecordOutletHandle {
    publisher: Arc<Publisher<SentChange>>,
    acks: Arc<AckTracker>,
    topic_error: Arc<OnceLock<Failure>>,
}

impl RecordOutlet {
    pub(super) fn start(
        envelopes: EnvelopeConfig,
        kafka: &ClientConfig,
        names: TableTopics,
        maker: TopicMaker,
        clock: Clock,
    ) -> Result<(Self, RecordOutletHandle), Failure> {
        let acks = Arc::new(AckTracker::default());
        let tracker = Arc::clone(&acks);
        let delivered = Box::new(move |sent: SentChange, _| tracker.delivered(sent.number));
        let publisher = Arc::new(Publisher::new(kafka, clock, delivered)?);
        let topic_error = Arc::new(OnceLock::new());
        let end = RecordOutletHandle {
            publisher: Arc::clone(&publisher),
            acks: Arc::clone(&acks),
            topic_error: Arc::clone(&topic_error),
        };
        let records = Self {
            envelopes: Envelopes::new(envelopes),
            topics: HashMap::new(),
            names,
            maker,
            out: TopicPublisher {
                publisher,
                acks,
                number: 0,
                topic_error,
            },
            clock,
        };
        Ok((records, end))
    }

    pub(super) fn change(&mut self, change: &Change<'_>) -> Result<ControlFlow<()>, EnvelopeError> {
        let transactions = self.envelopes.transaction_topic();
        if let Some(begin) = self.envelopes.begin(change)
            && self
                .out
                .send(&transactions, begin, SentOf::Transaction)
                .is_break()
        {
            return Ok(ControlFlow::Break(()));
        }
        let relation = change.relation;
        let is_known = self
            .topics
            .get(&relation.oid)
            .is_some_and(|known| Arc::ptr_eq(&known.relation, relation));
        if !is_known && self.add_topic(relation).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let Some(to) = self.topics.get(&relation.oid) else {
            return Ok(ControlFlow::Break(()));
        };
        let (out, mut flow) = (&mut self.out, ControlFlow::Continue(()));
        self.envelopes
            .write(change, to_unix_nanos(self.clock.now()), |record| {
                if flow.is_continue() {
                    flow = out.send(
                        &to.topic,
                        record,
                        SentOf::Change(Arc::clone(&to.table), change.lsn),
                    );
                }
            })?;
        Ok(flow)
    }

    /// The topic of a table that comes for the first time, or has changed. It is created if it does not exist.
    fn add_topic(&mut self, relation: &Arc<Relation>) -> ControlFlow<()> {
        let table = relation.table_name();
        let topic = self.names.add(&table).and_then(|topic| {
            let made = self.maker.ensure(&topic);
            made.map(|()| topic).map_err(|error| {
                Failure::from(error).context(format!("the topic of table {}", table.to_sql()))
            })
        });
        match topic {
            Ok(topic) => {
                let entry = TableTopic {
                    relation: Arc::clone(relation),
                    table: Arc::new(table),
                    topic,
                };
                self.topics.insert(relation.oid, entry);
                ControlFlow::Continue(())
            }
            Err(failure) => {
                // The first ends the capture.
                let _ = self.out.topic_error.set(failure);
                ControlFlow::Break(())
            }
        }
    }

    /// A message of the WAL. Its topic is created with the first one.
    pub(super) fn message(&mut self, message: &LogicalMessage<'_>) -> ControlFlow<()> {
        let transactions = self.envelopes.transaction_topic();
        let topic = self.envelopes.message_topic();
        if let Err(error) = self.maker.ensure(&topic) {
            let failure = Failure::from(error).context("the topic of messages");
            // The first ends the capture.
            let _ = self.out.topic_error.set(failure);
            return ControlFlow::Break(());
        }
        if let Some(begin) = self.envelopes.begin_with_message(message) {
            self.out.send(&transactions, begin, SentOf::Transaction)?;
        }
        let now = to_unix_nanos(self.clock.now());
        let of = SentOf::Message(message.lsn);
        self.out
            .send(&topic, self.envelopes.message(message, now), of)
    }

    pub(super) fn commit(&mut self, commit: &Commit<'_>) -> ControlFlow<()> {
        let topic = self.envelopes.transaction_topic();
        match self.envelopes.end(commit) {
            Some(end) => self.out.send(&topic, end, SentOf::Transaction),
            None => ControlFlow::Continue(()),
        }
    }

    /// A unit ends with the record sent last.
    pub(super) fn end_unit(&mut self, unit: AckUnit) {
        self.out.acks.expect(self.out.number, unit);
    }

    pub(super) fn flush(&self) {
        self.out.flush();
    }
}

impl TopicPublisher {
    /// Sends a record. The publisher keeps an error.
    fn send(&mut self, topic: &str, record: Record<'_>, of: SentOf) -> ControlFlow<()> {
        self.number += 1;
        let sent = SentChange {
            number: self.number,
            of,
        };
        match self.publisher.send(topic, record.key, record.value, sent) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    fn flush(&self) {
        // What is not delivered in time is counted at the end.
        let _ = self.publisher.flush();
    }
}

impl RecordOutletHandle {
    pub(super) fn set_acknowledger(&self, acknowledger: Acknowledger) {
        self.acks.set_acknowledger(acknowledger);
    }

    pub(super) fn failed(&self) -> CancellationToken {
        self.publisher.failed_token()
    }

    pub(super) fn flush(&self) {
        // As above.
        let _ = self.publisher.flush();
    }

    pub(super) fn finish(self) -> Result<(), Failure> {
        let bootstrap = self.publisher.bootstrap();
        if let Some(record) = self.publisher.undelivered() {
            let error = describe(record, bootstrap);
            return Err(Failure::server(anyhow::anyhow!(error)));
        }
        if let Some(failure) = self.topic_error.get() {
            return Err(Failure::server(anyhow::anyhow!("{failure}")));
        }
        match self.publisher.in_flight() {
            0 => Ok(()),
            left => Err(Failure::from(BrokerError::Failed {
                action: "waiting for the last records to be delivered".to_owned(),
                bootstrap: bootstrap.to_owned(),
                reason: format!(
                    "{left} are not after ten seconds; is the broker running? They are not acknowledged: the next capture with the same slot sends them"
                ),
            })),
        }
    }
}
