//! Reads the stamps of the events that this worker follows: those of the partitions that it consumes, whoever has taken them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cdc_bench_model::timeline::{Captured, Corrections, ForeignClocks, Stamp};
use rdkafka::ClientConfig;

use crate::broker::{LogStart, LoggedRecord, PartitionLog};
use crate::pipeline::distributed::stamps::{StampEntry, StampSource, Stamped, read_batch};
use crate::pipeline::failure::Failure;
use crate::pipeline::lock::lock;
use crate::pipeline::run::observer::PathObserver;

/// For how long a partition's stamps are read on after it has gone to another worker: those of events that were written before may
/// be on their way.
const GRACE: Duration = Duration::from_secs(10);
/// How far back the stamps of a partition are read that comes from another worker, milliseconds: longer than a group takes to notice
/// that a member is gone.
const BACK_MS: i64 = 30_000;

/// The partitions of each path, and until when each is read.
type Owned = Vec<(Arc<PathObserver>, BTreeMap<i32, Instant>)>;

/// The stamps of the events of this worker.
pub(super) struct StampIntake {
    log: PartitionLog,
    owned: Arc<Mutex<Owned>>,
    /// Whether the measured load has begun: partitions that come later come from another worker.
    has_begun: bool,
}

impl StampIntake {
    /// Reads those of no partition yet.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub(super) fn start(
        kafka: &ClientConfig,
        topic: &str,
        worker: &str,
        observers: impl Iterator<Item = Arc<PathObserver>>,
        clocks: &Arc<ForeignClocks>,
    ) -> Result<Self, Failure> {
        let owned = observers.map(|observer| (observer, BTreeMap::new()));
        let owned: Arc<Mutex<Owned>> = Arc::new(Mutex::new(owned.collect()));
        let (paths, clocks, worker) = (Arc::clone(&owned), Arc::clone(clocks), worker.to_owned());
        let log = PartitionLog::start(kafka, topic, move |record: LoggedRecord<'_>| {
            let fix = clocks.corrections();
            let paths = lock(&paths);
            let following = paths
                .iter()
                .filter(|(_, partitions)| partitions.contains_key(&record.partition));
            let following: Vec<_> = following.map(|(observer, _)| observer).collect();
            let read = read_batch(record.value.unwrap_or_default(), |source, entry| {
                let entry = if source.worker == worker {
                    entry
                } else {
                    on_our_clock(entry, source, &fix)
                };
                following.iter().for_each(|path| path.received(entry));
            });
            if let Err(error) = read {
                tracing::warn!(%error, partition = record.partition, offset = record.offset, "stamps of another worker");
            }
        })?;
        Ok(Self {
            log,
            owned,
            has_begun: false,
        })
    }

    /// The measured load has begun.
    pub(super) fn begin(&mut self) {
        self.has_begun = true;
    }

    /// Follows the partitions that each path has now, in the order of the observers.
    pub(super) fn follow(&self, now: &[BTreeSet<i32>]) {
        let mut owned = lock(&self.owned);
        let mut all = BTreeSet::new();
        for ((_, partitions), now) in owned.iter_mut().zip(now) {
            if !self.has_begun {
                // No measured event is under way.
                partitions.clear();
            }
            let until = Instant::now() + GRACE;
            now.iter().for_each(|partition| {
                partitions.insert(*partition, until);
            });
            partitions.retain(|_, until| *until > Instant::now());
            all.extend(partitions.keys().copied());
        }
        drop(owned);
        let start = if self.has_begun {
            LogStart::Since(jiff::Timestamp::now().as_millisecond() - BACK_MS)
        } else {
            LogStart::Beginning
        };
        self.log.read(&all, start);
    }

    /// Stops.
    pub(super) async fn stop(self) {
        self.log.stop().await;
    }
}

/// Stamps that another worker has taken, by our clock: both know PostgreSQL's.
fn on_our_clock(entry: StampEntry, source: &StampSource, fix: &Corrections) -> StampEntry {
    let ours = |stamp: Stamp| fix.postgres.to_ours(stamp + source.to_postgres);
    let stamped = match entry.stamped {
        Stamped::Inserted {
            event_type,
            ts,
            t0,
            ta,
        } => Stamped::Inserted {
            event_type,
            ts: ours(ts),
            t0: ours(t0),
            ta: ours(ta),
        },
        Stamped::Refused => Stamped::Refused,
        Stamped::Captured(path, captured) => {
            let captured = Captured {
                t1: ours(captured.t1),
                ..captured
            };
            Stamped::Captured(path, captured)
        }
        Stamped::Delivered(path, t2) => Stamped::Delivered(path, ours(t2)),
    };
    StampEntry { stamped, ..entry }
}
