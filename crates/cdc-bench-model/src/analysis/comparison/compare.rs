//! The intervals and the verdicts: the bootstrap's standard errors times Student's t.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::bootstrap::{Replicates, replicate};
use super::difference::{Comparison, Difference, DifferenceVerdict, Effect, Outcome};
use super::sample::{self, COMPARED, Sample};
use super::terms::{Pairing, QUANTILES, Terms};
use crate::timeline::Hop;

/// Confidence with which all intervals of a comparison hold at once.
const CONFIDENCE: f64 = 0.99;
/// Smallest share of the baseline that counts as a difference, however certain it is.
const LEAST: f64 = 0.02;

/// By how much more p95 and p99 differ from a run to the next than medians do: twice, over runs of the same thing.
const TAIL_NOISE: f64 = 2.0;

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
        DifferenceVerdict::NoDifferenceShown
    } else if clock_error.is_none_or(|error| low - error <= 0 && high + error >= 0) {
        DifferenceVerdict::WithinClockError
    } else if difference < 0 {
        DifferenceVerdict::Faster
    } else {
        DifferenceVerdict::Slower
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

/// The outcome of the total, if it shows a difference; else that of the hops.
fn outcome(differences: &[Difference]) -> Outcome {
    let among = |total: bool| {
        let of = |call: DifferenceVerdict| {
            differences
                .iter()
                .any(|d| (d.hop == Hop::Total) == total && d.call == call)
        };
        match (of(DifferenceVerdict::Faster), of(DifferenceVerdict::Slower)) {
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
