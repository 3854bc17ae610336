//! Synthetic runs for the tests of the rules.

use std::collections::BTreeMap;

use super::conditions::Conditions;
use super::diagnose::{Diagnosis, diagnose};
use crate::analysis::{PartitionLags, PathStatistics};
use crate::event::{EventId, EventType};
use crate::timeline::{CapturePath, Captured, Hop, Joined, Nanos, Stamp, Stamps};

/// 200 events and their conditions.
pub(super) struct Run {
    pub(super) path: CapturePath,
    /// Ta, T1, Td, T2, T3, T4, T5 and the schedule's lag of event `n`, microseconds after T0.
    shape: Box<dyn Fn(i64) -> [i64; 8]>,
    /// The partition of event `n`.
    pub(super) partition: fn(i64) -> Option<i32>,
    pub(super) conditions: Conditions,
    /// Error bound of the hops that cross clocks, microseconds.
    pub(super) bound: i64,
    /// Events that share a write.
    pub(super) batch: i64,
}

impl Run {
    pub(super) fn of(shape: impl Fn(i64) -> [i64; 8] + 'static) -> Self {
        Self {
            path: CapturePath::Debezium,
            shape: Box::new(shape),
            partition: |_| None,
            conditions: Conditions {
                connector: settings(&[
                    ("poll.interval.ms", "1"),
                    ("producer.override.linger.ms", "0"),
                ]),
                postgres: settings(&[("fsync", "on"), ("synchronous_commit", "on")]),
                log_append_time: true,
                partitions: 1,
                store: "MongoDB 8.0.4".to_owned(),
                write_concern: "majority+journal".to_owned(),
                batch_size: 100,
                rate_per_s: Some(167.0),
                throughput_per_s: 167.0,
                host_busy: Some(0.4),
                our_cores: Some(0.1),
                cores: 2,
                ..Conditions::default()
            },
            bound: 0,
            batch: 1,
        }
    }

    /// A run without findings.
    pub(super) fn quick() -> Self {
        Self::of(|n| [300, 700, 1_500, 2_200 + n, 2_900, 2_950, 3_700, 0])
    }

    pub(super) fn with_connector(mut self, pairs: &[(&str, &str)]) -> Self {
        self.conditions.connector = settings(pairs);
        self
    }

    pub(super) fn diagnose(&self) -> Diagnosis {
        let mut path = PathStatistics::new(self.path);
        let mut partitions = PartitionLags::default();
        for n in 0..200 {
            let [ta, t1, td, t2, t3, t4, t5, lag] = (self.shape)(n).map(|us| us * 1_000);
            // A second apart, so that no two writes fall together unless they are to.
            let t0 = n / self.batch * 1_000_000_000;
            let at = |after: i64| Stamp(t0 + after);
            let stamps = Stamps {
                ts: at(-lag),
                t0: at(0),
                ta: at(ta),
                tc: at(ta),
                t1: at(t1),
                td: (self.path == CapturePath::Debezium).then(|| at(td)),
                t2: at(t2),
                t3: at(t3),
                t4: at(t4),
                t5: at(t5),
            };
            let event = Joined {
                id: EventId(uuid::Uuid::nil()),
                seq: 0,
                event_type: EventType::UserCreated,
                captured: Captured {
                    tc: at(ta),
                    t1: at(t1),
                    lsn: 1,
                    commit_lsn: 2,
                    xid: 3,
                },
                partition: (self.partition)(n),
                stamps,
            };
            path.record(&event);
            partitions.record(&event);
        }
        let path = path.with_partitions(partitions);
        let crossing = [
            Hop::KafkaDelivery,
            Hop::ConsumerLag,
            Hop::Debezium,
            Hop::Produce,
        ];
        let hops: BTreeMap<_, _> = Hop::ALL
            .into_iter()
            .filter_map(|hop| {
                let bound = if crossing.contains(&hop) {
                    self.bound
                } else {
                    0
                };
                let bound = Some(Nanos::from_micros(bound));
                Some((hop.as_str().to_owned(), path.hop(hop)?.statistics(bound)))
            })
            .collect();
        diagnose(&path, &hops, &self.conditions)
    }

    /// Whether a finding's evidence contains this text.
    pub(super) fn has_evidence(&self, text: &str) -> bool {
        let found = self.diagnose();
        found.findings.iter().any(|f| f.evidence.contains(text))
    }
}

pub(super) fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}
