//! The result of a comparison: a difference by hop and quantile, an effect by hop, one outcome over all.

use serde::Serialize;

use super::terms::Pairing;
use crate::timeline::Hop;

/// The verdict on one difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceVerdict {
    /// The candidate is faster.
    Faster,
    /// The candidate is slower.
    Slower,
    /// The interval holds zero, or the difference is too small to matter.
    NoDifferenceShown,
    /// Larger than chance explains, but not than the clocks' errors do.
    WithinClockError,
}

/// One hop at one quantile; durations in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference<H = Hop> {
    /// Which hop.
    pub hop: H,
    /// Which quantile, such as `p99`.
    pub quantile: &'static str,
    /// The baseline's.
    pub baseline: i64,
    /// The candidate's.
    pub candidate: i64,
    /// Candidate less baseline.
    pub difference: i64,
    /// Lower end of its interval.
    pub low: i64,
    /// Upper end of its interval.
    pub high: i64,
    /// The difference as a part of the baseline, percent; `null` where the baseline is not above zero.
    pub percent: Option<f64>,
    /// How far the difference may be off besides, by the clocks of both sides; `null` where one is not known.
    pub clock_error: Option<i64>,
    /// The verdict on it.
    pub call: DifferenceVerdict,
}

/// How far two distributions lie apart as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Effect {
    /// Which hop.
    pub hop: Hop,
    /// The share of pairs, one event of each side, in which the candidate's is the slower one (0.5: no difference;
    /// Vargha and Delaney's A, 2000).
    pub slower_in: f64,
    /// That in a word, by their bounds: `negligible`, `small`, `medium`, `large`.
    pub size: &'static str,
}

/// The result in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The candidate is faster.
    Faster,
    /// The candidate is slower.
    Slower,
    /// Some of it is faster, some slower.
    Mixed,
    /// Nothing is shown.
    NoDifferenceShown,
}

/// Two samples compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The verdict over all hops; the total's where there is one.
    pub outcome: Outcome,
    /// How often all intervals hold at once, 0 to 1.
    pub confidence: f64,
    /// What the two sides have in common.
    pub pairing: Pairing,
    /// Rounds of the baseline and of the candidate.
    pub rounds: [usize; 2],
    /// What was added for the difference between runs, as a part of each figure; see [`Terms::run_noise`](super::Terms::run_noise).
    pub run_noise: f64,
    /// By hop and quantile.
    pub differences: Vec<Difference>,
    /// By hop.
    pub effects: Vec<Effect>,
}

impl Comparison {
    /// One difference.
    #[must_use]
    pub fn of(&self, hop: Hop, quantile: &str) -> Option<&Difference> {
        self.differences
            .iter()
            .find(|d| d.hop == hop && d.quantile == quantile)
    }

    /// The differences with a verdict of faster or slower.
    pub fn called(&self) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(|d| {
            matches!(
                d.call,
                DifferenceVerdict::Faster | DifferenceVerdict::Slower
            )
        })
    }

    /// A quantile of the total that is slower by `percent` or more, if there is one.
    #[must_use]
    pub fn regression(&self, percent: f64) -> Option<&Difference> {
        self.called().find(|d| {
            d.hop == Hop::Total
                && d.call == DifferenceVerdict::Slower
                && d.percent.is_some_and(|p| p >= percent)
        })
    }
}
