//! The statistics that the recorder makes of the events it writes.

use crate::analysis::{Activity, PartitionLags, PathStatistics, Throughput, ThroughputMeter};
use crate::timeline::{CapturePath, Joined};

/// Statistics of the events of one path.
#[derive(Debug)]
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
#[derive(Debug, Clone)]
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

    pub(super) fn record(&mut self, round: u32, event: &Joined) {
        let round = usize::try_from(round).unwrap_or(usize::MAX);
        while self.rounds.len() <= round {
            self.rounds.push(RoundRecording {
                statistics: PathStatistics::new(self.path),
                throughput: ThroughputMeter::default(),
                activity: Activity::default(),
            });
        }
        let into = &mut self.rounds[round];
        into.statistics.record(event);
        into.throughput.record(event.stamps.t0, event.stamps.t5);
        into.activity.record(event);
        self.by_type[event.event_type.index()] += 1;
        self.partitions.record(event);
    }
}
