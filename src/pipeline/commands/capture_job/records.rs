//! Changes as records in Kafka: Debezium's events, one topic per table, with the keys that Debezium uses.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use cdc_bench_model::timeline::Clock;
use pgcdc::{Acknowledger, Change, Commit, LogicalMessage};
use pgcdc_debezium::{EnvelopeConfig, EnvelopeError, Envelopes, Record};
use rdkafka::ClientConfig;

use crate::broker::{BrokerError, Publisher};
use crate::pipeline::failure::Failure;
use crate::pipeline::run::ack_tracker::{AckTracker, AckUnit};
use crate::pipeline::run::reader_clock::to_unix_nanos;

/// The reader's side: encodes changes and publishes them.
pub(super) struct RecordOutlet {
    envelopes: Envelopes,
    /// Topic by the table's OID.
    topics: HashMap<u32, String>,
    out: TopicPublisher,
    clock: Clock,
}

/// Publishes records and numbers them.
struct TopicPublisher {
    publisher: Arc<Publisher<u64>>,
    acks: Arc<AckTracker>,
    number: u64,
}

/// The job's side: flushes, and reports a failure.
pub(super) struct RecordOutletHandle {
    publisher: Arc<Publisher<u64>>,
    acks: Arc<AckTracker>,
}

impl RecordOutlet {
    pub(super) fn start(
        envelopes: EnvelopeConfig,
        kafka: &ClientConfig,
        clock: Clock,
    ) -> Result<(Self, RecordOutletHandle), Failure> {
        let acks = Arc::new(AckTracker::default());
        let tracker = Arc::clone(&acks);
        let delivered = Box::new(move |number, _| tracker.delivered(number));
        let publisher = Arc::new(Publisher::new(kafka, clock, delivered)?);
        let end = RecordOutletHandle {
            publisher: Arc::clone(&publisher),
            acks: Arc::clone(&acks),
        };
        let records = Self {
            envelopes: Envelopes::new(envelopes),
            topics: HashMap::new(),
            out: TopicPublisher {
                publisher,
                acks,
                number: 0,
            },
            clock,
        };
        Ok((records, end))
    }

    pub(super) fn change(&mut self, change: &Change<'_>) -> Result<ControlFlow<()>, EnvelopeError> {
        let transactions = self.envelopes.transaction_topic();
        if let Some(begin) = self.envelopes.begin(change)
            && self.out.send(&transactions, begin).is_err()
        {
            return Ok(ControlFlow::Break(()));
        }
        let relation = change.relation;
        let topic = self
            .topics
            .entry(relation.oid)
            .or_insert_with(|| self.envelopes.topic(relation));
        let (out, mut flow) = (&mut self.out, ControlFlow::Continue(()));
        self.envelopes
            .write(change, to_unix_nanos(self.clock.now()), |record| {
                // The publisher has the reason.
                if flow.is_continue() && out.send(topic, record).is_err() {
                    flow = ControlFlow::Break(());
                }
            })?;
        Ok(flow)
    }

    pub(super) fn message(&mut self, message: &LogicalMessage<'_>) -> ControlFlow<()> {
        let transactions = self.envelopes.transaction_topic();
        let topic = self.envelopes.message_topic();
        let begin = self.envelopes.begin_with_message(message);
        if begin.is_some_and(|begin| self.out.send(&transactions, begin).is_err()) {
            return ControlFlow::Break(());
        }
        let now = to_unix_nanos(self.clock.now());
        match self.out.send(&topic, self.envelopes.message(message, now)) {
            Ok(()) => ControlFlow::Continue(()),
            // The publisher has the reason.
            Err(_) => ControlFlow::Break(()),
        }
    }

    pub(super) fn commit(&mut self, commit: &Commit<'_>) -> ControlFlow<()> {
        let topic = self.envelopes.transaction_topic();
        match self.envelopes.end(commit) {
            Some(end) if self.out.send(&topic, end).is_err() => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
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
    fn send(&mut self, topic: &str, record: Record<'_>) -> Result<(), BrokerError> {
        self.number += 1;
        self.publisher
            .send(topic, record.key, record.value, self.number)
    }

    fn flush(&self) {
        flush(&self.publisher);
    }
}

/// Waits for delivery. A record not delivered in time stays unacknowledged, and will be sent again.
fn flush(publisher: &Publisher<u64>) {
    if let Err(error) = publisher.flush() {
        tracing::warn!(%error, "not every record is delivered");
    }
}

impl RecordOutletHandle {
    pub(super) fn set_acknowledger(&self, acknowledger: Acknowledger) {
        self.acks.set_acknowledger(acknowledger);
    }

    pub(super) fn flush(&self) {
        flush(&self.publisher);
    }

    pub(super) fn finish(self) -> Result<(), Failure> {
        match self.publisher.failure() {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }
}
