//! Collects the changes of an observation as they come to their end, and gives its hops at any time.

use std::collections::VecDeque;

use cdc_bench_model::analysis::SignedHistogram;
use cdc_bench_model::observation::{ObservedHop, ObservedHops, ObservedStatistics};
use cdc_bench_model::timeline::{Nanos, Stamp};

use super::{ObservedHopFigures, Second};

/// Half of the period that hops are shown for.
const HALF: Nanos = Nanos::from_millis(10_000);
const SECOND: Nanos = Nanos::from_millis(1_000);
/// Seconds that are kept: the width of the widest sparkline.
const SECONDS: usize = 200;

/// The changes of the last seconds.
#[derive(Debug, Default)]
pub struct ObservationMeter {
    /// When the half that is filling began.
    began: Option<Stamp>,
    filling: ObservedStatistics,
    before: ObservedStatistics,
    over: VecDeque<Second>,
    /// The number of the second that is filling, and the totals in it.
    second: Option<(i64, SignedHistogram)>,
}

impl ObservationMeter {
    /// A change that stands for `weight` of them came to its end at `at`.
    pub fn record(&mut self, at: Stamp, hops: &ObservedHops, weight: u64) {
        self.turn(at);
        self.filling.record(hops, weight);
        if let Some((_, totals)) = &mut self.second {
            totals.record_many(hops.total, weight);
        }
    }

    /// Starts a new half and a new second when the current ones are over.
    fn turn(&mut self, now: Stamp) {
        let began = *self.began.get_or_insert(now);
        let halves = (now - began).0 / HALF.0;
        if halves >= 1 {
            self.before = std::mem::take(&mut self.filling);
            self.began = Some(now);
        }
        if halves >= 2 {
            self.before = ObservedStatistics::default();
        }
        let present = now.0.div_euclid(SECOND.0);
        let (number, totals) = self
            .second
            .get_or_insert_with(|| (present, SignedHistogram::default()));
        let Ok(passed) = usize::try_from(present - *number) else {
            return;
        };
        if passed == 0 {
            return;
        }
        let any = totals.count() > 0;
        let at = |quantile| any.then(|| totals.quantile(quantile).round_micros());
        self.over.push_back(Second {
            written: totals.count(),
            p50_us: at(0.5),
            p99_us: at(0.99),
        });
        let empty = (passed - 1).min(SECONDS);
        self.over.extend((0..empty).map(|_| Second::default()));
        let surplus = self.over.len().saturating_sub(SECONDS);
        self.over.drain(..surplus);
        self.second = Some((present, SignedHistogram::default()));
    }

    /// Every hop over the last 10 to 20 seconds.
    pub fn hops(&mut self, now: Stamp) -> Vec<ObservedHopFigures> {
        self.turn(now);
        let figures = |hop: ObservedHop| {
            let mut both = self.filling.hop(hop).clone();
            both.add(self.before.hop(hop));
            let at = |quantile| both.quantile(quantile).round_micros();
            (both.count() > 0).then(|| ObservedHopFigures {
                hop: hop.as_str().to_owned(),
                count: both.count(),
                p50_us: at(0.5),
                p95_us: at(0.95),
                p99_us: at(0.99),
            })
        };
        ObservedHop::ALL.into_iter().filter_map(figures).collect()
    }

    /// The seconds before `now`, newest last; `written` are changes that came to their end.
    pub fn seconds(&mut self, now: Stamp) -> Vec<Second> {
        self.turn(now);
        self.over.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_of_the_last_seconds_and_pass() {
        let mut meter = ObservationMeter::default();
        let at = |ms: i64| Stamp(0) + Nanos::from_millis(ms);
        let ms = Nanos::from_millis;
        let hops = ObservedHops {
            produce: ms(3),
            consume: Some(ms(4)),
            total: ms(7),
            capture: ms(1),
            deliver: ms(1),
            ..ObservedHops::default()
        };
        (0..3_000).for_each(|n| meter.record(at(n), &hops, 1));
        let shown = meter.hops(at(3_000));
        let names: Vec<_> = shown.iter().map(|hop| hop.hop.as_str()).collect();
        assert_eq!(names, ["produce", "consume", "total", "capture", "deliver"]);
        assert_eq!((shown[2].count, shown[2].p99_us / 100), (3_000, 70));
        let written = meter.seconds(at(3_500));
        let written: Vec<_> = written.iter().map(|second| second.written).collect();
        assert_eq!(written, [1_000, 1_000, 1_000]);
        assert_eq!(meter.hops(at(60_000)), []);
        assert_eq!(meter.seconds(at(600_000)).len(), SECONDS);
    }
}
