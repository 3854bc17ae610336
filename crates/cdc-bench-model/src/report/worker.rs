//! The workers of a run that is spread over machines.

use serde::{Deserialize, Serialize};

/// One worker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerReport {
    /// Its name.
    pub name: String,
    /// Its machine's name.
    pub host: String,
    /// What it offered to do: `load`, `consume`, `capture`.
    pub roles: Vec<String>,
    /// Events that it inserted.
    pub inserted: u64,
    /// Events that it wrote into the store, of all paths.
    pub written: u64,
    /// Partitions that it had in the end.
    pub partitions: usize,
    /// Whether it read the WAL in the end.
    pub captured: bool,
    /// PostgreSQL's clock minus its own, microseconds.
    pub clock_offset: i64,
    /// How far that may be off, microseconds.
    pub clock_bound: i64,
    /// How far its machine's clock may be from the true time by its NTP daemon, microseconds; `null` where that is not trusted.
    #[serde(default)]
    pub ntp_bound: Option<i64>,
    /// Whether it was gone before its result was there.
    pub is_gone: bool,
    /// When it was not heard of for a while, and then again.
    #[serde(default)]
    pub silences: Vec<WorkerSilence>,
}

/// A time in which a worker was not heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerSilence {
    /// When it was heard of last: RFC 3339, UTC.
    pub at: jiff::Timestamp,
    /// Until it was heard of again, microseconds.
    pub took: i64,
}
