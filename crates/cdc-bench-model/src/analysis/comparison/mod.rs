//! Whether one side is faster than the other, and by how much: a difference per hop and quantile, each with an interval,
//! and one verdict over all.
//!
//! Events of a run are not independent: a pause of a server makes a hundred neighbours slow, and a round as a whole may
//! run on a busier machine than the next. An interval that takes events for independent is many times too narrow. Here
//! whole rounds are drawn again, or whole blocks of time of the only round ([`bootstrap`]), so that what comes together
//! stays together.
//!
//! Every hop and quantile is a chance to be wrong, so the intervals are made simultaneous: all of them hold together with
//! the stated confidence (Bonferroni), and a comparison of a thing with itself calls a difference, anywhere, in one of a
//! hundred cases.

mod bootstrap;
mod sample;

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

use self::bootstrap::{Replicates, replicate};
use crate::timeline::Hop;

pub use sample::{COMPARED, Sample};

/// The quantiles that are compared.
pub const QUANTILES: [(&str, f64); 3] = [("p50", 0.50), ("p95", 0.95), ("p99", 0.99)];
/// How often all intervals of a comparison hold at once.
pub const CONFIDENCE: f64 = 0.99;
/// A smaller part of the baseline is not worth a word, however sure it is.
pub const LEAST: f64 = 0.02;

/// By how much more p95 and p99 differ from a run to the next than medians do: twice, over runs of the same thing.
const TAIL_NOISE: f64 = 2.0;

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

/// What is said of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
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
pub struct Difference {
    /// Which hop.
    pub hop: Hop,
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
    /// What is said of it.
    pub call: Call,
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
    /// What was added for the difference between runs, as a part of each figure; see [`Terms::run_noise`].
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

    /// Those of which something is said.
    pub fn called(&self) -> impl Iterator<Item = &Difference> {
        self.differences
            .iter()
            .filter(|d| matches!(d.call, Call::Faster | Call::Slower))
    }

    /// Where the total is shown to be slower by `percent` or more.
    #[must_use]
    pub fn regression(&self, percent: f64) -> Option<&Difference> {
        self.called().find(|d| {
            d.hop == Hop::Total && d.call == Call::Slower && d.percent.is_some_and(|p| p >= percent)
        })
    }
}

/// Compares `candidate` with `baseline`. `clock_error` says how far a hop's difference may be off by clocks, in
/// microseconds; `None` where that is not known.
#[must_use]
pub fn compare(
    baseline: &Sample,
    candidate: &Sample,
    terms: Terms,
    clock_error: impl Fn(Hop) -> Option<i64>,
) -> Comparison {
    let common: Vec<Hop> = COMPARED
        .into_iter()
        .filter(|hop| baseline.has(*hop) && candidate.has(*hop))
        .collect();
    let family = common.len() * QUANTILES.len();
    let drawn = replicate(baseline, candidate, &common, terms);
    let mut differences = Vec::with_capacity(family);
    for (place, &hop) in common.iter().enumerate() {
        for (n, (name, quantile)) in QUANTILES.into_iter().enumerate() {
            let ends = [baseline, candidate].map(|side| side.quantile(hop, quantile));
            let half = half_width(&drawn, place, n, ends, family, terms);
            differences.push(difference(hop, name, ends, half, clock_error(hop)));
        }
    }
    Comparison {
        outcome: outcome(&differences),
        confidence: CONFIDENCE,
        pairing: terms.pairing,
        rounds: [baseline.rounds(), candidate.rounds()],
        run_noise: terms.run_noise,
        differences,
        effects: common
            .iter()
            .map(|&hop| effect(hop, baseline, candidate))
            .collect(),
    }
}

