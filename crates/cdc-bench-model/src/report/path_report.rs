//! One capture path of a result (`paths` of `report.json`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{EventCounts, PartitionReport, ShardReport, StallReport, Verification};
use crate::analysis::{Diagnosis, HopStatistics, Throughput, Violation};

/// One capture path.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PathReport {
    /// By hop name.
    pub hops: BTreeMap<String, HopStatistics>,
    /// T5 - Ts: the total as seen from the schedule, so that coordinated omission shows.
    pub total_from_schedule: Option<HopStatistics>,
    /// T0 until the path itself had the row: Td on Debezium's path, T1 on ours.
    #[serde(default)]
    pub until_captured: Option<HopStatistics>,
    /// Events at each place of this path.
    #[serde(default)]
    pub counts: EventCounts,
    /// Its dead letters by reason.
    #[serde(default)]
    pub dead_letters_by_reason: BTreeMap<String, u64>,
    /// Events a second into its collection.
    #[serde(default)]
    pub throughput: Throughput,
    /// PostgreSQL compared with its collection.
    #[serde(default)]
    pub verification: Option<Verification>,
    /// Processor time of what worked for this path alone, seconds a million events: `walsender`, `connect`, `reader`,
    /// `producer`, `receiver`, `consumer`; `observer_walsender` and `observer_reader` for the observing reader; servers and
    /// `cdc-bench` as a whole where no other path was at work.
    #[serde(default)]
    pub cpu_s_per_million: BTreeMap<String, f64>,
    /// Hops with spans below zero, and what explains them.
    #[serde(default)]
    pub causality: Vec<Violation>,
    /// Its slowest hop, and what was found.
    #[serde(default)]
    pub diagnosis: Option<Diagnosis>,
    /// Times in which a stage of it stood still.
    #[serde(default)]
    pub stalls: Vec<StallReport>,
    /// Partitions of its topics, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<PartitionReport>,
    /// Tables of the outbox, where it has several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<ShardReport>,
    /// Its names on the servers.
    #[serde(default)]
    pub names: PathNames,
    /// Its rounds, where the paths took turns.
    #[serde(default)]
    pub rounds: Vec<RoundReport>,
}

impl PathReport {
    /// Whether every event arrived unchanged.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let is_match = |v: &Verification| v.missing + v.extra + v.differing == 0;
        self.counts.lost == 0 && self.verification.as_ref().is_none_or(is_match)
    }

    /// Processor time of all servers and of us for this path, without our reader where it only observes; seconds per
    /// million events. `None` where other paths were at work too, or servers are not ours.
    #[must_use]
    pub fn cpu_cost(&self) -> Option<f64> {
        // Parts of PostgreSQL, and of us.
        const PARTS: [&str; 5] = ["walsender", "reader", "producer", "receiver", "consumer"];
        const LOOKING_ON: [&str; 2] = ["observer_walsender", "observer_reader"];
        let used = &self.cpu_s_per_million;
        if !used.contains_key("postgres") || !used.contains_key("cdc-bench") {
            return None;
        }
        let cost = used.iter().map(|(name, used)| match name.as_str() {
            name if PARTS.contains(&name) => 0.0,
            name if LOOKING_ON.contains(&name) => -used,
            _ => *used,
        });
        Some(cost.sum())
    }
}

/// Names of a path on the servers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathNames {
    /// Value of the measured rows' `run_id` column.
    pub run_id: String,
    /// Replication slot of what captured, where it is known; of the last round, and of the first shard.
    pub slot: Option<String>,
    /// Topic; of several shards, the first one's.
    pub topic: Option<String>,
    /// Consumer group.
    pub group: Option<String>,
    /// Collection.
    pub collection: String,
    /// Topic of its dead letters, which outlives the run; `None` where there are none, or none that outlives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter_topic: Option<String>,
}

/// A path's turn.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RoundReport {
    /// Its number, from 0, as in `events.jsonl`.
    pub round: u32,
    /// By hop name.
    pub hops: BTreeMap<String, HopStatistics>,
    /// Events a second.
    pub throughput: Throughput,
}
