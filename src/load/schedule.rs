//! When the rows of a load are due.

use std::time::Duration;

use super::rate::Rate;
use cdc_bench_model::timeline::{Nanos, Stamp};

/// When the transactions of a load are due: row `n` at `start + n / rate`, a transaction when its first row is. After
/// a change it counts from the first row after the change.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    start: Stamp,
    rate: Rate,
    /// The row that is due at `start`.
    first_row: u64,
}

impl Schedule {
    /// A schedule whose row 0 is due at `start`.
    #[must_use]
    pub fn new(start: Stamp, rate: Rate) -> Self {
        Self {
            start,
            rate,
            first_row: 0,
        }
    }

    /// When its first row is due: row 0, or the first after the last change.
    #[must_use]
    pub fn start(&self) -> Stamp {
        self.start
    }

    /// The rate in force.
    #[must_use]
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// How many rows are due before `end`; [`u64::MAX`] at [`Rate::MAX`].
    #[must_use]
    pub fn rows_before(&self, end: Stamp) -> u64 {
        let span = u64::try_from((end - self.start).0).map_or(Duration::ZERO, Duration::from_nanos);
        let more = self.rate.events_in(span).unwrap_or(u64::MAX);
        self.first_row.saturating_add(more)
    }

    /// The schedule moved by `span`.
    #[must_use]
    pub fn moved_by(self, span: Nanos) -> Self {
        Self {
            start: self.start + span,
            ..self
        }
    }

    /// The schedule with another rate from row `first_row` on, which is due one interval of the new rate after
    /// `previous_row`, but not before `now`.
    #[must_use]
    pub fn with_rate(
        self,
        rate: Rate,
        previous_row: Option<u64>,
        first_row: u64,
        now: Stamp,
    ) -> Self {
        let previous = previous_row.and_then(|row| Some((row, self.due(row)?)));
        let start = match previous {
            Some((row, due)) => now.max(due + rate.due_after(first_row - row)),
            None => self.due(first_row).map_or(now, |due| due.max(now)),
        };
        Self {
            start,
            rate,
            first_row,
        }
    }

    /// When the transaction that begins with row `first_row` is due. `None` at [`Rate::MAX`]: at once, and `ts` is `t0`.
    #[must_use]
    pub fn due(&self, first_row: u64) -> Option<Stamp> {
        self.rate.per_second()?;
        let after = self
            .rate
            .due_after(first_row.saturating_sub(self.first_row));
        Some(Stamp(self.start.0.saturating_add(after.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    #[test]
    fn the_schedule_does_not_drift() {
        let schedule = Schedule::new(Stamp(1_000), rate("3"));
        assert_eq!(schedule.due(0), Some(Stamp(1_000)));
        assert_eq!(schedule.due(1), Some(Stamp(333_334_333)));
        // A thousand million thirds of a second on, still exact.
        let far = 3_000_000_000;
        assert_eq!(
            schedule.due(far),
            Some(Stamp(1_000 + 1_000_000_000_000_000_000))
        );
        assert_eq!(Schedule::new(Stamp(1_000), Rate::MAX).due(7), None);
    }

    #[test]
    fn a_change_of_rate_counts_from_the_row_before_it() {
        let slow = Schedule::new(Stamp(0), rate("1"));
        let second = Nanos::from_millis(1_000);
        // Row 4 was due at 4 s; half a second later rows come ten times as fast.
        let now = Stamp(0) + Nanos::from_millis(4_050);
        let fast = slow.with_rate(rate("10"), Some(4), 5, now);
        assert_eq!(fast.due(5), Some(Stamp(4_100_000_000)));
        assert_eq!(fast.due(15), Some(Stamp(5_100_000_000)));
        // Where the new interval is over already, it begins now and not in the past.
        let late = Stamp(0) + Nanos::from_millis(4_500);
        assert_eq!(
            slow.with_rate(rate("10"), Some(4), 5, late).due(5),
            Some(late)
        );
        assert_eq!(fast.moved_by(second).due(5), Some(Stamp(5_100_000_000)));
    }
}
