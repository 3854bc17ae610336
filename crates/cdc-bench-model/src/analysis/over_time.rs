//! Latency and throughput over the time of a run, for plots: a limited number of periods, whatever the run's length.

use hdrhistogram::Histogram;

use crate::timeline::{Nanos, Stamp};

/// Beyond this many periods, pairs are merged.
const MOST: usize = 240;
/// The shortest period.
const SHORTEST: Nanos = Nanos(50_000_000);
/// Events per period, on average, that quantiles need to be meaningful.
const ENOUGH: u64 = 20;
/// Fewest periods of a plot, however few the events.
const FEWEST: usize = 12;

/// One period.
#[derive(Debug, Clone)]
pub struct Period {
    /// Totals of the events whose INSERT was sent in it, in microseconds, to 2 significant digits.
    totals: Histogram<u32>,
    /// Events whose document was acknowledged in it.
    pub written: u64,
}

impl Default for Period {
    fn default() -> Self {
        Self {
            totals: Histogram::new(2)
                .expect("2 significant digits are within HdrHistogram's 0 to 5"),
            written: 0,
        }
    }
}

impl Period {
    /// Events whose INSERT was sent in it.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.totals.len()
    }

    /// A quantile of the totals, in microseconds; `None` where no event was sent.
    #[must_use]
    pub fn total(&self, quantile: f64) -> Option<u64> {
        (!self.totals.is_empty()).then(|| self.totals.value_at_quantile(quantile))
    }

    fn join(&mut self, later: &Self) {
        self.totals
            .add(&later.totals)
            .expect("an auto-resizing histogram takes every value");
        self.written += later.written;
    }
}

/// Periods of one length, one after the other.
#[derive(Debug, Clone)]
pub struct OverTime {
    origin: Stamp,
    length: Nanos,
    periods: Vec<Period>,
}

impl OverTime {
    /// None yet; they are counted from `origin`.
    #[must_use]
    pub fn from(origin: Stamp) -> Self {
        Self {
            origin,
            length: SHORTEST,
            periods: Vec::new(),
        }
    }

    /// Adds an event.
    pub fn record(&mut self, t0: Stamp, t5: Stamp) {
        let micros = u64::try_from((t5 - t0).round_micros()).unwrap_or(0);
        self.period(t0)
            .totals
            .record(micros)
            .expect("an auto-resizing histogram takes every value up to 2^63");
        self.period(t5).written += 1;
    }

    fn period(&mut self, at: Stamp) -> &mut Period {
        let since = (at - self.origin).0.max(0);
        loop {
            let place = usize::try_from(since / self.length.0).unwrap_or(usize::MAX);
            if place >= MOST {
                self.join_pairs();
                continue;
            }
            if place >= self.periods.len() {
                self.periods.resize_with(place + 1, Period::default);
            }
            return &mut self.periods[place];
        }
    }

    fn join_pairs(&mut self) {
        let mut joined = Vec::with_capacity(self.periods.len().div_ceil(2));
        for pair in self.periods.chunks(2) {
            let mut first = pair[0].clone();
            if let Some(second) = pair.get(1) {
                first.join(second);
            }
            joined.push(first);
        }
        self.periods = joined;
        self.length = Nanos(self.length.0 * 2);
    }

    /// The same in periods that hold enough events for meaningful quantiles.
    #[must_use]
    pub fn settled(mut self) -> Self {
        let events: u64 = self.periods.iter().map(Period::sent).sum();
        while self.periods.len() > FEWEST
            && events < ENOUGH * u64::try_from(self.periods.len()).unwrap_or(u64::MAX)
        {
            self.join_pairs();
        }
        self
    }

    /// Length of each.
    #[must_use]
    pub fn length(&self) -> Nanos {
        self.length
    }

    /// The periods, in order.
    #[must_use]
    pub fn periods(&self) -> &[Period] {
        &self.periods
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(events: i64, every_ms: i64, total_ms: i64) -> OverTime {
        let mut series = OverTime::from(Stamp(0));
        for n in 0..events {
            let t0 = Stamp(0) + Nanos::from_millis(n * every_ms);
            series.record(t0, t0 + Nanos::from_millis(total_ms));
        }
        series.settled()
    }

    #[test]
    fn any_length_of_run_fits_and_no_event_is_dropped() {
        for (events, every_ms) in [(1, 1), (30, 7), (10_000, 6), (50_000, 700)] {
            let series = run(events, every_ms, 4);
            assert!(series.periods().len() <= MOST, "{events}");
            let sent: u64 = series.periods().iter().map(Period::sent).sum();
            let written: u64 = series.periods().iter().map(|p| p.written).sum();
            let expected = u64::try_from(events).unwrap();
            assert_eq!((sent, written), (expected, expected));
        }
    }

    #[test]
    fn a_period_says_its_own_quantiles() {
        let mut series = OverTime::from(Stamp(0));
        for n in 0..1_000 {
            let t0 = Stamp(n * 1_000_000);
            // The second half of the second is ten times slower.
            let total = if n < 500 { 1 } else { 10 };
            series.record(t0, t0 + Nanos::from_millis(total));
        }
        let series = series.settled();
        let first = series.periods().first().unwrap().total(0.5).unwrap();
        let late = series.periods()[15].total(0.5).unwrap();
        assert!((995..=1_010).contains(&first), "{first}");
        assert!((9_900..=10_100).contains(&late), "{late}");
        assert_eq!(Period::default().total(0.5), None);
    }

    #[test]
    fn few_events_make_few_periods() {
        let series = run(300, 33, 4);
        assert!(series.periods().len() <= 24, "{}", series.periods().len());
    }
}
