//! The schedule of a load with the changes that are made while it runs.

use super::control::{LoadChange, LoadChangeKind, LoadControl};
use super::plan::Limit;
use super::rate::Rate;
use super::schedule::Schedule;
use cdc_bench_model::timeline::{Clock, Nanos, Stamp};

/// Where a load ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LoadEnd {
    /// After this many rows.
    Rows(u64),
    /// With the last row that is due before this time; where nothing is scheduled, at this time.
    At(Stamp),
}

/// A schedule, with the changes of a [`LoadControl`] that were made before the row that is due next.
pub(super) struct SteeredSchedule {
    /// With all changes up to `applied`.
    base: Schedule,
    end: LoadEnd,
    control: LoadControl,
    /// How many changes were applied.
    applied: usize,
    paused_at: Option<Stamp>,
    /// First row of the transaction that was sent last.
    previous_row: Option<u64>,
}

impl SteeredSchedule {
    /// A schedule that begins at `start`, with the rate of `control`.
    pub fn new(start: Stamp, control: &LoadControl, limit: Limit) -> Self {
        let (rate, is_paused, applied) = control.begin();
        Self {
            base: Schedule::new(start, rate),
            end: match limit {
                Limit::Events(count) => LoadEnd::Rows(count),
                Limit::Duration(span) => LoadEnd::At(start + Nanos::from(span)),
            },
            control: control.clone(),
            applied,
            paused_at: is_paused.then_some(start),
            previous_row: None,
        }
    }

    /// Applies the changes that were made before `first_row` was due. False while the load is paused.
    pub fn apply_changes(&mut self, first_row: u64, clock: Clock) -> bool {
        while let Some(change) = self.control.change(self.applied) {
            let at = clock.now() - Nanos::from(change.at.elapsed());
            // During a pause only rows from before it are due.
            let is_due = |due: Stamp| due <= at && self.paused_at.is_none();
            if self.base.due(first_row).is_some_and(is_due) {
                break;
            }
            self.applied += 1;
            self.apply(&change, at, first_row);
        }
        self.paused_at.is_none()
    }

    fn apply(&mut self, change: &LoadChange, at: Stamp, first_row: u64) {
        match change.kind {
            LoadChangeKind::Paused => self.paused_at = Some(at),
            LoadChangeKind::Resumed => {
                let Some(since) = self.paused_at.take() else {
                    return;
                };
                self.base = self.base.moved_by(at - since);
                if let LoadEnd::At(end) = &mut self.end {
                    *end = *end + (at - since);
                }
            }
            // The measured load begins after it.
            LoadChangeKind::WarmUpCut => {}
            LoadChangeKind::Rate { to, .. } => {
                let now = self.paused_at.unwrap_or(at);
                self.base = self.base.with_rate(to, self.previous_row, first_row, now);
            }
        }
    }

    /// How many rows from `first_row` on are left.
    pub fn rows_left(&self, first_row: u64, clock: Clock) -> u64 {
        match self.end {
            LoadEnd::Rows(limit) => limit.saturating_sub(first_row),
            LoadEnd::At(end) if self.base.rate() == Rate::MAX => {
                let is_over = self.paused_at.is_none() && clock.now() >= end;
                if is_over { 0 } else { u64::MAX }
            }
            LoadEnd::At(end) => self.base.rows_before(end).saturating_sub(first_row),
        }
    }

    /// When `first_row` is due; `None` at [`Rate::MAX`].
    pub fn due(&self, first_row: u64) -> Option<Stamp> {
        self.base.due(first_row)
    }

    /// The transaction that begins with `first_row` was sent.
    pub fn sent(&mut self, first_row: u64) {
        self.previous_row = Some(first_row);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_duration_ends_by_the_schedule() {
        let rows = |limit, rate: Rate| {
            let clock = Clock::start();
            SteeredSchedule::new(Stamp(0), &rate.into(), limit).rows_left(0, clock)
        };
        let limit = Limit::Duration(Duration::from_secs(2));
        assert_eq!(rows(limit, "10".parse().unwrap()), 20);
        assert_eq!(rows(Limit::Events(7), "10".parse().unwrap()), 7);
        assert_eq!(rows(limit, Rate::MAX), 0, "two seconds after 1970");
    }

    #[test]
    fn a_pause_moves_the_rows_after_it_and_none_before() {
        let clock = Clock::start();
        let rate: Rate = "10".parse().unwrap();
        let control = LoadControl::from(rate);
        // A load that began half a second ago, for one second, and is late: rows 0 to 5 were due.
        let start = clock.now() - Nanos::from_millis(550);
        let mut schedule =
            SteeredSchedule::new(start, &control, Limit::Duration(Duration::from_secs(1)));
        control.toggle_pause();
        assert!(
            schedule.apply_changes(5, clock),
            "row 5 was due before the pause"
        );
        let due = schedule.due(5).unwrap();
        assert_eq!(due - start, Nanos::from_millis(500));
        assert!(!schedule.apply_changes(6, clock), "row 6 was not");
        thread::sleep(Duration::from_millis(20));
        control.toggle_pause();
        assert!(schedule.apply_changes(6, clock));
        let late = schedule.due(6).unwrap() - (start + Nanos::from_millis(600));
        let changes = control.changes();
        let paused = Nanos::from(changes[1].at - changes[0].at);
        // Stamps are taken from the clock, the pause from its two ends; the processor may be away between two readings.
        assert!((late - paused).0.abs() < 15_000_000, "{late} and {paused}");
        assert_eq!(
            schedule.rows_left(6, clock),
            4,
            "as many as before the pause"
        );
    }

    #[test]
    fn another_rate_holds_from_the_next_row_on_and_for_the_rest_of_the_time() {
        let clock = Clock::start();
        let (slow, fast): (Rate, Rate) = ("1".parse().unwrap(), "100".parse().unwrap());
        let control = LoadControl::from(slow);
        let start = clock.now() - Nanos::from_millis(4_500);
        let mut schedule =
            SteeredSchedule::new(start, &control, Limit::Duration(Duration::from_secs(10)));
        schedule.sent(4);
        control.set_rate(fast);
        assert!(schedule.apply_changes(5, clock));
        let next = schedule.due(5).unwrap();
        let changed = next - (start + Nanos::from_millis(4_500));
        // When it was made is an instant, brought to the clock by two readings of which either may be the later.
        assert!(
            (-100_000_000..500_000_000).contains(&changed.0),
            "{changed}"
        );
        let then = schedule.due(6).unwrap();
        assert_eq!(then - next, Nanos::from_millis(10));
        // Some five and a half seconds are left.
        let left = schedule.rows_left(5, clock);
        assert!((500..=561).contains(&left), "{left}");
    }
}
