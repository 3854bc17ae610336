//! An observation as it stands.

use serde::{Deserialize, Serialize};

use super::Second;

/// The figures of an observation in progress.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ObservationFigures {
    /// Changes in the WAL.
    pub captured: u64,
    /// Records of changes in Kafka.
    pub in_kafka: u64,
    /// Changes that were followed to their end.
    pub completed: u64,
    /// Changes under way.
    pub in_flight: u64,
    /// Changes that have not come when everything after them has.
    pub missing: u64,
    /// Records of a change that had come before.
    pub duplicates: u64,
    /// Records that could not be read.
    pub unreadable: u64,
    /// Share of the changes that are followed, 0 to 1.
    pub sampled_share: f64,
    /// Every hop over the last 10 to 20 seconds.
    pub hops: Vec<ObservedHopFigures>,
    /// The last seconds, newest last.
    pub seconds: Vec<Second>,
    /// Who is behind.
    pub lags: Vec<LagFigures>,
    /// The taps.
    pub taps: Vec<TapFigures>,
}

/// A hop over the last seconds, microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedHopFigures {
    /// Its name.
    pub hop: String,
    /// Changes in these figures.
    pub count: u64,
    /// Median.
    pub p50_us: i64,
    /// 95th percentile.
    pub p95_us: i64,
    /// 99th percentile.
    pub p99_us: i64,
}

/// How far a part of the pipeline is behind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LagFigures {
    /// Which part.
    pub name: String,
    /// Bytes of WAL.
    pub bytes: Option<u64>,
    /// Records.
    pub records: Option<u64>,
    /// Seconds.
    pub behind_s: Option<f64>,
}

/// A tap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapFigures {
    /// `wal`, `topics`, `offsets` or `sink`.
    pub name: String,
    /// Why it does not live; `null`: it does.
    pub trouble: Option<String>,
    /// How often it was cut and went on.
    pub resumed: u64,
}
