//! Partitions of a path's topics (`partitions` of a path in `report.json`), where there are several.

use serde::{Deserialize, Serialize};

use crate::analysis::HopStatistics;

/// A partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartitionReport {
    /// Its number; of several topics, those of the second follow those of the first.
    pub partition: i32,
    /// Measured events whose records were in it.
    pub records: u64,
    /// Their share of those of all partitions, 0 to 1.
    pub share: f64,
    /// Most records in it that the consumer had not received, as it was asked once a second while events were under way; `null` if
    /// that is not known.
    pub most_lag_records: Option<u64>,
    /// The longest time that a record waited in it until the consumer received it, microseconds.
    pub most_lag: i64,
    /// The time that records waited in it.
    pub consumer_lag: HopStatistics,
}
