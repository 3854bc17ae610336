//! The data for the plots of a run, collected in one pass over its events. Memory depends on the plots, not on the run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::{OverTime, SignedHistogram};
use crate::event::{EventId, EventType};
use crate::timeline::{Hop, Hops, Nanos, Stamp};

/// How many of the slowest events are kept whole.
const SLOWEST: usize = 20;

/// An event with its hops, as far as plots need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestedEvent {
    /// Which event.
    pub id: EventId,
    /// What kind.
    pub event_type: EventType,
    /// INSERT sent.
    pub t0: Stamp,
    /// Document acknowledged.
    pub t5: Stamp,
    /// Its spans.
    pub hops: Hops,
}

impl DigestedEvent {
    /// From the INSERT to the document.
    #[must_use]
    pub fn total(&self) -> Nanos {
        self.t5 - self.t0
    }
}

/// Ordered by the total; the id makes the order one of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ByTotal(DigestedEvent);

impl Ord for ByTotal {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |event: &Self| (event.0.total(), event.0.id);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for ByTotal {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The events of one capture path.
#[derive(Debug, Clone)]
pub struct PathDigest {
    hops: BTreeMap<Hop, SignedHistogram>,
    over_time: OverTime,
    slowest: BinaryHeap<Reverse<ByTotal>>,
}

impl PathDigest {
    fn from(origin: Stamp) -> Self {
        Self {
            hops: BTreeMap::new(),
            over_time: OverTime::from(origin),
            slowest: BinaryHeap::new(),
        }
    }

    fn record(&mut self, event: DigestedEvent) {
        for (hop, span) in event.hops.iter() {
            self.hops.entry(hop).or_default().record(span);
        }
        self.over_time.record(event.t0, event.t5);
        self.slowest.push(Reverse(ByTotal(event)));
        if self.slowest.len() > SLOWEST {
            self.slowest.pop();
        }
    }

    /// The spans of one hop, if any event had it.
    #[must_use]
    pub fn hop(&self, hop: Hop) -> Option<&SignedHistogram> {
        self.hops.get(&hop)
    }

    /// Latency and throughput over the time of the run.
    #[must_use]
    pub fn over_time(&self) -> OverTime {
        self.over_time.clone().settled()
    }

    /// The slowest events, slowest first.
    #[must_use]
    pub fn slowest(&self) -> Vec<DigestedEvent> {
        let mut events: Vec<_> = self.slowest.iter().map(|Reverse(event)| event.0).collect();
        events.sort_by_key(|event| Reverse((event.total(), event.id)));
        events
    }
}

/// The events of a run.
#[derive(Debug, Clone, Default)]
pub struct Digest {
    origin: Option<Stamp>,
    paths: BTreeMap<String, PathDigest>,
}

impl Digest {
    /// Adds an event that came by `path`.
    pub fn record(&mut self, path: &str, event: DigestedEvent) {
        let origin = *self.origin.get_or_insert(event.t0);
        if !self.paths.contains_key(path) {
            self.paths.insert(path.to_owned(), PathDigest::from(origin));
        }
        if let Some(known) = self.paths.get_mut(path) {
            known.record(event);
        }
    }

    /// The time that [`OverTime`] counts from: the first event's INSERT.
    #[must_use]
    pub fn origin(&self) -> Option<Stamp> {
        self.origin
    }

    /// One capture path.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<&PathDigest> {
        self.paths.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Stamps;

    fn event(n: i64, total_us: i64) -> DigestedEvent {
        let t0 = Stamp(n * 5_000_000);
        let at = |us: i64| t0 + Nanos::from_micros(us);
        let stamps = Stamps {
            ts: t0,
            t0,
            ta: at(1),
            tc: at(1),
            t1: at(2),
            td: None,
            t2: at(3),
            t3: at(4),
            t4: at(5),
            t5: at(total_us),
        };
        DigestedEvent {
            id: EventId(uuid::Uuid::from_u128(u128::try_from(n).unwrap())),
            event_type: EventType::UserCreated,
            t0,
            t5: stamps.t5,
            hops: stamps.hops(),
        }
    }

    #[test]
    fn the_slowest_are_kept_in_order_and_paths_apart() {
        let mut digest = Digest::default();
        for n in 0..500 {
            digest.record("debezium", event(n, 1_000 + (n * 7_919) % 500));
            digest.record("wal", event(n, 100));
        }
        let slowest: Vec<_> = digest
            .path("debezium")
            .unwrap()
            .slowest()
            .iter()
            .map(|event| event.total().0 / 1_000)
            .collect();
        assert_eq!(slowest, (1_480..1_500).rev().collect::<Vec<_>>());
        let wal = digest.path("wal").unwrap();
        assert_eq!(wal.hop(Hop::Total).unwrap().count(), 500);
        assert_eq!(wal.hop(Hop::Total).unwrap().max().round_micros(), 100);
        assert!(digest.path("embedded").is_none());
        assert_eq!(digest.origin(), Some(Stamp(0)));
    }
}
