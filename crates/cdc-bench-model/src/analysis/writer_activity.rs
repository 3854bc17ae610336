//! The writes to the store: how many, and for how much of the time there was one in flight.

use serde::{Deserialize, Serialize};

use crate::timeline::{Nanos, Stamp};

/// Writes to the store, as the stamps of their events show them: events that are acknowledged together are one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct WriterActivity {
    writes: u64,
    last: Option<Stamp>,
    /// Time in flight of all writes together.
    in_flight: Nanos,
    /// From the first write issued to the last one acknowledged.
    span: Option<(Stamp, Stamp)>,
    /// The same of other parts of the run.
    other_spans: Nanos,
}

impl WriterActivity {
    /// Adds an event: when its write was issued, and acknowledged.
    pub fn record(&mut self, issued: Stamp, acknowledged: Stamp) {
        if self.last == Some(acknowledged) {
            return;
        }
        self.last = Some(acknowledged);
        self.writes += 1;
        self.in_flight = self.in_flight + (acknowledged - issued);
        let (first, last) = self.span.unwrap_or((issued, acknowledged));
        self.span = Some((first.min(issued), last.max(acknowledged)));
    }

    /// Adds those of another part of the run.
    pub fn add(&mut self, other: &Self) {
        self.writes += other.writes;
        self.in_flight = self.in_flight + other.in_flight;
        self.other_spans = self.other_spans + other.time();
    }

    /// Their number.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.writes
    }

    fn time(&self) -> Nanos {
        let own = self.span.map_or(Nanos(0), |(first, last)| last - first);
        self.other_spans + own
    }

    /// The share of its time that a writer had a write in flight, 0 to 1, where this many of them share the work; `None` where there
    /// was no time.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // durations of a run
    pub fn busy_share(&self, writers: u64) -> Option<f64> {
        let time = self.time().0 as f64 * writers as f64;
        (time > 0.0).then(|| (self.in_flight.0 as f64 / time).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_are_busy_while_a_write_is_in_flight() {
        let ms = |ms: i64| Stamp(ms * 1_000_000);
        let mut activity = WriterActivity::default();
        assert_eq!(activity.busy_share(1), None);
        // Two events of one write, and another write a second later.
        activity.record(ms(0), ms(100));
        activity.record(ms(0), ms(100));
        activity.record(ms(900), ms(1_000));
        assert_eq!(activity.writes(), 2);
        assert_eq!(activity.busy_share(1), Some(0.2));
        assert_eq!(activity.busy_share(2), Some(0.1));
        // A later part of the run; the time between does not count.
        let mut later = WriterActivity::default();
        later.record(ms(9_000), ms(10_000));
        activity.add(&later);
        assert_eq!(activity.busy_share(1), Some(0.6));
    }
}
