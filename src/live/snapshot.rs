//! What a run looks like at one moment.

use serde::{Deserialize, Serialize};

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
    /// Where several runs are made: which of them is under way, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// The step that it is at, in words; empty between steps.
    pub step: String,
    /// What was said so far: steps that ended, warnings. The last few, newest last.
    pub said: Vec<String>,
    /// The numbers.
    #[serde(flatten)]
    pub figures: Figures,
}

/// The numbers of a run under way.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Where it is.
    pub phase: Phase,
    /// What drives it.
    pub load: LoadFigures,
    /// Each capture path, the one first that the objectives are for.
    pub paths: Vec<PathState>,
    /// Each server, in the pipeline's order.
    pub servers: Vec<ServerState>,
    /// What has to be reached, held against what was reached so far.
    pub objectives: Vec<Objective>,
}

/// Where a run is.
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
    /// All are inserted; some are under way.
    Drain,
    /// All are through: PostgreSQL against the store.
    Verification,
    /// It has a result, and every objective was met.
    Passed,
    /// It has a result that misses an objective, or none.
    Failed,
}

impl Phase {
    /// Its name for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SetUp => "set-up",
            Self::WarmUp => "warm-up",
            Self::Load => "load",
            Self::Drain => "drain",
            Self::Verification => "verification",
            Self::Passed => "passed",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Passed | Self::Failed)
    }
}

/// What drives a run: of the phase that it is in, and of the path that is furthest behind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadFigures {
    /// Events to come, where their number is known.
    pub target: Option<u64>,
    /// Events a second on the schedule in force; `null`: as fast as it goes.
    pub rate_per_s: Option<f64>,
    /// Whether somebody holds it up.
    pub is_paused: bool,
    /// Committed.
    pub inserted: u64,
    /// In the store.
    pub written: u64,
    /// Refused INSERTs and dead letters.
    pub errors: u64,
    /// How long nothing has come through although events are under way, seconds.
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
    /// The whole way, since the first measured event.
    pub total: Option<TotalState>,
    /// The last seconds, newest last.
    pub seconds: Vec<Second>,
    /// Measured events by type.
    pub by_type: Vec<TypeCount>,
    /// The last events, newest first.
    pub last: Vec<Passed>,
    /// WAL that its slot's sender has not sent, bytes.
    pub slot_lag_bytes: Option<u64>,
    /// How far behind the commit Debezium handed the last event on, ms.
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

/// A hop of late, microseconds.
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

/// One second of a path; its quantiles are of the total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Second {
    /// Events that came into the store.
    pub written: u64,
    /// Median, microseconds; `null` where none came.
    pub p50_us: Option<i64>,
    /// 99th percentile.
    pub p99_us: Option<i64>,
}

/// How many events of a type came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeCount {
    /// Which.
    pub event_type: EventType,
    /// How many.
    pub count: u64,
}

/// An event that came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// What happened.
    pub event_type: EventType,
    /// When its INSERT was sent: T0.
    pub created: Stamp,
    /// The whole way, microseconds.
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
    /// Why it did not answer when it was asked last; `null`: it did.
    pub trouble: Option<String>,
    /// How often it was started again in this run.
    pub restarts: u64,
}

impl PathState {
    /// A path of which nothing is known yet.
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

    /// A hop of late.
    #[must_use]
    pub fn hop(&self, hop: Hop) -> Option<&HopState> {
        self.hops.iter().find(|state| state.hop == hop)
    }

    /// The hop of the pipeline that is slowest at the median, of late.
    #[must_use]
    pub fn slowest(&self) -> Option<Hop> {
        let of_pipeline = Hop::PIPELINE.into_iter().filter_map(|hop| self.hop(hop));
        let slowest = of_pipeline.max_by_key(|state| state.p50_us);
        slowest.map(|state| state.hop)
    }
}
