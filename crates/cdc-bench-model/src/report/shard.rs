//! Shards of a path (`shards` of a path in `report.json`), where the outbox has several tables.

use serde::{Deserialize, Serialize};

/// A table of the outbox, and what captured it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ShardReport {
    /// Its number, from 1.
    pub shard: u8,
    /// The table.
    pub table: String,
    /// Replication slot of what captured it.
    pub slot: Option<String>,
    /// Topic of its events.
    pub topic: Option<String>,
    /// Connector that captured it; `null` on a path without one.
    pub connector: Option<String>,
    /// Measured events that our reader has read from it; `null` where none read.
    pub captured: Option<u64>,
    /// Processor time of the slot's walsender from the load's beginning to the end of the drain, seconds; `null` of a server that is
    /// not ours.
    pub walsender_cpu_s: Option<f64>,
    /// Most bytes of WAL that the slot kept on the server's disk, as it was asked once a second while events were under way; `null` if
    /// that is not known.
    pub most_wal_held: Option<u64>,
}
