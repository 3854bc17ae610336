//! How two samples are compared: the quantiles, and what the samples have in common.

use serde::Serialize;

/// The quantiles that are compared.
pub const QUANTILES: [(&str, f64); 3] = [("p50", 0.50), ("p95", 0.95), ("p99", 0.99)];
/// What the two sides have in common, so that it cancels out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pairing {
    /// Nothing: runs of their own.
    Independent,
    /// Rounds of one run that took turns: the one side's third is near the other's third.
    Rounds,
    /// Runs that took turns: each is near the other side's next to it.
    Runs,
    /// The same time of one run: the same inserts by two paths at once.
    Moments,
}

/// How two samples are compared.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// What they have in common.
    pub pairing: Pairing,
    /// By how much of itself a median differs from a run to the next, as a standard deviation, where a side is a single
    /// run and cannot tell. Zero where both sides are of one run, or of several each.
    pub run_noise: f64,
    /// Seed of the resampling: the same samples give the same intervals.
    pub seed: u64,
}
