//! Stalls (`stalls` of a path in `report.json`): times in which a stage let nothing through although events waited.

use serde::{Deserialize, Serialize};

/// A stall.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StallReport {
    /// What stood still: `postgres`, `reader`, `connect`, `kafka`, `consumer` or `store`.
    pub server: String,
    /// The part of the way that nothing passed.
    pub hop: String,
    /// When it began: RFC 3339, UTC.
    pub at: jiff::Timestamp,
    /// Seconds since the first INSERT.
    pub at_s: f64,
    /// How long, microseconds.
    pub took: i64,
    /// Events that waited for it.
    pub waited: u64,
    /// Their share of the events beyond the 95th percentile, 0 to 1.
    pub share_of_p95: f64,
    /// Their share of the events beyond the 99th percentile, 0 to 1.
    pub share_of_p99: f64,
    /// What happened at that time, as far as it is known.
    #[serde(default)]
    pub meanwhile: Vec<String>,
}
