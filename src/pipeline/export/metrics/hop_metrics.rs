//! Latency histograms of the hops of one capture path.

use std::collections::BTreeMap;

use cdc_bench_model::timeline::{Hop, Hops};
use prometheus::Histogram;

/// Upper bounds of the histogram buckets, seconds. Negative spans count in the first one.
pub const BUCKETS: [f64; 17] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];

/// The histograms of one path, looked up once.
#[derive(Debug, Clone)]
pub(crate) struct HopMetrics(pub(super) BTreeMap<Hop, Histogram>);

impl HopMetrics {
    /// Records the hops of an event that is in the store.
    #[allow(clippy::cast_precision_loss)] // spans far below 2^53 ns
    pub(crate) fn record(&self, hops: &Hops) {
        for (hop, histogram) in &self.0 {
            if let Some(span) = hops.get(*hop) {
                histogram.observe(span.0 as f64 / 1e9);
            }
        }
    }
}
