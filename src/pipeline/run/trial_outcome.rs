//! What a trial came to.

use cdc_bench_model::timeline::Tally;

use crate::broker::Rebalance;
use crate::load::LoadSummary;
use crate::pipeline::monitor::cpu::Used;
use crate::pipeline::monitor::postgres_checkpoints::PostgresCheckpoint;
use crate::pipeline::monitor::resource_usage::ResourceUsage;
use crate::pipeline::provision::route::Route;

/// What a trial came to.
#[derive(Debug)]
pub(crate) struct TrialOutcome {
    pub(crate) paths: Vec<PathOutcome>,
    pub(crate) load: LoadSummary,
    /// Events before the measured ones.
    pub(crate) warmup_events: u64,
    /// Processor time of what the paths share.
    pub(crate) shared: Used,
    /// What went on beside the events.
    pub(crate) resource_usage: ResourceUsage,
    /// PostgreSQL's meanwhile.
    pub(crate) checkpoints: Vec<PostgresCheckpoint>,
}

/// What a path came to in a trial.
#[derive(Debug, Clone)]
pub(crate) struct PathOutcome {
    pub(crate) route: Route,
    pub(crate) tally: Tally,
    pub(crate) in_kafka: u64,
    pub(crate) dead_letters: u64,
    /// When the connector's task had failed and was started again.
    pub(crate) connector_restarts: Vec<jiff::Timestamp>,
    /// Whether every event came through before the drain ended.
    pub(crate) drained: bool,
    /// Processor time of what worked for this path alone.
    pub(crate) used: Used,
    /// The consumer group's while events were under way.
    pub(crate) rebalances: Vec<Rebalance>,
    /// Bytes of WAL that the slot's sender was behind when the load ended, where that is known.
    pub(crate) slot_lag: Option<u64>,
    /// Whether the connector was copying tables still.
    pub(crate) in_snapshot: bool,
}

/// Adds processor time to processor time.
pub(crate) fn add_used(sum: &mut Used, more: Used) {
    for (name, used) in more {
        *sum.entry(name).or_default() += used;
    }
}

impl PathOutcome {
    /// Adds what the same path came to in another trial.
    pub(crate) fn add(&mut self, other: Self) {
        self.tally.add(&other.tally);
        self.in_kafka += other.in_kafka;
        self.dead_letters += other.dead_letters;
        self.connector_restarts.extend(other.connector_restarts);
        self.drained &= other.drained;
        add_used(&mut self.used, other.used);
        self.rebalances.extend(other.rebalances);
        self.slot_lag = self.slot_lag.max(other.slot_lag);
        self.in_snapshot |= other.in_snapshot;
        self.route = other.route;
    }
}