/// Half the width of an interval: the bootstrap's standard error times Student's t. A bootstrap over few rounds is too
/// sure of itself, by the factor that tells a variance over n from one over n - 1; and a t with as many degrees of freedom
/// as there are rounds makes up for not knowing the variance (Welch and Satterthwaite's for two sides).
fn half_width(
    drawn: &Replicates,
    hop: usize,
    quantile: usize,
    ends: [i64; 2],
    family: usize,
    terms: Terms,
) -> f64 {
    let noise = if quantile == 0 {
        terms.run_noise
    } else {
        terms.run_noise * TAIL_NOISE
    };
    let of_runs: f64 = ends.iter().map(|end| (*end as f64 * noise).powi(2)).sum();
    let (variance, freedom) = if terms.pairing == Pairing::Independent {
        let sides = drawn.variances(hop, quantile);
        let sampled: f64 = sides.iter().map(|side| side.variance).sum();
        let spread: f64 = sides
            .iter()
            .map(|side| side.variance.powi(2) / side.freedom)
            .sum();
        let all = sampled + of_runs;
        // What is known beforehand has no uncertainty of its own.
        let freedom = if spread > 0.0 {
            all.powi(2) / spread
        } else {
            1e6
        };
        (all, freedom)
    } else {
        let paired = drawn.paired_variance(hop, quantile);
        (paired.variance + of_runs, paired.freedom)
    };
    let tail = (1.0 - CONFIDENCE) / family.max(1) as f64 / 2.0;
    student(1.0 - tail, freedom) * variance.sqrt()
}

/// The quantile of Student's t.
fn student(probability: f64, freedom: f64) -> f64 {
    let distribution = StudentsT::new(0.0, 1.0, freedom.clamp(1.0, 1e6))
        .expect("a scale of one and freedom above zero make a distribution");
    distribution.inverse_cdf(probability)
}

#[allow(clippy::cast_possible_truncation)] // microseconds of a latency, far below 2^53
fn difference(
    hop: Hop,
    quantile: &'static str,
    [baseline, candidate]: [i64; 2],
    half: f64,
    clock_error: Option<i64>,
) -> Difference {
    let difference = candidate - baseline;
    let half = half.ceil() as i64;
    let (low, high) = (difference - half, difference + half);
    let percent =
        (baseline > 0).then(|| (difference as f64 / baseline as f64 * 1000.0).round() / 10.0);
    let matters = difference.abs() as f64 >= LEAST * baseline.abs() as f64;
    let call = if difference == 0 || !matters || (low <= 0 && high >= 0) {
        Call::NoDifferenceShown
    } else if clock_error.is_none_or(|error| low - error <= 0 && high + error >= 0) {
        Call::WithinClockError
    } else if difference < 0 {
        Call::Faster
    } else {
        Call::Slower
    };
    Difference {
        hop,
        quantile,
        baseline,
        candidate,
        difference,
        low,
        high,
        percent,
        clock_error,
        call,
    }
}

/// The total's, where something is said of it; else what is said of hops.
fn outcome(differences: &[Difference]) -> Outcome {
    let among = |total: bool| {
        let of = |call: Call| {
            differences
                .iter()
                .any(|d| (d.hop == Hop::Total) == total && d.call == call)
        };
        match (of(Call::Faster), of(Call::Slower)) {
            (true, true) => Outcome::Mixed,
            (true, false) => Outcome::Faster,
            (false, true) => Outcome::Slower,
            (false, false) => Outcome::NoDifferenceShown,
        }
    };
    match among(true) {
        Outcome::NoDifferenceShown => among(false),
        outcome => outcome,
    }
}

fn effect(hop: Hop, baseline: &Sample, candidate: &Sample) -> Effect {
    let slower_in = sample::slower_in(&baseline.sorted(hop), &candidate.sorted(hop));
    let apart = (slower_in - 0.5).abs();
    Effect {
        hop,
        slower_in: (slower_in * 1000.0).round() / 1000.0,
        size: match apart {
            a if a < 0.06 => "negligible",
            a if a < 0.14 => "small",
            a if a < 0.21 => "medium",
            _ => "large",
        },
    }
}

#[cfg(test)]
mod tests;
