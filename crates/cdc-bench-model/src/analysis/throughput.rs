//! Events per second as they reach the store.

use serde::{Deserialize, Serialize};

use crate::timeline::Stamp;

const SECOND_NS: i64 = 1_000_000_000;

/// Events per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Events over the time from the first INSERT to the last acknowledgement of the store.
    pub average_per_s: f64,
    /// The best whole second.
    pub peak_per_s: f64,
}

/// Counts acknowledgements by the second they came in.
#[derive(Debug, Clone, Default)]
pub struct ThroughputMeter {
    first: Option<Stamp>,
    last: Option<Stamp>,
    count: u64,
    seconds: Vec<u32>,
}

impl ThroughputMeter {
    /// Adds an event sent at `t0` and in the store at `t5`.
    pub fn record(&mut self, t0: Stamp, t5: Stamp) {
        let first = *self.first.get_or_insert(t0);
        self.first = Some(first.min(t0));
        self.last = Some(self.last.map_or(t5, |last| last.max(t5)));
        self.count += 1;
        // Buckets hang on the first T0 seen; an earlier one joining later falls into the first bucket.
        let second = usize::try_from((t5.0 - first.0).max(0) / SECOND_NS).unwrap_or(0);
        if second >= self.seconds.len() {
            self.seconds.resize(second + 1, 0);
        }
        self.seconds[second] += 1;
    }

    /// Events in the last of those seconds that was over at `now`.
    #[must_use]
    pub fn just_over(&self, now: Stamp) -> u32 {
        let Some(first) = self.first else { return 0 };
        let second = usize::try_from((now.0 - first.0) / SECOND_NS).unwrap_or(0);
        let last = second.checked_sub(1);
        last.and_then(|last| self.seconds.get(last).copied())
            .unwrap_or(0)
    }

    /// The rates so far.
    #[must_use]
    pub fn throughput(&self) -> Throughput {
        Self::over([self])
    }

    /// The rates over several rounds, without the time between them.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // event counts and spans far below 2^53
    pub fn over<'a>(rounds: impl IntoIterator<Item = &'a Self>) -> Throughput {
        let (mut count, mut span_s, mut peak) = (0, 0.0, 0);
        for round in rounds {
            if let (Some(first), Some(last)) = (round.first, round.last) {
                count += round.count;
                span_s += (last - first).0 as f64 / 1e9;
                peak = peak.max(round.seconds.iter().copied().max().unwrap_or(0));
            }
        }
        if count == 0 {
            return Throughput::default();
        }
        let average = count as f64 / span_s.max(1e-9);
        // What is shorter than a second has no whole second: its average is all there is.
        Throughput {
            average_per_s: round(average),
            peak_per_s: round(if span_s < 1.0 {
                average
            } else {
                f64::from(peak)
            }),
        }
    }
}

fn round(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_is_over_the_whole_way_and_peak_over_its_best_second() {
        let mut meter = ThroughputMeter::default();
        for n in 0..300 {
            let t0 = n * 10_000_000;
            meter.record(Stamp(t0), Stamp(t0 + 5_000_000));
        }
        assert_eq!(meter.just_over(Stamp(2_500_000_000)), 100);
        assert_eq!(meter.just_over(Stamp(500_000_000)), 0, "none is over");
        assert_eq!(meter.just_over(Stamp(9_000_000_000)), 0, "none came");
        let rates = meter.throughput();
        assert!((rates.average_per_s - 100.2).abs() < 0.5, "{rates:?}");
        assert!((rates.peak_per_s - 100.0).abs() < f64::EPSILON, "{rates:?}");
    }

    #[test]
    fn the_time_between_rounds_does_not_count() {
        let round = |start: i64| {
            let mut meter = ThroughputMeter::default();
            for n in 0..=200 {
                let t0 = start + n * 10_000_000;
                meter.record(Stamp(t0), Stamp(t0));
            }
            meter
        };
        let rates = ThroughputMeter::over(&[round(0), round(60_000_000_000)]);
        assert!((rates.average_per_s - 100.5).abs() < 0.1, "{rates:?}");
    }

    #[test]
    fn nothing_is_no_rate() {
        assert_eq!(
            ThroughputMeter::default().throughput(),
            Throughput::default()
        );
    }
}
