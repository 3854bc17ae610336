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
    /// Events over that time without the latency that an event has before any backlog: see [`ThroughputMeter::over`]. It is what
    /// an objective is held against; 0 in reports of earlier versions.
    #[serde(default)]
    pub sustained_per_s: f64,
}

/// Number of events that the base latency is taken from, at most.
const FIRST_EVENTS: usize = 1_000;
/// It is taken from the first quarter of the events, before a backlog grows.
const BEFORE_BACKLOG: u64 = 4;
/// It is at most the time of the INSERTs divided by this: what is above is a backlog.
const BASE_LATENCY_DIVISOR: i64 = 10;

/// Counts acknowledgements by the second they came in.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ThroughputMeter {
    first: Option<Stamp>,
    last: Option<Stamp>,
    last_sent: Option<Stamp>,
    count: u64,
    seconds: Vec<u32>,
    /// Total latencies of the first events, nanoseconds.
    first_latencies: Vec<i64>,
}

impl ThroughputMeter {
    /// Adds an event sent at `t0` and in the store at `t5`.
    pub fn record(&mut self, t0: Stamp, t5: Stamp) {
        let first = *self.first.get_or_insert(t0);
        self.first = Some(first.min(t0));
        self.last = Some(self.last.map_or(t5, |last| last.max(t5)));
        self.last_sent = self.last_sent.max(Some(t0));
        if self.first_latencies.len() < FIRST_EVENTS {
            self.first_latencies.push((t5 - t0).0);
        }
        self.count += 1;
        // Buckets hang on the first T0 seen; an earlier one joining later falls into the first bucket.
        let second = usize::try_from((t5.0 - first.0).max(0) / SECOND_NS).unwrap_or(0);
        if second >= self.seconds.len() {
            self.seconds.resize(second + 1, 0);
        }
        self.seconds[second] += 1;
    }

