//! The result of an observation: `report.json` with `run.kind` = `observe`. Durations are whole microseconds unless the name says
//! otherwise.

mod application;
mod canary;
mod comparison;
mod cost;
mod latency_log;
mod logged;
mod series;
mod tables;
mod text;
mod transactions;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ClockReport, Incident, Verdict};
use crate::analysis::{Finding, HopStatistics, Objective};
use crate::observation::{Filtered, ObservationCounts, ObservedHop};

pub use application::ApplicationReport;
pub use canary::{CANARY, CanaryReport};
pub use comparison::{
    ObservationComparison, ObservedComparisonError, ObservedDifference, compare_observations,
    render_observation_comparison,
};
pub use cost::{CostReport, Measured};
pub use latency_log::LatencyLog;
pub(crate) use series::{ObservedSeries, SeriesPoint, series_of};
pub use tables::{observation_csv, observation_markdown};
pub use text::render_observation;
pub use transactions::TransactionsReport;

/// `run.kind` of an observation.
pub const OBSERVE: &str = "observe";

/// A result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ObservationReport {
    /// [`SCHEMA`](super::SCHEMA).
    pub schema: String,
    /// The observation.
    pub run: ObservationInfo,
    /// The pipeline as it was found.
    pub pipeline: ObservedPipeline,
    /// Changes at each tap.
    pub counts: ObservationCounts,
    /// Changes that have not come when everything after them has: `missing.jsonl` has them one by one.
    pub missing: u64,
    /// Records of a change that had come before.
    pub duplicates: u64,
    /// What was filtered on purpose, by kind.
    pub filtered: Filtered,
    /// Share of the captured changes that were followed, 0 to 1.
    pub sampled_share: f64,
    /// The pipeline's quantiles, under `observed`; of a canary's changes, under `canary`.
    pub paths: BTreeMap<String, ObservedPath>,
    /// By table.
    pub tables: BTreeMap<String, ObservedPath>,
    /// Foreign clocks.
    pub clocks: Vec<ClockReport>,
    /// What happened to the taps meanwhile.
    pub incidents: Vec<Incident>,
    /// The slowest hop.
    pub diagnosis: ObservedDiagnosis,
    /// The objectives that were asked for.
    pub objectives: Vec<Objective>,
    /// All objectives met, nothing missing.
    pub verdict: Verdict,
    /// The canary, if one was sent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub canary: Option<CanaryReport>,
    /// What the application has said, if it writes lines.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub application: Option<ApplicationReport>,
    /// How the changes lay in transactions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transactions: Option<TransactionsReport>,
    /// What the observation took of the servers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cost: Option<CostReport>,
}

/// The observation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ObservationInfo {
    /// Its id.
    pub id: String,
    /// [`OBSERVE`].
    pub kind: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC.
    pub finished_at: String,
    /// Seconds observed, without set-up and without the wait for the last changes.
    pub duration_s: f64,
}

/// The parts that were tapped.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ObservedPipeline {
    /// The connector's name, where Connect was asked.
    pub connector: Option<String>,
    /// User, host, port and database.
    pub source: String,
    /// The publication that was read.
    pub publication: String,
    /// The topics.
    pub topics: Vec<ObservedTopicReport>,
    /// The group whose committed offsets were polled.
    pub group: Option<String>,
    /// The sink.
    pub sink: Option<String>,
    /// Interval of the polls of the group's offsets.
    pub poll_interval: i64,
}

/// A topic.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ObservedTopicReport {
    /// Its name.
    pub name: String,
    /// Partitions.
    pub partitions: i32,
    /// `LogAppendTime` (the broker's clock) or `CreateTime` (the producer's); `unknown` where the broker does not say.
    pub timestamp_type: String,
}

/// Quantiles of a set of changes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ObservedPath {
    /// By hop name.
    pub hops: BTreeMap<String, HopStatistics>,
}

/// The slowest hop, and what the evidence says of the pipeline.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ObservedDiagnosis {
    /// The hop of those that add up with the largest mean.
    pub slowest_hop: Option<String>,
    /// Its share of the mean total, 0 to 1.
    pub share_of_total: f64,
    /// Worst first.
    #[serde(default)]
    pub findings: Vec<Finding>,
}

impl ObservedDiagnosis {
    /// Of these quantiles.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // microseconds far below 2^53
    pub fn of(path: &ObservedPath) -> Self {
        let mean = |hop: ObservedHop| path.hops.get(hop.as_str()).map(|hop| hop.mean);
        let hops = ObservedHop::PIPELINE.into_iter();
        let slowest = hops
            .filter_map(|hop| Some((mean(hop)?, hop)))
            .max_by_key(|(mean, _)| *mean);
        let total = mean(ObservedHop::Total).unwrap_or(0).max(1);
        match slowest {
            Some((mean, hop)) => Self {
                slowest_hop: Some(hop.as_str().to_owned()),
                share_of_total: (mean as f64 / total as f64 * 1e3).round() / 1e3,
                findings: Vec::new(),
            },
            None => Self::default(),
        }
    }
}

impl ObservationReport {
    /// Whether a change is missing, of the user's or of the canary.
    #[must_use]
    pub fn has_missing(&self) -> bool {
        let of_canary = self.canary.as_ref().map_or(0, |canary| canary.missing);
        self.missing > 0 || of_canary > 0
    }

    /// The quantiles of all changes.
    #[must_use]
    pub fn observed(&self) -> Option<&ObservedPath> {
        self.paths.get(OBSERVED)
    }
}

/// The name of the only path.
pub const OBSERVED: &str = "observed";

#[cfg(test)]
mod tests;
