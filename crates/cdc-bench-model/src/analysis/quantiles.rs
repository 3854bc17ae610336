//! Quantiles per hop, from HdrHistogram, with negative spans counted as such.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::written_histogram::{NoHistogramError, WrittenHistogram};
use crate::timeline::Nanos;

/// Significant digits of every histogram.
const DIGITS: u8 = 3;

/// A histogram of spans in nanoseconds that may be negative. HdrHistogram holds no negative values, so their magnitudes
/// have a histogram of their own; quantiles run through both.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "WrittenHistogram", into = "WrittenHistogram")]
pub struct SignedHistogram {
    negative: Histogram<u64>,
    positive: Histogram<u64>,
    sum: i128,
}

impl Default for SignedHistogram {
    fn default() -> Self {
        let empty = || {
            Histogram::new(DIGITS).expect("3 significant digits are within HdrHistogram's 0 to 5")
        };
        Self {
            negative: empty(),
            positive: empty(),
            sum: 0,
        }
    }
}

impl From<SignedHistogram> for WrittenHistogram {
    fn from(from: SignedHistogram) -> Self {
        Self::new(&from.negative, &from.positive, from.sum)
    }
}

impl TryFrom<WrittenHistogram> for SignedHistogram {
    type Error = NoHistogramError;

    fn try_from(from: WrittenHistogram) -> Result<Self, NoHistogramError> {
        let ([negative, positive], sum) = from.read()?;
        let mut histogram = Self {
            sum,
            ..Self::default()
        };
        for (side, read) in [
            (&mut histogram.negative, negative),
            (&mut histogram.positive, positive),
        ] {
            if let Some(read) = read {
                side.add(read)
                    .expect("an auto-resizing histogram takes in any other");
            }
        }
        Ok(histogram)
    }
}

impl SignedHistogram {
    /// Adds a span.
    pub fn record(&mut self, span: Nanos) {
        self.record_many(span, 1);
    }

    /// Adds a span that came `times` times.
    pub fn record_many(&mut self, span: Nanos, times: u64) {
        let side = if span.0 < 0 {
            &mut self.negative
        } else {
            &mut self.positive
        };
        side.record_n(span.0.unsigned_abs(), times)
            .expect("an auto-resizing histogram takes every value up to 2^63");
        self.sum += i128::from(span.0) * i128::from(times);
    }

    /// Adds the spans of another.
    pub fn add(&mut self, other: &Self) {
        for (ours, theirs) in [
            (&mut self.negative, &other.negative),
            (&mut self.positive, &other.positive),
        ] {
            ours.add(theirs)
                .expect("an auto-resizing histogram takes in any other");
        }
        self.sum += other.sum;
    }

    /// Spans recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.negative.len() + self.positive.len()
    }

    /// Spans below zero.
    #[must_use]
    pub fn negatives(&self) -> u64 {
        self.negative.len()
    }

    /// Spans below zero by more than `bound` (to 3 significant digits).
    #[must_use]
    pub fn negatives_beyond(&self, bound: Nanos) -> u64 {
        let bound = bound.0.unsigned_abs();
        self.negative
            .iter_recorded()
            .filter(|step| step.value_iterated_to() > bound)
            .map(|step| step.count_at_value())
            .sum()
    }

    /// The spans that are not negative, for the interval log.
    #[must_use]
    pub fn positive(&self) -> &Histogram<u64> {
        &self.positive
    }

    /// Every value, smallest first, with how often it came; to 3 significant digits.
    pub fn values(&self) -> impl Iterator<Item = (Nanos, u64)> + '_ {
        let below: Vec<_> = self
            .negative
            .iter_recorded()
            .map(|step| (-nanos(step.value_iterated_to()), step.count_at_value()))
            .collect();
        let above = self
            .positive
            .iter_recorded()
            .map(|step| (nanos(step.value_iterated_to()), step.count_at_value()));
        below.into_iter().rev().chain(above)
    }

    /// The value at quantile `q` (0 to 1), to 3 significant digits; zero when nothing is recorded.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    pub fn quantile(&self, q: f64) -> Nanos {
        let total = self.count();
        if total == 0 {
            return Nanos(0);
        }
        // The rank of the value, from 1, as HdrHistogram counts it.
        let rank = ((q.clamp(0.0, 1.0) * total as f64).ceil() as u64).clamp(1, total);
        let negatives = self.negative.len();
        if rank <= negatives {
            // The smallest value has the largest magnitude.
            let from_the_top = negatives - rank + 1;
            return -nanos(
                self.negative
                    .value_at_quantile((from_the_top as f64 - 0.5) / negatives as f64),
            );
        }
        // Half a rank short, so that no rounding of the fraction reaches into the next value.
        let rank = rank - negatives;
        nanos(
            self.positive
                .value_at_quantile((rank as f64 - 0.5) / self.positive.len() as f64),
        )
    }

    /// The smallest span.
    #[must_use]
    pub fn min(&self) -> Nanos {
        if self.negative.is_empty() {
            nanos(self.positive.min())
        } else {
            -nanos(self.negative.max())
        }
    }

    /// The largest span.
    #[must_use]
    pub fn max(&self) -> Nanos {
        if self.positive.is_empty() {
            -nanos(self.negative.min())
        } else {
            nanos(self.positive.max())
        }
    }

    /// The mean, exact.
    #[must_use]
    pub fn mean(&self) -> Nanos {
        let count = i128::from(self.count().max(1));
        Nanos(i64::try_from(self.sum / count).unwrap_or(i64::MAX))
    }

    /// Quantiles as reports carry them.
    #[must_use]
    pub fn statistics(&self, error_bound: Option<Nanos>) -> HopStatistics {
        let at = |q| self.quantile(q).round_micros();
        HopStatistics {
            count: self.count(),
            min: self.min().round_micros(),
            mean: self.mean().round_micros(),
            p50: at(0.50),
            p90: at(0.90),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: self.max().round_micros(),
            error_bound: error_bound.map(Nanos::round_micros),
        }
    }
}

