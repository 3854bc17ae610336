//! The pacing thread: takes rows from their source, gathers them into transactions and hands each over when it is due.
//!
//! It is an OS thread because a tokio timer fires on whole milliseconds, and an OS thread's sleep within tens of
//! microseconds, without spinning. Rows are made before their time, so making them costs no punctuality.

use std::thread;
use std::time::Duration;

use async_channel::Sender;

use super::Limit;
use super::pace::{Change, Pace, Steering};
use super::rate::{Rate, Schedule};
use cdc_bench_model::event::OutboxRow;
use cdc_bench_model::timeline::{Clock, Nanos, Stamp};

/// Longest sleep in one go; after it the thread looks whether the load was stopped.
const NAP: Duration = Duration::from_millis(50);

/// The rows of one transaction.
pub(super) struct Transaction {
    /// At least one row.
    pub rows: Vec<OutboxRow>,
    /// When it was to be sent; `None` where the schedule is "as fast as possible".
    pub due: Option<Stamp>,
}

/// Where the pacer stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// After this many rows.
    Rows(u64),
    /// With the last row that is due before this time; where nothing is scheduled, at this time.
    At(Stamp),
}

pub(super) struct Pacer<I> {
    pub rows: I,
    pub course: Course,
    pub insert_batch: usize,
    pub clock: Clock,
    pub transactions: Sender<Transaction>,
}

/// The schedule in force, and the changes that are not in it yet.
pub(super) struct Course {
    schedule: Schedule,
    end: End,
    pace: Pace,
    /// How many changes are in the schedule.
    seen: usize,
    paused_at: Option<Stamp>,
    /// First row of the transaction that went out last.
    previous_row: Option<u64>,
}

impl Course {
    /// A schedule that begins at `start`, as the pace is now.
    pub fn new(start: Stamp, pace: &Pace, limit: Limit) -> Self {
        let (rate, is_paused, seen) = pace.begin();
        Self {
            schedule: Schedule::new(start, rate),
            end: match limit {
                Limit::Events(count) => End::Rows(count),
                Limit::Duration(span) => End::At(start + Nanos::from(span)),
            },
            pace: pace.clone(),
            seen,
            paused_at: is_paused.then_some(start),
            previous_row: None,
        }
    }

    /// Takes in the changes that were made before `first_row` was due. Whether it may go out once it is.
    fn steer(&mut self, first_row: u64, clock: Clock) -> bool {
        while let Some(change) = self.pace.change(self.seen) {
            let at = clock.now() - Nanos::from(change.at.elapsed());
            // Paused, nothing is due but what was before the pause.
            let is_due = |due: Stamp| due <= at && self.paused_at.is_none();
            if self.schedule.due(first_row).is_some_and(is_due) {
                break;
            }
            self.seen += 1;
            self.apply(&change, at, first_row);
        }
        self.paused_at.is_none()
    }

    fn apply(&mut self, change: &Change, at: Stamp, first_row: u64) {
        match change.steering {
            Steering::Paused => self.paused_at = Some(at),
            Steering::Resumed => {
                let Some(since) = self.paused_at.take() else {
                    return;
                };
                self.schedule = self.schedule.moved_by(at - since);
                if let End::At(end) = &mut self.end {
                    *end = *end + (at - since);
                }
            }
            // The measured load begins behind it.
            Steering::WarmUpCut => {}
            Steering::Rate { to, .. } => {
                let now = self.paused_at.unwrap_or(at);
                self.schedule = self
                    .schedule
                    .with_rate(to, self.previous_row, first_row, now);
            }
        }
    }

    /// How many rows from `first_row` on are left.
    fn room(&self, first_row: u64, clock: Clock) -> u64 {
        match self.end {
            End::Rows(limit) => limit.saturating_sub(first_row),
            End::At(end) if self.schedule.rate() == Rate::MAX => {
                let is_over = self.paused_at.is_none() && clock.now() >= end;
                if is_over { 0 } else { u64::MAX }
            }
            End::At(end) => self.schedule.rows_before(end).saturating_sub(first_row),
        }
    }
}

impl<I: Iterator<Item = OutboxRow>> Pacer<I> {
    /// Runs until the end, until the rows run out, or until nobody takes transactions any more.
    pub fn run(mut self) {
        sharpen_sleep();
        let mut first_row = 0;
        let mut rows = Vec::new();
        loop {
            // Made before their time; how many of them there is time for may change until then.
            if rows.is_empty() {
                rows = self.rows.by_ref().take(self.insert_batch).collect();
            }
            if rows.is_empty() || !self.wait_for(first_row) {
                return;
            }
            let room = self.course.room(first_row, self.clock);
            rows.truncate(usize::try_from(room).unwrap_or(usize::MAX));
            let taken = u64::try_from(rows.len()).unwrap_or(u64::MAX);
            if taken == 0 {
                return;
            }
            let transaction = Transaction {
                rows: std::mem::take(&mut rows),
                due: self.course.schedule.due(first_row),
            };
            if self.transactions.send_blocking(transaction).is_err() {
                return;
            }
            self.course.previous_row = Some(first_row);
            first_row += taken;
        }
    }

    /// Returns whether the time of a row came; `false` when the load was stopped or over before.
    fn wait_for(&mut self, first_row: u64) -> bool {
        loop {
            let goes_on = self.course.steer(first_row, self.clock);
            if goes_on && self.course.room(first_row, self.clock) == 0 {
                return false;
            }
            let due = self.course.schedule.due(first_row);
            let left = due.map_or(0, |due| (due - self.clock.now()).0);
            if goes_on && left <= 0 {
                return true;
            }
            if self.transactions.is_closed() {
                return false;
            }
            let left = Duration::from_nanos(left.max(0).unsigned_abs());
            thread::sleep(if goes_on { NAP.min(left) } else { NAP });
        }
    }
}

