//! The outcome of a trial.

use std::collections::BTreeMap;
use std::time::Duration;

use cdc_bench_model::report::Footprint;
use cdc_bench_model::timeline::{Stamp, Tally};

use crate::broker::Rebalance;
use crate::load::LoadSummary;
use crate::pipeline::faults::Fault;
use crate::pipeline::monitor::cpu::Used;
use crate::pipeline::monitor::postgres_checkpoints::PostgresCheckpoint;
use crate::pipeline::monitor::resource_usage::ResourceUsage;
use crate::pipeline::monitor::server_monitor::Silence;
use crate::pipeline::provision::route::Route;
use crate::pipeline::run::fault_runner::MadeFault;

/// The outcome of a trial.
#[derive(Debug)]
pub(crate) struct TrialOutcome {
    pub(crate) paths: Vec<PathOutcome>,
    pub(crate) load: LoadSummary,
    /// Number of warm-up events.
    pub(crate) warmup_events: u64,
    /// Processor time that the paths share.
    pub(crate) shared: Used,
    /// Load of the machine, JIT compilation and checkpoints during the trial.
    pub(crate) resource_usage: ResourceUsage,
    /// PostgreSQL's checkpoints during the trial.
    pub(crate) checkpoints: Vec<PostgresCheckpoint>,
    /// Times in which a server answered nothing.
    pub(crate) silences: Vec<Silence>,
    /// What this program and its servers took during the trial.
    pub(crate) footprint: Vec<Footprint>,
    /// Faults that were made, in order.
    pub(crate) faults: Vec<MadeFault>,
    /// Faults whose moment did not come.
    pub(crate) faults_not_made: Vec<Fault>,
}

/// The outcome of one path in a trial.
#[derive(Debug, Clone)]
pub(crate) struct PathOutcome {
    pub(crate) route: Route,
    pub(crate) tally: Tally,
    pub(crate) in_kafka: u64,
    pub(crate) dead_letters: u64,
    pub(crate) dead_letters_by_reason: BTreeMap<String, u64>,
    /// The topic that they are in, beside the file; none on servers that are discarded.
    pub(crate) dead_letter_topic: Option<String>,
    /// When a failed task of the connector was restarted.
    pub(crate) connector_restarts: Vec<jiff::Timestamp>,
    /// Whether every event was processed before the drain ended.
    pub(crate) drained: bool,
    /// Processor time of what works for this path alone.
    pub(crate) used: Used,
    /// Rebalances of the consumer group during the trial.
    pub(crate) rebalances: Vec<Rebalance>,
    /// Bytes of WAL that the slot's walsender had not sent when the load ended, if known.
    pub(crate) slot_lag: Option<u64>,
    /// Most records of each partition that the consumer had not received.
    pub(crate) most_lag: BTreeMap<i32, u64>,
    /// Whether the connector was still taking its snapshot.
    pub(crate) in_snapshot: bool,
    /// What came by each source of its route; of the last trial.
    pub(crate) shards: Vec<ShardOutcome>,
    /// When each event was sent that never reached the store.
    pub(crate) unwritten: Vec<Stamp>,
    /// When each event reached the store that came after a later one of its aggregate; looked for in runs with faults.
    pub(crate) reordered: Vec<Stamp>,
}

/// What came by one source of a route.
#[derive(Debug, Clone)]
pub(crate) struct ShardOutcome {
    /// Measured events that our reader has read; `None` where none reads.
    pub(crate) captured: Option<u64>,
    /// Processor time of its slot's walsender; `None` of a server that is not ours.
    pub(crate) walsender: Option<Duration>,
    /// Most bytes of WAL that its slot kept, if they are known.
    pub(crate) most_wal_held: Option<u64>,
}

/// Adds processor times, name by name.
pub(crate) fn add_used(sum: &mut Used, more: Used) {
    for (name, used) in more {
        *sum.entry(name).or_default() += used;
    }
}

impl PathOutcome {
    /// Adds the outcome of the same path in another trial.
    pub(crate) fn add(&mut self, other: Self) {
        self.tally.add(&other.tally);
        self.in_kafka += other.in_kafka;
        self.dead_letters += other.dead_letters;
        for (reason, count) in other.dead_letters_by_reason {
            *self.dead_letters_by_reason.entry(reason).or_default() += count;
        }
        self.connector_restarts.extend(other.connector_restarts);
        self.drained &= other.drained;
        add_used(&mut self.used, other.used);
        self.rebalances.extend(other.rebalances);
        self.slot_lag = self.slot_lag.max(other.slot_lag);
        for (partition, records) in other.most_lag {
            let most = self.most_lag.entry(partition).or_default();
            *most = (*most).max(records);
        }
        self.in_snapshot |= other.in_snapshot;
        self.unwritten.extend(other.unwritten);
        self.reordered.extend(other.reordered);
        self.route = other.route;
        self.shards = other.shards;
    }
}
