//! A second of a run, or of an observation.

use serde::{Deserialize, Serialize};

/// One second of a path; its quantiles are of the total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Second {
    /// Events written to the store.
    pub written: u64,
    /// Median, microseconds; `null` where there was none.
    pub p50_us: Option<i64>,
    /// 99th percentile.
    pub p99_us: Option<i64>,
}