    /// Adds the events of another machine at the same time, whose stamps are on a clock that runs with ours.
    pub fn add(&mut self, other: &Self) {
        let Some(theirs) = other.first else { return };
        let ours = *self.first.get_or_insert(theirs);
        let earlier = (ours - theirs).0.max(0);
        let shift = usize::try_from(earlier.unsigned_abs().div_ceil(SECOND_NS.unsigned_abs()));
        self.seconds
            .splice(..0, std::iter::repeat_n(0, shift.unwrap_or(0)));
        let later = usize::try_from((theirs - ours).0.max(0) / SECOND_NS).unwrap_or(0);
        let wanted = later + other.seconds.len();
        self.seconds.resize(wanted.max(self.seconds.len()), 0);
        for (count, more) in self.seconds[later..].iter_mut().zip(&other.seconds) {
            *count += more;
        }
        self.first = Some(ours.min(theirs));
        self.last = self.last.max(other.last);
        self.last_sent = self.last_sent.max(other.last_sent);
        self.first_latencies.extend(&other.first_latencies);
        self.count += other.count;
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

    /// The latency of an event before a backlog grows, nanoseconds: the 99th percentile of the first events' totals.
    fn base_latency(&self) -> i64 {
        let early = usize::try_from(self.count.div_ceil(BEFORE_BACKLOG)).unwrap_or(usize::MAX);
        let mut latencies: Vec<_> = self.first_latencies.iter().take(early).copied().collect();
        latencies.sort_unstable();
        let place = (latencies.len() * 99).div_ceil(100).saturating_sub(1);
        latencies.get(place).copied().unwrap_or(0)
    }

    /// Intervals between the events, and the nanoseconds that they took: from the first INSERT to the last acknowledgement,
    /// without the base latency, but no less than the INSERTs themselves.
    fn sustained(&self) -> Option<(u64, i64)> {
        let (first, last) = self.first.zip(self.last)?;
        let sending = (self.last_sent? - first).0;
        let base_latency = self.base_latency().clamp(0, sending / BASE_LATENCY_DIVISOR);
        let working = ((last - first).0 - base_latency).max(sending);
        Some((self.count.checked_sub(1)?, working))
    }

    /// The rates over several rounds, without the time between them.
    ///
    /// The sustained rate is the number of intervals between events over the time that they took, less the base latency: the
    /// last event's way is no shortfall of a pipeline that keeps up, and a twentieth of three seconds. What a backlog adds to
    /// the time stays in it.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // event counts and spans far below 2^53
    pub fn over<'a>(rounds: impl IntoIterator<Item = &'a Self>) -> Throughput {
        let (mut count, mut span_s, mut peak) = (0, 0.0, 0);
        let (mut intervals, mut working_s) = (0, 0.0);
        for round in rounds {
            if let (Some(first), Some(last)) = (round.first, round.last) {
                count += round.count;
                span_s += (last - first).0 as f64 / 1e9;
                peak = peak.max(round.seconds.iter().copied().max().unwrap_or(0));
            }
            if let Some((count, working)) = round.sustained() {
                intervals += count;
                working_s += working as f64 / 1e9;
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
            sustained_per_s: round(if intervals == 0 {
                average
            } else {
                intervals as f64 / working_s.max(1e-9)
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

    /// The sustained rate of events at 50 a second, of which number `n` takes `latency(n)` ms.
    fn sustained(events: i64, latency: impl Fn(i64) -> i64) -> f64 {
        let mut meter = ThroughputMeter::default();
        for n in 0..events {
            let t0 = n * 20_000_000;
            meter.record(Stamp(t0), Stamp(t0 + latency(n) * 1_000_000));
        }
        meter.throughput().sustained_per_s
    }

    #[test]
    fn the_way_of_the_last_event_is_no_shortfall() {
        for (events, ms) in [(150, 81), (40, 70), (500, 5), (3_000, 400)] {
            let rate = sustained(events, |_| ms);
            assert!((rate - 50.0).abs() < 0.1, "{events} of {ms} ms: {rate}");
        }
        // They vary, and so does the last one.
        let rate = sustained(150, |n| 30 + n * 37 % 60);
        assert!(rate > 49.5, "{rate}");
        // No more than was offered.
        assert!(sustained(150, |n| 100 - n.min(90)) <= 50.0);
        assert!(
            (sustained(1, |_| 20) - 50.0).abs() < 0.1,
            "one event: its average"
        );
    }

    #[test]
    fn a_backlog_at_the_end_is_a_shortfall() {
        for (what, latency) in [
            ("3 % too slow", (|n| 20 + n * 6 / 10) as fn(i64) -> i64),
            ("nothing in the last half second", |n| {
                20 + (n - 125).max(0) * 20
            }),
            ("a stall that is never made up for", |_| 2_000),
        ] {
            let rate = sustained(150, latency);
            assert!(rate < 49.5, "{what}: {rate}");
        }
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
    fn machines_at_the_same_time_are_as_fast_as_all_of_them() {
        let machine = |start: i64| {
            let mut meter = ThroughputMeter::default();
            for n in 0..500 {
                let t0 = start + n * 10_000_000;
                meter.record(Stamp(t0), Stamp(t0 + 5_000_000));
            }
            meter
        };
        for (one, other) in [(0, 4_000_000), (4_000_000, 0), (1_300_000_000, 0)] {
            let mut sum = machine(one);
            sum.add(&machine(other));
            let rates = sum.throughput();
            assert!((rates.peak_per_s - 200.0).abs() < 1.0, "{rates:?}");
            let average = 1_000.0 / (4.995 + (one - other).abs() as f64 / 1e9);
            assert!((rates.average_per_s - average).abs() < 1.0, "{rates:?}");
        }
    }

    #[test]
    fn nothing_is_no_rate() {
        assert_eq!(
            ThroughputMeter::default().throughput(),
            Throughput::default()
        );
    }
}
