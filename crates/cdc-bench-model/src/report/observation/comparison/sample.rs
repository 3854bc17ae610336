//! The quantiles of an observation, and how far they would be elsewhere if its blocks of time had come otherwise.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::super::logged::read_blocks;
use super::error::ObservedComparisonError;
use crate::analysis::QUANTILES;
use crate::observation::ObservedHop;
use crate::report::StoredObservation;

/// Blocks of time, fewer where the observation was shorter.
const BLOCKS: u32 = 24;
/// Resamples.
const REPLICATES: usize = 200;
/// The same observations give the same intervals.
const SEED: u64 = 1;

/// A quantile and its standard error, both in microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Estimate {
    pub(super) value: f64,
    pub(super) error: f64,
}

/// An observation in blocks of time.
pub(super) struct Sample {
    blocks: Vec<BTreeMap<String, Histogram<u64>>>,
}

impl Sample {
    /// Of this observation's log.
    pub(super) fn read(stored: &StoredObservation) -> Result<Self, ObservedComparisonError> {
        let mut blocks = Vec::new();
        let any = read_blocks(stored.path(), BLOCKS, |block| blocks.push(block.hops))?;
        if !any {
            let id = stored.report.run.id.clone();
            return Err(ObservedComparisonError::NoLog(id));
        }
        Ok(Self { blocks })
    }

    /// The quantiles of a hop; `None` where no change has it.
    pub(super) fn quantiles(&self, hop: ObservedHop) -> Option<[Estimate; QUANTILES.len()]> {
        let blocks = self.blocks.iter().map(|block| block.get(hop.as_str()));
        let blocks: Vec<_> = blocks.collect();
        let high = blocks.iter().flatten().map(|block| block.max()).max()?;
        // Histograms of one size are added many times as fast as others.
        let sized = |block: &Histogram<u64>| sum([block].into_iter(), high);
        let blocks: Vec<_> = blocks.into_iter().map(|block| block.map(sized)).collect();
        let all = sum(blocks.iter().flatten(), high);
        if all.is_empty() {
            return None;
        }
        let mut random = SmallRng::seed_from_u64(SEED);
        let replicates: Vec<_> = (0..REPLICATES)
            .map(|_| {
                let drawn = (0..blocks.len()).map(|_| random.random_range(0..blocks.len()));
                let drawn: Vec<_> = drawn.filter_map(|block| blocks[block].as_ref()).collect();
                quantiles(&sum(drawn.into_iter(), high))
            })
            .collect();
        let values = quantiles(&all);
        Some(std::array::from_fn(|place| Estimate {
            value: values[place],
            error: deviation(replicates.iter().map(|replicate| replicate[place])),
        }))
    }
}

/// The sum of histograms without a value above `high`.
fn sum<'a>(blocks: impl Iterator<Item = &'a Histogram<u64>>, high: u64) -> Histogram<u64> {
    let mut sum = Histogram::new_with_bounds(1, high.max(2), 3)
        .expect("3 significant digits are within HdrHistogram's 0 to 5");
    sum.auto(true);
    for block in blocks {
        sum.add(block)
            .expect("an auto-resizing histogram takes in any other");
    }
    sum
}

#[allow(clippy::cast_precision_loss)] // microseconds far below 2^53
fn quantiles(of: &Histogram<u64>) -> [f64; QUANTILES.len()] {
    QUANTILES.map(|(_, quantile)| of.value_at_quantile(quantile) as f64)
}

#[allow(clippy::cast_precision_loss)] // some hundreds
fn deviation(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let count = values.clone().count().max(2) as f64;
    let mean = values.clone().sum::<f64>() / count;
    let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
    (squares / (count - 1.0)).sqrt()
}