/// Linux lets a sleep run over by 50 microseconds to save wake-ups; this thread asks for none of that.
fn sharpen_sleep() {
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_timerslack(1) {
        tracing::debug!(%error, "the pacing thread keeps its timer slack");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Rate;
    use cdc_bench_model::event::Generator;
    use cdc_bench_model::timeline::Nanos;

    fn pacer(
        course: Course,
        insert_batch: usize,
        clock: Clock,
        transactions: Sender<Transaction>,
    ) -> Pacer<Generator> {
        Pacer {
            rows: Generator::new(1, jiff::Timestamp::UNIX_EPOCH),
            course,
            insert_batch,
            clock,
            transactions,
        }
    }

    fn paced(rate: Rate, rows: u64, insert_batch: usize) -> Vec<(Transaction, Stamp)> {
        let clock = Clock::start();
        let (transactions, due) = async_channel::bounded(1_000);
        let course = Course::new(clock.now(), &rate.into(), Limit::Events(rows));
        let pacer = pacer(course, insert_batch, clock, transactions);
        let thread = thread::spawn(|| pacer.run());
        let taken = std::iter::from_fn(|| {
            let transaction = due.recv_blocking().ok()?;
            Some((transaction, clock.now()))
        });
        let taken = taken.collect();
        thread.join().unwrap();
        taken
    }

    #[test]
    fn a_transaction_goes_out_when_its_first_row_is_due_and_never_before() {
        let taken = paced("1000".parse().unwrap(), 25, 10);
        let sizes: Vec<_> = taken.iter().map(|(t, _)| t.rows.len()).collect();
        assert_eq!(sizes, [10, 10, 5]);
        let start = taken[0].0.due.unwrap();
        for ((transaction, at), after_ms) in taken.iter().zip([0, 10, 20]) {
            let due = transaction.due.unwrap();
            assert_eq!((due - start).0, after_ms * 1_000_000);
            assert!(*at >= due);
        }
    }

    #[test]
    fn at_max_nothing_is_scheduled() {
        let taken = paced(Rate::MAX, 25, 1);
        assert_eq!(taken.len(), 25);
        assert!(taken.iter().all(|(t, _)| t.due.is_none()));
    }

    #[test]
    fn it_stops_soon_when_nobody_takes_any_more() {
        let clock = Clock::start();
        let (transactions, due) = async_channel::bounded(1);
        let rate: Rate = "0.01".parse().unwrap();
        let course = Course::new(clock.now(), &rate.into(), Limit::Events(10));
        let pacer = pacer(course, 1, clock, transactions);
        let started = clock.now();
        let thread = thread::spawn(|| pacer.run());
        due.recv_blocking().unwrap();
        due.close();
        thread.join().unwrap();
        // The second row would have been due after 100 s.
        assert!((clock.now() - started) < Nanos::from_millis(5_000));
    }

    #[test]
    fn a_duration_ends_by_the_schedule() {
        let rows = |limit, rate: Rate| {
            let clock = Clock::start();
            Course::new(Stamp(0), &rate.into(), limit).room(0, clock)
        };
        let limit = Limit::Duration(Duration::from_secs(2));
        assert_eq!(rows(limit, "10".parse().unwrap()), 20);
        assert_eq!(rows(Limit::Events(7), "10".parse().unwrap()), 7);
        assert_eq!(rows(limit, Rate::MAX), 0, "two seconds after 1970");
    }

    #[test]
    fn a_pause_moves_what_is_due_behind_it_and_nothing_before() {
        let clock = Clock::start();
        let rate: Rate = "10".parse().unwrap();
        let pace = Pace::from(rate);
        // A load that began half a second ago, for one second, and is behind: rows 0 to 5 were due.
        let start = clock.now() - Nanos::from_millis(550);
        let mut course = Course::new(start, &pace, Limit::Duration(Duration::from_secs(1)));
        pace.toggle_pause();
        assert!(course.steer(5, clock), "row 5 was due before the pause");
        let due = course.schedule.due(5).unwrap();
        assert_eq!(due - start, Nanos::from_millis(500));
        assert!(!course.steer(6, clock), "row 6 was not");
        thread::sleep(Duration::from_millis(20));
        pace.toggle_pause();
        assert!(course.steer(6, clock));
        let late = course.schedule.due(6).unwrap() - (start + Nanos::from_millis(600));
        let changes = pace.changes();
        let paused = Nanos::from(changes[1].at - changes[0].at);
        // Stamps are taken from the clock, the pause from its two ends.
        assert!((late - paused).0.abs() < 1_000_000, "{late} and {paused}");
        assert_eq!(course.room(6, clock), 4, "as many as before the pause");
    }

    #[test]
    fn another_rate_holds_from_the_next_row_on_and_for_the_rest_of_the_time() {
        let clock = Clock::start();
        let (slow, fast): (Rate, Rate) = ("1".parse().unwrap(), "100".parse().unwrap());
        let pace = Pace::from(slow);
        let start = clock.now() - Nanos::from_millis(4_500);
        let mut course = Course::new(start, &pace, Limit::Duration(Duration::from_secs(10)));
        course.previous_row = Some(4);
        pace.set_rate(fast);
        assert!(course.steer(5, clock));
        let next = course.schedule.due(5).unwrap();
        let changed = next - (start + Nanos::from_millis(4_500));
        assert!((0..500_000_000).contains(&changed.0), "{changed}");
        let then = course.schedule.due(6).unwrap();
        assert_eq!(then - next, Nanos::from_millis(10));
        // Some five and a half seconds are left.
        let left = course.room(5, clock);
        assert!((500..=551).contains(&left), "{left}");
    }
}
