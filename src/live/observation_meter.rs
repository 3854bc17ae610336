//! Collects the changes of an observation as they come to their end, and gives its hops at any time.

use cdc_bench_model::observation::{ObservedHop, ObservedHops, ObservedStatistics};
use cdc_bench_model::timeline::{Nanos, Stamp};

use super::recent::Recent;
use super::seconds::Seconds;
use super::{ObservedHopFigures, Second};

/// Hops are shown over the last 10 to 20 seconds.
const RECENT: Nanos = Nanos::from_millis(10_000);

/// The changes of the last seconds.
#[derive(Debug)]
pub struct ObservationMeter {
    recent: Recent<ObservedStatistics>,
    seconds: Seconds,
}

impl Default for ObservationMeter {
    fn default() -> Self {
        Self {
            recent: Recent::new(RECENT),
            seconds: Seconds::default(),
        }
    }
}

impl ObservationMeter {
    /// A change that stands for `weight` of them came to its end at `at`.
    pub fn record(&mut self, at: Stamp, hops: &ObservedHops, weight: u64) {
        self.recent.turn(at);
        self.recent.filling.record(hops, weight);
        self.seconds.record(at, hops.total, weight);
    }

    /// Every hop over the last 10 to 20 seconds.
    pub fn hops(&mut self, now: Stamp) -> Vec<ObservedHopFigures> {
        self.recent.turn(now);
        let Recent {
            filling, before, ..
        } = &self.recent;
        let figures = |hop: ObservedHop| {
            let mut both = filling.hop(hop).clone();
            both.add(before.hop(hop));
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
        self.seconds.until(now)
    }
}

#[cfg(test)]
mod tests {
    use super::super::seconds::SECONDS;
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
