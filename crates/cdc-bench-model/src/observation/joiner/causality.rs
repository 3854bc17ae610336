//! What joined changes say of clocks that cannot be asked: Debezium handed a change on, and the broker appended its record, after
//! the commit and before our reader had the record.

use super::super::StampedBy;
use super::super::event_metrics::resolution;
use super::entry::{BySink, Entry};
use crate::timeline::{ClockOffset, Corrections, HALF_MILLISECOND, Nanos, OffsetEstimator, Stamp};

/// Resolution of a record's timestamp.
const MILLISECOND: Nanos = Nanos::from_millis(1);

/// Bounds of the offsets since they were taken last.
#[derive(Debug, Default)]
pub(super) struct CausalBounds {
    connect: OffsetEstimator,
    broker: OffsetEstimator,
    sink: OffsetEstimator,
}

impl CausalBounds {
    /// The offsets of Connect's clock and of the broker's.
    pub(super) fn take(&mut self) -> (Option<ClockOffset>, Option<ClockOffset>) {
        let [connect, broker] = [&mut self.connect, &mut self.broker].map(std::mem::take);
        (connect.estimate(), broker.estimate())
    }

    /// The offset of the sink's clock.
    pub(super) fn take_sink(&mut self) -> Option<ClockOffset> {
        std::mem::take(&mut self.sink).estimate()
    }

    /// A change with its stamps.
    pub(super) fn observe(&mut self, entry: &Entry, corrections: &Corrections) {
        let (Some(captured), Some(recorded)) = (entry.captured, entry.recorded) else {
            return;
        };
        let committed = corrections.postgres.to_ours(captured.tc) - corrections.postgres_bound;
        let mut handed_on_by = recorded.t3;
        let mut in_kafka = committed;
        match (recorded.t2, recorded.stamped_by) {
            (Some(t2), StampedBy::Broker) => {
                let broker = &mut self.broker;
                broker.observe(committed, recorded.t3, t2, MILLISECOND);
                // A bound of zero is none: nothing was measured yet.
                if corrections.broker_bound > Nanos(0) {
                    let appended = corrections.broker.to_ours(t2 + HALF_MILLISECOND);
                    let latest = appended + HALF_MILLISECOND + corrections.broker_bound;
                    handed_on_by = handed_on_by.min(latest);
                    in_kafka = in_kafka.max(appended - HALF_MILLISECOND - corrections.broker_bound);
                }
            }
            (Some(t2), StampedBy::Producer) => {
                let connect = &mut self.connect;
                connect.observe(committed, recorded.t3, t2, MILLISECOND);
            }
            (None, _) => {}
        }
        if let Some((td, resolution)) = recorded.td {
            let connect = &mut self.connect;
            connect.observe(committed, handed_on_by, td, resolution);
        }
        if let Some(by_sink) = entry.by_sink {
            self.observe_sink(&by_sink, in_kafka);
        }
    }

    /// The consumer had the record, and wrote it, after it was in Kafka and before we learnt of it.
    fn observe_sink(&mut self, by_sink: &BySink, in_kafka: Stamp) {
        let readings = [by_sink.received, Some(by_sink.written)];
        for reading in readings.into_iter().flatten() {
            let resolution = resolution(reading);
            self.sink
                .observe(in_kafka, by_sink.seen, reading, resolution);
        }
    }
}
