//! The canary of an observation: changes of our own, whose sending is known.

use serde::{Deserialize, Serialize};

use crate::analysis::HopStatistics;

/// The name of the canary's path in [`paths`](super::ObservationReport::paths).
pub const CANARY: &str = "canary";

/// What became of the canary's changes. They are in no other count of the report.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CanaryReport {
    /// Its table, or `message`.
    pub target: String,
    /// Interval between two of them, microseconds.
    pub interval: i64,
    /// Changes that PostgreSQL has acknowledged.
    pub sent: u64,
    /// Changes that it refused.
    pub refused: u64,
    /// Its last reason.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refusal: Option<String>,
    /// Changes with all their stamps.
    pub followed: u64,
    /// Changes that have not come when everything after them had.
    pub missing: u64,
    /// Ta - T0: from when the statement was sent until PostgreSQL had acknowledged it, by our clock alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub acknowledged: Option<HopStatistics>,
}
