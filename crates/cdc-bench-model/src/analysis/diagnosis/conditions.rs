//! Conditions of a run besides its stamps: settings and counters of the servers, and the load.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::analysis::Stall;

/// Settings by name, counters and gauges; absent if a server does not report them.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// The connector's configuration; empty when unknown, or where the path has none.
    pub connector: BTreeMap<String, String>,
    /// Whether the connector is still copying tables.
    pub snapshot_running: bool,
    /// How often the connector's task failed and was started again.
    pub connector_restarts: u64,
    /// PostgreSQL's settings.
    pub postgres: BTreeMap<String, String>,
    /// PostgreSQL checkpoints while events were in flight.
    pub checkpoints: Option<CheckpointActivity>,
    /// Lag of the path's slot when the load ended, bytes of WAL.
    pub slot_lag_bytes: Option<u64>,
    /// Whether the topic's timestamps are the broker's (LogAppendTime).
    pub log_append_time: bool,
    /// The topic's partitions.
    pub partitions: i32,
    /// Most records of a partition that our consumer had not received.
    pub most_lag_records: Option<u64>,
    /// Writes that our consumer may have in flight.
    pub writes_in_flight: u64,
    /// Our consumer's settings.
    pub consumer: BTreeMap<String, String>,
    /// Rebalances of the consumer group while events were in flight.
    pub rebalances: u64,
    /// The store as it names itself, such as `MongoDB 8.0.4`.
    pub store: String,
    /// The write concern in words.
    pub write_concern: String,
    /// Most documents in one write.
    pub batch_size: u64,
    /// The scheduled rate a second; `None` for `max`.
    pub rate_per_s: Option<f64>,
    /// Events a second that reached the store.
    pub throughput_per_s: f64,
    /// Share of this machine's processor time that was not idle, 0 to 1.
    pub host_busy: Option<f64>,
    /// Processors used by the just-in-time compilers of local JVMs.
    pub compiling_cores: Option<f64>,
    /// Processors used by our own process.
    pub our_cores: Option<f64>,
    /// Processors of this machine.
    pub cores: u64,
    /// Times in which a stage of the path stood still.
    pub stalls: Vec<StallEvidence>,
}

/// A stall, and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct StallEvidence {
    /// The stall.
    pub stall: Stall,
    /// What stood still: `postgres`, `reader`, `connect`, `kafka`, `consumer` or `store`.
    pub server: String,
    /// When it began and ended, seconds since the first INSERT.
    pub began_s: f64,
    /// See `began_s`.
    pub ended_s: f64,
    /// What happened at that time, in words.
    pub meanwhile: Vec<String>,
}

/// Activity of PostgreSQL's checkpointer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckpointActivity {
    /// PostgreSQL checkpoints, timed and requested.
    pub count: u64,
    /// Time spent writing and syncing.
    pub took: Duration,
}

impl Conditions {
    /// A numeric setting of the connector, or its default; `None` if no connector is known.
    pub(super) fn connector_number(&self, name: &str, default: i64) -> Option<i64> {
        if self.connector.is_empty() {
            return None;
        }
        let value = self.connector.get(name);
        Some(value.and_then(|v| v.parse().ok()).unwrap_or(default))
    }

    /// A setting of PostgreSQL's.
    pub(super) fn postgres(&self, name: &str) -> Option<&str> {
        self.postgres.get(name).map(String::as_str)
    }
}