fn nanos(value: u64) -> Nanos {
    Nanos(i64::try_from(value).unwrap_or(i64::MAX))
}

/// One hop of a report; durations in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopStatistics {
    /// Events with this hop.
    pub count: u64,
    /// Smallest.
    pub min: i64,
    /// Mean.
    pub mean: i64,
    /// Median.
    pub p50: i64,
    /// 90th percentile.
    pub p90: i64,
    /// 95th percentile.
    pub p95: i64,
    /// 99th percentile.
    pub p99: i64,
    /// 99.9th percentile.
    pub p999: i64,
    /// Largest.
    pub max: i64,
    /// How far each value may be off, for hops that cross clocks; `null` when the clock could not be measured.
    pub error_bound: Option<i64>,
}

impl HopStatistics {
    /// Whether the clocks are too far apart for the figures to mean anything.
    #[must_use]
    pub fn is_within_error(&self) -> bool {
        self.error_bound.is_none_or(|bound| bound > self.p50.abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a rank among 300
        fn quantiles_are_those_of_the_sorted_values(mut values in proptest::collection::vec(-5_000_000_000i64..5_000_000_000, 1..300), q in 0.0f64..=1.0) {
            let mut histogram = SignedHistogram::default();
            for &value in &values {
                histogram.record(Nanos(value));
            }
            values.sort_unstable();
            let rank = ((q * values.len() as f64).ceil() as usize).clamp(1, values.len());
            let exact = values[rank - 1];
            let found = histogram.quantile(q).0;
            prop_assert!((found - exact).abs() <= exact.abs() / 1_000 + 1, "q {q}: {found} for {exact}");
            prop_assert!((histogram.min().0 - values[0]).abs() <= values[0].abs() / 1_000 + 1);
            let last = values[values.len() - 1];
            prop_assert!((histogram.max().0 - last).abs() <= last.abs() / 1_000 + 1);
        }
    }

    #[test]
    fn values_come_smallest_first() {
        let mut histogram = SignedHistogram::default();
        for span in [400, -900, 7, -100, 7] {
            histogram.record(Nanos(span));
        }
        let values: Vec<_> = histogram.values().map(|(value, n)| (value.0, n)).collect();
        assert_eq!(values, [(-900, 1), (-100, 1), (7, 2), (400, 1)]);
    }

    #[test]
    fn negatives_are_told_apart_by_the_bound() {
        let mut histogram = SignedHistogram::default();
        for span in [-900, -500, -100, 0, 400] {
            histogram.record(Nanos(span));
        }
        assert_eq!(histogram.negatives(), 3);
        assert_eq!(histogram.negatives_beyond(Nanos(499)), 2);
        assert_eq!(histogram.negatives_beyond(Nanos(500)), 1);
        assert_eq!(histogram.negatives_beyond(Nanos(0)), 3);
    }

    #[test]
    fn nothing_recorded_is_zero() {
        let statistics = SignedHistogram::default().statistics(None);
        assert_eq!(
            (statistics.count, statistics.p50, statistics.max),
            (0, 0, 0)
        );
    }

    #[test]
    fn a_bound_wider_than_the_median_is_told() {
        let mut histogram = SignedHistogram::default();
        histogram.record(Nanos::from_micros(300));
        assert!(
            histogram
                .statistics(Some(Nanos::from_micros(600)))
                .is_within_error()
        );
        assert!(
            !histogram
                .statistics(Some(Nanos::from_micros(200)))
                .is_within_error()
        );
        assert!(histogram.statistics(None).is_within_error());
    }

    proptest! {
        /// Parts that were sent as text have the quantiles of all their events together, exactly.
        #[test]
        fn parts_merge_without_loss(values in proptest::collection::vec((-5_000_000_000i64..50_000_000_000, 0usize..4), 0..300)) {
            let mut pooled = SignedHistogram::default();
            let mut parts = vec![SignedHistogram::default(); 4];
            for (value, part) in values {
                pooled.record(Nanos(value));
                parts[part].record(Nanos(value));
            }
            let mut merged = SignedHistogram::default();
            for part in parts {
                let text = serde_json::to_string(&part).unwrap();
                merged.add(&serde_json::from_str(&text).unwrap());
            }
            prop_assert_eq!(merged.statistics(None), pooled.statistics(None));
            prop_assert_eq!(merged.mean(), pooled.mean());
            prop_assert!(merged.values().eq(pooled.values()));
        }
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        for text in [
            r#"{"sum": "x"}"#,
            r#"{"sum": "0", "positive": "!"}"#,
            r#"{"sum": "0", "negative": "AAAA"}"#,
        ] {
            let read: Result<SignedHistogram, _> = serde_json::from_str(text);
            assert!(read.is_err(), "{text}");
        }
    }
}
