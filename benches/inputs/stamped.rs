//! Events with made-up stamps, and what makes two sets of distributions the same.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use cdc_bench_model::analysis::{PathStatistics, SignedHistogram};
use cdc_bench_model::event::{EventId, EventType};
use cdc_bench_model::timeline::{
    CapturePath, Captured, ConsumerStamps, ForeignClocks, Hop, InKafka, Joiner, Nanos, Stamp,
};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

/// Partitions of the topic; worker `n` of `w` has those with remainder `n`.
pub const PARTITIONS: u64 = 64;
/// Events a second of the schedule.
const RATE: u64 = 100_000;

/// An event with all stamps that it will have.
pub struct Event {
    pub seq: u64,
    pub t0: Stamp,
    pub ta: Stamp,
    pub t1: Stamp,
    pub consumed: ConsumerStamps,
    pub partition: u64,
}

/// Events in the order of their schedule: each hop mostly short, now and then much longer.
pub struct Events {
    rng: Xoshiro256PlusPlus,
    next: u64,
}

impl Events {
    pub fn new() -> Self {
        Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(42),
            next: 0,
        }
    }

    fn span(&mut self) -> Nanos {
        let slow = if self.rng.random_range(0..50) == 0 {
            200
        } else {
            1
        };
        Nanos::from_micros(250 + self.rng.random_range(0..500) * slow)
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let seq = self.next;
        self.next += 1;
        let at = i64::try_from(seq * 1_000_000_000 / RATE).unwrap();
        let t0 = Stamp(at);
        let ta = t0 + self.span();
        let t1 = ta + self.span();
        let td = t1 + self.span();
        let t2 = td + self.span();
        let t3 = t2 + self.span();
        let t4 = t3 + self.span();
        let t5 = t4 + self.span();
        let partition = self.rng.random_range(0..PARTITIONS);
        let consumed = ConsumerStamps {
            td: Some(td),
            t2: Some(t2),
            t3,
            t4,
            t5,
            source_lsn: Some(seq),
            source_xid: Some(7),
            partition: i32::try_from(partition).ok(),
        };
        Some(Event {
            seq,
            t0,
            ta,
            t1,
            consumed,
            partition,
        })
    }
}

fn id(seq: u64) -> EventId {
    EventId(Uuid::from_u128(u128::from(seq) * 0x9e37_79b9_7f4a_7c15))
}

/// A worker of the test: the events of its partitions.
pub struct Worker {
    pub joiner: Joiner,
    pub statistics: PathStatistics,
}

impl Worker {
    pub fn new() -> Self {
        Self {
            joiner: Joiner::new(InKafka::ByBroker, Arc::new(ForeignClocks::default())),
            statistics: PathStatistics::new(CapturePath::Debezium),
        }
    }

    /// The event's INSERT is sent and acknowledged, and its row captured.
    pub fn begin(&self, event: &Event) {
        let (id, seq) = (id(event.seq), event.seq);
        let captured = Captured {
            tc: event.ta,
            t1: event.t1,
            lsn: seq,
            commit_lsn: seq + 1,
            xid: 7,
        };
        self.joiner
            .sending(id, seq, EventType::UserCreated, event.t0, event.t0);
        self.joiner.acknowledged(id, seq, event.ta);
        self.joiner.captured(id, seq, captured);
    }

    /// Its record is received and written.
    pub fn end(&mut self, event: &Event) {
        self.joiner.consumed(event.seq);
        let written = self
            .joiner
            .written(id(event.seq), event.seq, event.consumed);
        self.statistics.record(&written.unwrap());
    }
}

/// The histograms that a worker hands on.
pub fn distributions(statistics: &PathStatistics) -> impl Iterator<Item = &SignedHistogram> {
    let hops = Hop::ALL.into_iter().filter_map(|hop| statistics.hop(hop));
    hops.chain([statistics.from_schedule(), statistics.until_captured()])
}

/// Every value of every distribution, and how often it came.
pub fn fingerprint(statistics: &PathStatistics) -> u64 {
    let mut hasher = DefaultHasher::new();
    for spans in distributions(statistics) {
        for (value, times) in spans.values() {
            (value.0, times).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Processor time of this process.
pub fn processor_nanoseconds() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    (usage.user_time() + usage.system_time()).num_nanoseconds()
}

/// Most resident memory so far, MiB.
pub fn resident() -> f64 {
    getrusage(UsageWho::RUSAGE_SELF).unwrap().max_rss() as f64 / 1024.0
}
