//! An observation over time, as its page draws it.

use std::collections::BTreeMap;
use std::path::Path;

use hdrhistogram::Histogram;

use super::logged::{LatencyBlock, read_blocks};
use crate::report::StoredError;

/// Most points of a line.
const POINTS: u32 = 120;

/// A period of the observation.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SeriesPoint {
    /// Its middle, seconds from the beginning.
    pub(crate) middle_s: f64,
    /// Changes a second that came to their end.
    pub(crate) per_s: f64,
    /// p50, p95, p99 and maximum of the total.
    pub(crate) total_ms: Option<[f64; 4]>,
    /// Median by hop.
    pub(crate) medians_ms: BTreeMap<String, f64>,
}

/// The whole observation.
#[derive(Debug, Clone, Default)]
pub(crate) struct ObservedSeries {
    pub(crate) length_s: f64,
    pub(crate) points: Vec<SeriesPoint>,
    /// All changes by hop, in microseconds.
    pub(crate) hops: BTreeMap<String, Histogram<u64>>,
}

/// The series of the observation with this `report.json`; `None` where it has no log.
///
/// # Errors
/// When the log cannot be read.
pub(crate) fn series_of(report: &Path) -> Result<Option<ObservedSeries>, StoredError> {
    let mut series = ObservedSeries::default();
    let any = read_blocks(report, POINTS, |block| series.add(block))?;
    Ok(any.then_some(series))
}

impl ObservedSeries {
    fn add(&mut self, block: LatencyBlock) {
        self.length_s = self.length_s.max(block.start_s + block.length_s);
        self.points.push(point(&block));
        for (hop, histogram) in block.hops {
            match self.hops.get_mut(&hop) {
                Some(all) => all
                    .add(&histogram)
                    .expect("an auto-resizing histogram takes in any other"),
                None => {
                    self.hops.insert(hop, histogram);
                }
            }
        }
    }
}

#[allow(clippy::cast_precision_loss)] // microseconds and counts far below 2^53
fn point(block: &LatencyBlock) -> SeriesPoint {
    let ms = |us: u64| us as f64 / 1e3;
    let total = block.hops.get("total").filter(|total| !total.is_empty());
    let hops = block.hops.iter().filter(|(_, hop)| !hop.is_empty());
    SeriesPoint {
        middle_s: block.start_s + block.length_s / 2.0,
        per_s: total.map_or(0.0, |total| total.len() as f64 / block.length_s.max(0.001)),
        total_ms: total.map(|total| {
            let at = |quantile| ms(total.value_at_quantile(quantile));
            [at(0.5), at(0.95), at(0.99), at(1.0)]
        }),
        medians_ms: hops
            .map(|(name, hop)| (name.clone(), ms(hop.value_at_quantile(0.5))))
            .collect(),
    }
}
