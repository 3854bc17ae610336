//! The statistics that the recorder makes of the events it writes.

use serde::{Deserialize, Serialize};

use crate::analysis::{Activity, PartitionLags, PathStatistics, Throughput, ThroughputMeter};
use crate::timeline::{CapturePath, Joined};

/// Statistics of the events of one path.
#[derive(Debug, Serialize, Deserialize)]
pub struct PathRecording {
    /// Which path.
    pub path: CapturePath,
    /// Its rounds, by their numbers. A run that is not cut into rounds is round 0.
    pub rounds: Vec<RoundRecording>,
    /// Inserted and joined events by type, in the order of [`crate::event::EventType::ALL`].
    pub by_type: [u64; 3],
    /// Time in Kafka by partition, over all rounds.
    partitions: PartitionLags,
}

/// One round of a path.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RoundRecording {
    /// Quantiles.
    pub statistics: PathStatistics,
    /// Rates.
    pub throughput: ThroughputMeter,
    /// When events came to each place of their way.
    pub activity: Activity,
}

impl PathRecording {
    /// Without events.
    #[must_use]
    pub fn new(path: CapturePath) -> Self {
        Self {
            path,
            rounds: Vec::new(),
            by_type: [0; 3],
            partitions: PartitionLags::default(),
        }
    }

    /// Quantiles over all rounds.
    #[must_use]
    pub fn statistics(&self) -> PathStatistics {
        let mut sum = PathStatistics::new(self.path);
        self.rounds
            .iter()
            .for_each(|round| sum.add(&round.statistics));
        sum.with_partitions(self.partitions.clone())
    }

    /// Rates over all rounds, without the time between them.
    #[must_use]
    pub fn throughput(&self) -> Throughput {
        ThroughputMeter::over(self.rounds.iter().map(|round| &round.throughput))
    }

    /// Adds the events of another machine that measured a part of the same rounds, by a clock that runs with ours.
    pub fn add(&mut self, other: &Self) {
        for (round, more) in other.rounds.iter().enumerate() {
            let into = self.round(round);
            into.statistics.add(&more.statistics);
            into.throughput.add(&more.throughput);
            into.activity.add(&more.activity);
        }
        for (count, more) in self.by_type.iter_mut().zip(other.by_type) {
            *count += more;
        }
        self.partitions.add(&other.partitions);
    }

    fn round(&mut self, round: usize) -> &mut RoundRecording {
        while self.rounds.len() <= round {
            self.rounds.push(RoundRecording {
                statistics: PathStatistics::new(self.path),
                throughput: ThroughputMeter::default(),
                activity: Activity::default(),
            });
        }
        &mut self.rounds[round]
    }

    pub(super) fn record(&mut self, round: u32, event: &Joined) {
        let into = self.round(usize::try_from(round).unwrap_or(usize::MAX));
        into.statistics.record(event);
        into.throughput.record(event.stamps.t0, event.stamps.t5);
        into.activity.record(event);
        self.by_type[event.event_type.index()] += 1;
        self.partitions.record(event);
    }
}
