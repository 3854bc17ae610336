//! The bootstrap (Efron 1979) over what is independent: whole rounds where there are several, and blocks of time of the
//! only one where there are not (Künsch 1989). Each replicate draws as many as there are, with replacement, and takes the
//! quantiles of what came of it.
//!
//! Blocks of one round are not independent where a slow moment is longer than a block: how close neighbours are to each
//! other tells by how much the variance of a few independent ones is to be raised.
//!
//! Rounds are drawn whole: what rounds differ by holds already what blocks within them differ by, and drawing both would
//! count it twice (Davison and Hinkley 1997, section 3.8).

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::sample::Sample;
use super::terms::{Pairing, QUANTILES, Terms};
use crate::timeline::Hop;

/// Enough for a standard error that is itself within some 3 %.
const REPLICATES: usize = 600;

/// The most that neighbouring blocks are taken to correlate: beyond it one round gives hardly more information than a
/// single block.
const MOST_CORRELATED: f64 = 0.9;

/// One replicate: by hop and quantile, the baseline's and the candidate's value in microseconds.
type Replicate = Vec<[[f64; 2]; QUANTILES.len()]>;

/// The replicates of both sides.
pub(super) struct Replicates {
    drawn: Vec<Replicate>,
    /// Of each side.
    strata: [usize; 2],
    /// By hop, of each side: how many times the variance of independent blocks theirs is.
    inflation: Vec<[f64; 2]>,
}

/// A variance and what it rests on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variance {
    pub(super) variance: f64,
    /// Degrees of freedom.
    pub(super) freedom: f64,
}

impl Variance {
    fn times(self, factor: f64) -> Self {
        Self {
            variance: self.variance * factor,
            ..self
        }
    }
}

impl Replicates {
    /// Of the difference, where both sides were drawn together.
    pub(super) fn paired_variance(&self, hop: usize, quantile: usize) -> Variance {
        let difference = |replicate: &Replicate| {
            let [baseline, candidate] = replicate[hop][quantile];
            candidate - baseline
        };
        corrected(self.drawn.iter().map(difference), self.strata[0]).times(self.inflation[hop][0])
    }

    /// Of each side, where they were drawn apart.
    pub(super) fn variances(&self, hop: usize, quantile: usize) -> [Variance; 2] {
        [0, 1].map(|side| {
            let value = |replicate: &Replicate| replicate[hop][quantile][side];
            corrected(self.drawn.iter().map(value), self.strata[side])
                .times(self.inflation[hop][side])
        })
    }
}

/// The variance of replicates that were drawn from so many strata.
fn corrected(values: impl Iterator<Item = f64> + Clone, strata: usize) -> Variance {
    let count = values.clone().count().max(2) as f64;
    let mean = values.clone().sum::<f64>() / count;
    let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
    let freedom = (strata - 1) as f64;
    Variance {
        variance: squares / (count - 1.0) * strata as f64 / freedom,
        freedom,
    }
}

/// Draws the replicates.
pub(super) fn replicate(
    baseline: &Sample,
    candidate: &Sample,
    hops: &[Hop],
    terms: Terms,
) -> Replicates {
    let sides = [baseline, candidate];
    let tables: Vec<[SpanTable; 2]> = hops
        .iter()
        .map(|hop| sides.map(|side| SpanTable::of(side, *hop)))
        .collect();
    let strata = sides.map(Sample::strata);
    let mut random = SmallRng::seed_from_u64(terms.seed);
    let drawn = (0..REPLICATES)
        .map(|_| {
            let first = draw(&mut random, strata[0]);
            let second = match terms.pairing {
                Pairing::Independent => draw(&mut random, strata[1]),
                Pairing::Rounds | Pairing::Runs | Pairing::Moments => first.clone(),
            };
            let weights = [first, second];
            tables
                .iter()
                .map(|table| {
                    let of = [0, 1].map(|side| table[side].quantiles(&weights[side]));
                    std::array::from_fn(|q| [of[0][q], of[1][q]])
                })
                .collect()
        })
        .collect();
    Replicates {
        drawn,
        strata,
        inflation: hops
            .iter()
            .map(|hop| inflation_of(sides, *hop, terms.pairing))
            .collect(),
    }
}

/// By how much the blocks of a single round raise the variance of each side by resembling their neighbours. Rounds are
/// independent, or paired.
fn inflation_of(sides: [&Sample; 2], hop: Hop, pairing: Pairing) -> [f64; 2] {
    let medians = sides.map(|side| side.block_medians(hop));
    if pairing == Pairing::Independent {
        return medians
            .map(|medians| variance_inflation(&medians.into_iter().flatten().collect::<Vec<_>>()));
    }
    let [baseline, candidate] = medians;
    let both = baseline.into_iter().zip(candidate);
    let differences: Vec<f64> = both.filter_map(|(b, c)| Some(c? - b?)).collect();
    [variance_inflation(&differences); 2]
}

