//! What is known about the servers and the run besides the stamps.

use std::collections::BTreeMap;
use std::time::Duration;

/// Settings by name, counters and gauges; what a server does not tell is absent.
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
    /// Checkpoints of PostgreSQL while events were under way.
    pub checkpoints: Option<CheckpointActivity>,
    /// Bytes of WAL that the path's slot was behind when the load ended.
    pub slot_lag_bytes: Option<u64>,
    /// Whether the topic's timestamps are the broker's (LogAppendTime).
    pub log_append_time: bool,
    /// The topic's partitions.
    pub partitions: i32,
    /// Our consumer's settings.
    pub consumer: BTreeMap<String, String>,
    /// How often partitions were handed out anew while events were under way.
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
    /// Processor time of the whole machine that was not idle, 0 to 1.
    pub host_busy: Option<f64>,
    /// Processors that the compilers of local JVMs kept busy.
    pub compiling_cores: Option<f64>,
    /// Processors that our own process kept busy.
    pub our_cores: Option<f64>,
    /// Processors there are.
    pub cores: u64,
}

/// What PostgreSQL's checkpointer did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckpointActivity {
    /// Begun by the clock or by the amount of WAL.
    pub count: u64,
    /// Spent writing and syncing.
    pub took: Duration,
}

impl Conditions {
    /// A setting of the connector's, or what it is when nobody sets it; `None` where there is no connector that is known.
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
