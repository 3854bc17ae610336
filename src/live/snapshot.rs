//! The state of a run at one moment, as JSON and on screens.

use serde::{Deserialize, Serialize};

use super::{ObservationFigures, Second};
use cdc_bench_model::analysis::Objective;
use cdc_bench_model::event::EventType;
use cdc_bench_model::timeline::{CapturePath, Hop, Stamp};

/// The schema of a snapshot. Fields are added freely; none is renamed without a new number.
pub const SCHEMA: &str = "cdc-bench/live/1";

/// A run at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`SCHEMA`].
    pub schema: String,
    /// The run's id.
    pub run: String,
    /// `local`, `compose` or `external`.
    pub stack: String,
    /// When this was.
    pub at: jiff::Timestamp,
    /// Since the run began, seconds.
    pub uptime_s: f64,
    /// Of a series of runs, the one in progress, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// The current step, as text; empty between steps.
    pub step: String,
    /// The last messages: steps that ended, warnings; newest last.
    pub said: Vec<String>,
    /// The figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// The figures of a run in progress.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Its phase.
    pub phase: Phase,
    /// Its load.
    pub load: LoadFigures,
    /// Each capture path; the objectives are those of the first.
    pub paths: Vec<PathState>,
    /// Each server, in the order of the pipeline.
    pub servers: Vec<ServerState>,
    /// The objectives, with the values measured so far.
    pub objectives: Vec<Objective>,
    /// Of an observation, which has neither load nor paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observation: Option<ObservationFigures>,
}

/// The phase of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Servers, tables, connector, the first event.
    #[default]
    SetUp,
    /// Events that are not measured.
    WarmUp,
    /// The measured ones, on their schedule.
    Load,
    /// A pipeline of others is observed.
    Observing,
    /// All are inserted; some are in flight.
    Drain,
    /// All are written: PostgreSQL is compared with the store.
    Verification,
    /// It has a result, and every objective was met.
    Passed,
    /// It has a result that misses an objective, or none.
    Failed,
}

impl Phase {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SetUp => "set-up",
            Self::WarmUp => "warm-up",
            Self::Load => "load",
            Self::Observing => "observing",
            Self::Drain => "drain",
            Self::Verification => "verification",
            Self::Passed => "passed",
            Self::Failed => "failed",
        }
    }

    /// Whether the run has ended.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Passed | Self::Failed)
    }
}

/// The load of the current phase; where a figure is of a path, of the slowest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadFigures {
    /// Events to come, where their number is known.
    pub target: Option<u64>,
    /// Events a second of the schedule; `null`: as fast as possible.
    pub rate_per_s: Option<f64>,
    /// Whether it is paused.
    pub is_paused: bool,
    /// Committed.
    pub inserted: u64,
    /// In the store.
    pub written: u64,
    /// Refused INSERTs and dead letters.
    pub errors: u64,
    /// How long no event was written although some are in flight, seconds.
    pub quiet_s: f64,
}

/// A capture path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PathState {
    /// Which.
    pub path: CapturePath,
    /// Measured events committed.
    pub inserted: u64,
    /// Seen in the WAL.
    pub captured: u64,
    /// Received by the consumer.
    pub consumed: u64,
    /// In the store.
    pub written: u64,
    /// Events a second into the store.
    pub throughput: Rates,
    /// Every hop over the last 5 to 10 seconds; in [`Phase::WarmUp`] of warm-up events, which are not measured.
    pub hops: Vec<HopState>,
    /// The total, since the first measured event.
    pub total: Option<TotalState>,
    /// The last seconds, newest last.
    pub seconds: Vec<Second>,
    /// Measured events by type.
    pub by_type: Vec<TypeCount>,
    /// The last events, newest first.
    pub last: Vec<RecentEvent>,
    /// WAL that its slot's sender has not sent, bytes.
    pub slot_lag_bytes: Option<u64>,
    /// From the commit of the last event to when Debezium passed it to the producer, ms.
    pub debezium_behind_ms: Option<f64>,
    /// Records in Kafka that its consumer group has not received.
    pub group_lag_records: Option<u64>,
}

/// Events a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// In the last whole second.
    pub now_per_s: f64,
    /// Since the first measured event.
    pub average_per_s: f64,
    /// In the best whole second.
    pub peak_per_s: f64,
}

/// A hop over the last seconds, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopState {
    /// Which.
    pub hop: Hop,
    /// Events in these figures.
    pub count: u64,
    /// Median.
    pub p50_us: i64,
    /// 99th percentile.
    pub p99_us: i64,
}

/// The total since the first measured event, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TotalState {
    /// Events in these figures.
    pub count: u64,
    /// Average.
    pub mean_us: i64,
    /// Fastest.
    pub min_us: i64,
    /// Slowest.
    pub max_us: i64,
    /// Median.
    pub p50_us: i64,
    /// 95th percentile.
    pub p95_us: i64,
    /// 99th percentile.
    pub p99_us: i64,
}

/// How many events of a type were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeCount {
    /// Which.
    pub event_type: EventType,
    /// How many.
    pub count: u64,
}

/// An event that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentEvent {
    /// Its type.
    pub event_type: EventType,
    /// When its INSERT was sent: T0.
    pub created: Stamp,
    /// Its total, microseconds.
    pub total_us: i64,
    /// The hop that took longest.
    pub slowest: Hop,
    /// How long that took, microseconds.
    pub slowest_us: i64,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerState {
    /// `postgres`, `kafka`, `connect` or `store`.
    pub name: String,
    /// What it is, where the name does not say: the store's.
    pub product: Option<String>,
    /// Why it did not answer the last request; `null`: it did.
    pub trouble: Option<String>,
    /// How often it was restarted in this run.
    pub restarts: u64,
}

impl PathState {
    /// A path without any figures yet.
    #[must_use]
    pub fn new(path: CapturePath) -> Self {
        Self {
            path,
            inserted: 0,
            captured: 0,
            consumed: 0,
            written: 0,
            throughput: Rates::default(),
            hops: Vec::new(),
            total: None,
            seconds: Vec::new(),
            by_type: Vec::new(),
            last: Vec::new(),
            slot_lag_bytes: None,
            debezium_behind_ms: None,
            group_lag_records: None,
        }
    }

    /// A hop over the last seconds.
    #[must_use]
    pub fn hop(&self, hop: Hop) -> Option<&HopState> {
        self.hops.iter().find(|state| state.hop == hop)
    }

    /// The hop of the pipeline with the greatest median over the last seconds.
    #[must_use]
    pub fn slowest(&self) -> Option<Hop> {
        let of_pipeline = Hop::PIPELINE.into_iter().filter_map(|hop| self.hop(hop));
        let slowest = of_pipeline.max_by_key(|state| state.p50_us);
        slowest.map(|state| state.hop)
    }
}
