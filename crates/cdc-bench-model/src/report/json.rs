//! `report.json`, schema 1. Field names are a contract: other programs read them. Durations are whole microseconds
//! unless the name says otherwise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Environment, EventCounts, EventsByType, FaultReport, Footprint, Incident, PathReport,
    Verification, WorkerReport,
};
use crate::analysis::{Diagnosis, Finding, Objective, Throughput};
use crate::timeline::CapturePath;

/// The schema's name and number.
pub const SCHEMA: &str = "cdc-bench/report/1";

/// A result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The run.
    pub run: RunInfo,
    /// What was measured, and on what.
    pub environment: Environment,
    /// Events at each place.
    pub counts: EventCounts,
    /// Dead letters of all paths by reason.
    #[serde(default)]
    pub dead_letters_by_reason: BTreeMap<String, u64>,
    /// Inserted events by type.
    pub events_by_type: EventsByType,
    /// Events a second into the store.
    pub throughput: Throughput,
    /// By capture path.
    pub paths: BTreeMap<String, PathReport>,
    /// Processor time of what paths that worked at once have shared, by server (`cdc-bench` is our process), seconds a
    /// million events of each path. Empty where servers are not ours, or each path worked alone.
    #[serde(default)]
    pub shared_cpu_s_per_million: BTreeMap<String, f64>,
    /// Foreign clocks.
    pub clocks: Vec<ClockReport>,
    /// Incidents while events were in flight, in order of time.
    #[serde(default)]
    pub incidents: Vec<Incident>,
    /// Faults that the run was asked to make, in order of time.
    #[serde(default)]
    pub faults: Vec<FaultReport>,
    /// What this program and its servers took over the time of the run, at most [`FootprintSeries::MOST`](super::FootprintSeries::MOST)
    /// times; empty where the system does not tell.
    #[serde(default)]
    pub footprint: Vec<Footprint>,
    /// The workers of a run that was spread over machines; empty where one process did it all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<WorkerReport>,
    /// The slowest hop, and what was found.
    pub diagnosis: Diagnosis,
    /// The objectives, with targets and measured values.
    pub objectives: Vec<Objective>,
    /// The stores compared; `null` when they were not.
    pub verification: Option<Verification>,
    /// All objectives met, nothing lost, nothing differing.
    pub verdict: Verdict,
}

impl Report {
    /// What was found: of the first path with what is about the run (`None`), then what each other path has besides.
    #[must_use]
    pub fn findings(&self) -> Vec<(Option<&str>, Vec<&Finding>)> {
        let shown = &self.diagnosis.findings;
        let mut all = vec![(None, shown.iter().collect())];
        for (name, path) in self.ordered_paths().skip(1) {
            let found = path.diagnosis.iter().flat_map(|found| &found.findings);
            let own = found.filter(|finding| !shown.contains(finding)).collect();
            all.push((Some(name), own));
        }
        all
    }

    /// The capture paths with their names, the first first.
    pub fn ordered_paths(&self) -> impl Iterator<Item = (&str, &PathReport)> {
        let position = |name: &str| self.run.paths.iter().position(|p| p.as_str() == name);
        let mut paths: Vec<_> = self.paths.iter().collect();
        paths.sort_by_key(|(name, _)| position(name));
        paths.into_iter().map(|(name, path)| (name.as_str(), path))
    }
}

/// The run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunInfo {
    /// Run id.
    pub id: String,
    /// [`RUN`]; an observation's is [`OBSERVE`](super::OBSERVE), and its report is another one.
    #[serde(default = "kind_of_run")]
    pub kind: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC.
    pub finished_at: String,
    /// Capture path; `both` for `debezium` and `wal`, else their names with commas.
    pub capture: String,
    /// The capture paths, the first of which the top-level figures are of.
    #[serde(default)]
    pub paths: Vec<CapturePath>,
    /// How often each path had its turn.
    #[serde(default = "one")]
    pub rounds: u32,
    /// Whether the paths took turns, in an order shuffled by `seed`. Else they followed the same inserts at once.
    #[serde(default)]
    pub interleaved: bool,
    /// `local`, `compose` or `external`.
    pub stack: String,
    /// Measured events.
    pub events: u64,
    /// Events before them, not counted.
    pub warmup_events: u64,
    /// Whether how many was left to the run (`--warmup auto`: until the servers have settled, where that can be seen).
    #[serde(default)]
    pub warmup_settles: bool,
    /// Scheduled rate; `null` for the highest possible.
    pub rate_per_s: Option<f64>,
    /// Rows a transaction.
    pub insert_batch: u64,
    /// Connections of the load generator.
    pub connections: u64,
    /// Seed of the events.
    pub seed: u64,
    /// Share of the events that are about one aggregate, 0 to 1.
    #[serde(default)]
    pub hot_share: f64,
    /// Outbox tables that they went into.
    #[serde(default = "one")]
    pub shards: u32,
    /// Most documents in one write.
    pub batch_size: u64,
    /// Most store writes in flight; `null` in results of versions that could not change it.
    #[serde(default)]
    pub writes_in_flight: Option<u64>,
    /// Seconds from the first measured INSERT to the end of the drain.
    pub duration_s: f64,
    /// Where the run was cut off and taken up again: counts and latencies are of the events after the break, `verification` is of
    /// all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<ResumedRun>,
}

/// A run that was cut off and taken up again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResumedRun {
    /// The number of the part that this result measures, from 2.
    pub part: u32,
    /// Measured events that the parts before have inserted.
    pub events_before: u64,
    /// When the last of them was committed: RFC 3339, UTC, on PostgreSQL's clock; `null` if there was none.
    pub last_commit: Option<jiff::Timestamp>,
    /// Seconds from then until the load went on; `null` if it was over.
    pub break_s: Option<f64>,
}

/// `run.kind` of a run of our own.
pub const RUN: &str = "run";

fn kind_of_run() -> String {
    RUN.to_owned()
}

fn one() -> u32 {
    1
}

/// A foreign clock.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClockReport {
    /// `postgres`, `kafka` or `connect`.
    pub server: String,
    /// Foreign clock minus ours, at the start of the run.
    pub offset: i64,
    /// Error bound of every stamp of the run that was corrected by this clock.
    pub error_bound: i64,
    /// How much the offset changed to the end of the run, by the line through its measurements; `null` when it was
    /// measured once.
    pub drift: Option<i64>,
    /// The slope of that line: how much the clock gains on ours, parts per million.
    #[serde(default)]
    pub drift_ppm: Option<f64>,
    /// Measurements, before, during and after the run.
    #[serde(default)]
    pub measurements: u64,
    /// How it was measured.
    pub method: String,
}

/// The result in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All objectives met, nothing lost, nothing differing.
    Pass,
    /// An objective missed, or data lost or differing.
    Fail,
}
