//! The statistics of one capture path: every hop, the total from the schedule, the slowest events, the writes.

use serde::{Deserialize, Serialize};

use super::{PartitionLags, SignedHistogram, Tail, WriterActivity};
use crate::timeline::{CapturePath, Hop, Joined, Nanos};

/// The hops of one capture path.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PathStatistics {
    path: CapturePath,
    /// By [`Hop::index`]; those that no event had are empty.
    hops: [SignedHistogram; Hop::ALL.len()],
    from_schedule: SignedHistogram,
    until_captured: SignedHistogram,
    tail: Tail,
    writers: WriterActivity,
    partitions: PartitionLags,
}

impl PathStatistics {
    /// Of no event yet.
    #[must_use]
    pub fn new(path: CapturePath) -> Self {
        Self {
            path,
            hops: Default::default(),
            from_schedule: SignedHistogram::default(),
            until_captured: SignedHistogram::default(),
            tail: Tail::default(),
            writers: WriterActivity::default(),
            partitions: PartitionLags::default(),
        }
    }

    /// Which path it is.
    #[must_use]
    pub fn path(&self) -> CapturePath {
        self.path
    }

    /// Adds an event.
    pub fn record(&mut self, event: &Joined) {
        let hops = event.stamps.hops();
        for (hop, span) in hops.iter() {
            self.hops[hop.index()].record(span);
        }
        self.tail.record(&hops, event.partition);
        let stamps = &event.stamps;
        self.writers.record(stamps.t4, stamps.t5);
        self.from_schedule.record(stamps.t5 - stamps.ts);
        let captured = match self.path {
            CapturePath::Debezium => stamps.td,
            CapturePath::Wal | CapturePath::Embedded => Some(stamps.t1),
        };
        if let Some(captured) = captured {
            self.until_captured.record(captured - stamps.t0);
        }
    }

    /// Adds the events of another part of the path's run.
    pub fn add(&mut self, other: &Self) {
        for (ours, theirs) in self.hops.iter_mut().zip(&other.hops) {
            ours.add(theirs);
        }
        self.from_schedule.add(&other.from_schedule);
        self.until_captured.add(&other.until_captured);
        self.tail.add(&other.tail);
        self.writers.add(&other.writers);
    }

    /// One hop, if any event had it.
    #[must_use]
    pub fn hop(&self, hop: Hop) -> Option<&SignedHistogram> {
        Some(&self.hops[hop.index()]).filter(|spans| spans.count() > 0)
    }

    fn below_zero(&self, hop: Hop) -> u64 {
        self.hop(hop).map_or(0, SignedHistogram::negatives)
    }

    /// Events whose record was in Kafka before our reader had the row, where it is an observer: it was scheduled late.
    #[must_use]
    pub fn observer_late(&self) -> u64 {
        self.below_zero(Hop::KafkaDelivery)
    }

    /// Events that the consumer had before their acknowledgement was back at our producer.
    #[must_use]
    pub fn acknowledged_late(&self) -> u64 {
        if self.path == CapturePath::Wal {
            self.below_zero(Hop::ConsumerLag)
        } else {
            0
        }
    }

    /// Spans below zero that no race explains ([`CapturePath::races`]): how many are beyond their hop's error bound (a
    /// contradiction), and how many within it (its two clocks are not known that well).
    #[must_use]
    pub fn negatives(&self, bound: impl Fn(Hop) -> Option<Nanos>) -> (u64, u64) {
        let races = self.path.races();
        let mut sum = (0, 0);
        let hops = Hop::ALL.into_iter().zip(&self.hops);
        for (hop, spans) in hops.filter(|(hop, _)| !races.contains(hop)) {
            let beyond = bound(hop).map_or(0, |bound| spans.negatives_beyond(bound));
            sum.0 += beyond;
            sum.1 += spans.negatives() - beyond;
        }
        sum
    }

    /// The slowest events.
    #[must_use]
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Events a write to the store, on average.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // event counts far below 2^53
    pub fn events_per_write(&self) -> f64 {
        let events = self.hop(Hop::Total).map_or(0, SignedHistogram::count);
        events as f64 / self.writers.writes().max(1) as f64
    }

    /// What its writes to the store took.
    #[must_use]
    pub fn writers(&self) -> &WriterActivity {
        &self.writers
    }

    /// The same with the time in Kafka by partition, which is kept over all parts of the run at once: many partitions take much memory.
    #[must_use]
    pub fn with_partitions(self, partitions: PartitionLags) -> Self {
        Self { partitions, ..self }
    }

    /// The time in Kafka by partition.
    #[must_use]
    pub fn partitions(&self) -> &PartitionLags {
        &self.partitions
    }

    /// T0 until the path itself had the row: Td on Debezium's path, where the envelope has it, T1 on ours.
    #[must_use]
    pub fn until_captured(&self) -> &SignedHistogram {
        &self.until_captured
    }

    /// T5 - Ts: the total from the scheduled time, which includes coordinated omission.
    #[must_use]
    pub fn from_schedule(&self) -> &SignedHistogram {
        &self.from_schedule
    }
}