/// What a queue or a slow disk does to a block it does to the next too, and then the mean of many says less than if they
/// were independent: by (1 + r) / (1 - r), where neighbours correlate by r and the further ones accordingly less (a
/// first-order autoregression; the bias of r over n values is some 1 / n).
fn variance_inflation(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let apart = |value: &f64| value - mean;
    let all: f64 = values.iter().map(|value| apart(value).powi(2)).sum();
    let neighbours = values.windows(2);
    let common: f64 = neighbours.map(|two| apart(&two[0]) * apart(&two[1])).sum();
    if all <= 0.0 {
        return 1.0;
    }
    let r = (common / all + 1.0 / count).clamp(0.0, MOST_CORRELATED);
    (1.0 + r) / (1.0 - r)
}

/// How often each stratum was drawn.
fn draw(random: &mut SmallRng, strata: usize) -> Vec<u64> {
    let mut weights = vec![0; strata];
    for _ in 0..strata {
        weights[random.random_range(0..strata)] += 1;
    }
    weights
}

/// Spans between two entries of [`SpanTable::before`].
const STEP: usize = 32;

/// The spans of one hop and side, smallest first, each with its stratum.
struct SpanTable {
    spans: Vec<(i64, usize)>,
    /// For every [`STEP`]th place: how many of the spans before it are of each stratum. So a quantile is found without
    /// counting through all spans, thousands of times.
    before: Vec<Vec<u64>>,
}

impl SpanTable {
    fn of(side: &Sample, hop: Hop) -> Self {
        Self::new(side.drawn_from(hop), side.strata())
    }

    fn new(mut spans: Vec<(i64, usize)>, strata: usize) -> Self {
        spans.sort_unstable();
        let mut before = vec![vec![0; strata]];
        let mut counts = vec![0; strata];
        for step in spans.chunks(STEP) {
            for (_, stratum) in step {
                counts[*stratum] += 1;
            }
            before.push(counts.clone());
        }
        Self { spans, before }
    }

    /// The quantiles with each stratum as often as it was drawn, in microseconds.
    fn quantiles(&self, weights: &[u64]) -> [f64; QUANTILES.len()] {
        QUANTILES.map(|(_, quantile)| self.quantile(quantile, weights))
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a rank among the events
    fn quantile(&self, quantile: f64, weights: &[u64]) -> f64 {
        let drawn =
            |counts: &Vec<u64>| -> u64 { counts.iter().zip(weights).map(|(n, w)| n * w).sum() };
        let all = self.before.last().map_or(0, drawn);
        let rank = ((quantile * all as f64).ceil() as u64).max(1);
        let step = self.before.partition_point(|counts| drawn(counts) < rank) - 1;
        let mut passed = drawn(&self.before[step]);
        // Blocks without a single event may be all that was drawn.
        for (span, stratum) in self.spans.get(step * STEP..).unwrap_or_default() {
            passed += weights[*stratum];
            if passed >= rank {
                return *span as f64 / 1e3;
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_count_a_stratum_as_often_as_it_was_drawn() {
        let spans = (1..=100).rev().map(|n| (n * 1_000, usize::from(n > 50)));
        let table = SpanTable::new(spans.collect(), 2);
        let median = |weights: &[u64]| table.quantile(0.5, weights);
        assert!((median(&[1, 1]) - 50.0).abs() < 1e-9);
        assert!((median(&[1, 0]) - 25.0).abs() < 1e-9);
        assert!((median(&[0, 2]) - 75.0).abs() < 1e-9);
        assert!((table.quantile(0.99, &[1, 1]) - 99.0).abs() < 1e-9);
        assert!((table.quantile(1.0, &[1, 1]) - 100.0).abs() < 1e-9);
        // 50 ones and 150 of the upper half: the median is the 100th, the 17th of the upper half.
        assert!((median(&[1, 3]) - 67.0).abs() < 1e-9);
    }

    #[test]
    fn blocks_that_resemble_their_neighbours_say_less() {
        let turns: Vec<f64> = (0..20).map(|n| f64::from(n % 2)).collect();
        assert!((variance_inflation(&turns) - 1.0).abs() < 1e-9);
        assert!((variance_inflation(&[3.0; 20]) - 1.0).abs() < 1e-9);
        assert!((variance_inflation(&[]) - 1.0).abs() < 1e-9);
        let rise: Vec<f64> = (0..20).map(f64::from).collect();
        assert!(
            (variance_inflation(&rise) - 19.0).abs() < 1e-9,
            "{}",
            variance_inflation(&rise)
        );
    }

    #[test]
    fn a_variance_over_few_strata_is_made_up_for() {
        let values = [1.0, 3.0, 1.0, 3.0];
        let of = |strata| corrected(values.into_iter(), strata);
        assert!((of(2).variance - 4.0 / 3.0 * 2.0).abs() < 1e-9);
        assert!((of(5).freedom - 4.0).abs() < 1e-9);
    }
}
