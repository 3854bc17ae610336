//! The pacing thread: combines rows to transactions, and passes each to the inserter when it is due.
//!
//! It is an OS thread because a tokio timer fires on whole milliseconds, and the sleep of an OS thread ends within tens of
//! microseconds, without spinning. Rows are generated before they are due, so that generating them makes none late.

use std::thread;
use std::time::Duration;

use async_channel::Sender;

use super::plan::LoadShare;
use super::steered_schedule::SteeredSchedule;
use cdc_bench_model::event::{OutboxRow, Shards};
use cdc_bench_model::timeline::{Clock, Stamp};

/// Longest sleep; after it the thread checks whether the load was stopped.
const MAX_SLEEP: Duration = Duration::from_millis(50);

/// The rows of one transaction.
pub(super) struct LoadTransaction {
    /// At least one row; those of a shard are next to each other.
    pub rows: Vec<OutboxRow>,
    /// When it is scheduled; `None` at [`Rate::MAX`](super::Rate::MAX).
    pub due: Option<Stamp>,
}

/// The work of the pacing thread.
pub(super) struct Pacer<I> {
    pub rows: I,
    /// Where others insert rows between these.
    pub share: Option<LoadShare>,
    pub schedule: SteeredSchedule,
    pub insert_batch: usize,
    pub shards: Shards,
    pub clock: Clock,
    pub transactions: Sender<LoadTransaction>,
}

impl<I: Iterator<Item = OutboxRow>> Pacer<I> {
    /// Runs until the end of the load, the last row, or the inserter's end.
    pub fn run(mut self) {
        reduce_timer_slack();
        let mut first_row = 0;
        let mut rows = Vec::new();
        loop {
            // Generated before they are due; how many of them fit the limit may change until then.
            if rows.is_empty() {
                rows = self.rows.by_ref().take(self.insert_batch).collect();
            }
            let Some(first) = rows.first() else { return };
            if let Some(share) = self.share {
                first_row = first.seq.saturating_sub(share.first_seq);
            }
            if !self.wait_for(first_row) {
                return;
            }
            let room = self.schedule.rows_left(first_row, self.clock);
            match self.share {
                Some(share) => {
                    let end = (first_row + share.first_seq).saturating_add(room);
                    rows.retain(|row: &OutboxRow| row.seq < end);
                }
                None => rows.truncate(usize::try_from(room).unwrap_or(usize::MAX)),
            }
            let taken = u64::try_from(rows.len()).unwrap_or(u64::MAX);
            if taken == 0 {
                return;
            }
            if self.shards.are_several() {
                // An aggregate's rows keep their order.
                rows.sort_by_key(|row| self.shards.of(row.aggregate_id));
            }
            let transaction = LoadTransaction {
                rows: std::mem::take(&mut rows),
                due: self.schedule.due(first_row),
            };
            if self.transactions.send_blocking(transaction).is_err() {
                return;
            }
            self.schedule.sent(first_row);
            first_row += taken;
        }
    }

    /// Waits until a row is due; false when the load was stopped or over before that.
    fn wait_for(&mut self, first_row: u64) -> bool {
        loop {
            let is_running = self.schedule.apply_changes(first_row, self.clock);
            if is_running && self.schedule.rows_left(first_row, self.clock) == 0 {
                return false;
            }
            let due = self.schedule.due(first_row);
            let left = due.map_or(0, |due| (due - self.clock.now()).0);
            if is_running && left <= 0 {
                return true;
            }
            if self.transactions.is_closed() {
                return false;
            }
            let left = Duration::from_nanos(left.max(0).unsigned_abs());
            thread::sleep(if is_running {
                MAX_SLEEP.min(left)
            } else {
                MAX_SLEEP
            });
        }
    }
}

/// Linux extends a sleep by up to 50 microseconds to save wake-ups; this thread asks for less.
fn reduce_timer_slack() {
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_timerslack(1) {
        tracing::debug!(%error, "the pacing thread keeps its timer slack");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Limit, Rate};
    use cdc_bench_model::event::Generator;
    use cdc_bench_model::timeline::Nanos;

    fn pacer(
        schedule: SteeredSchedule,
        insert_batch: usize,
        clock: Clock,
        transactions: Sender<LoadTransaction>,
    ) -> Pacer<Generator> {
        Pacer {
            rows: Generator::new(1, jiff::Timestamp::UNIX_EPOCH),
            share: None,
            schedule,
            insert_batch,
            shards: Shards::ONE,
            clock,
            transactions,
        }
    }

    fn paced(rate: Rate, rows: u64, insert_batch: usize) -> Vec<(LoadTransaction, Stamp)> {
        let clock = Clock::start();
        let (transactions, due) = async_channel::bounded(1_000);
        let schedule = SteeredSchedule::new(clock.now(), &rate.into(), Limit::Events(rows));
        let pacer = pacer(schedule, insert_batch, clock, transactions);
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
    fn rows_of_a_share_are_due_as_if_the_others_were_inserted_too() {
        let clock = Clock::start();
        let begins = clock.now();
        let mut together = Vec::new();
        for share in 0..3 {
            let (transactions, due) = async_channel::bounded(1_000);
            let rate: Rate = "1000".parse().unwrap();
            let limit = Limit::Events(50);
            let own = move |row: &OutboxRow| row.seq % 3 == share;
            let pacer = Pacer {
                rows: Generator::new(1, jiff::Timestamp::UNIX_EPOCH)
                    .skip(7)
                    .filter(own),
                share: Some(LoadShare {
                    begins,
                    first_seq: 7,
                }),
                schedule: SteeredSchedule::new(begins, &rate.into(), limit),
                insert_batch: 2,
                shards: Shards::ONE,
                clock,
                transactions,
            };
            let thread = thread::spawn(|| pacer.run());
            while let Ok(transaction) = due.recv_blocking() {
                let first = transaction.rows[0].seq - 7;
                let after = Nanos::from_millis(i64::try_from(first).unwrap());
                assert_eq!(transaction.due, Some(begins + after));
                together.extend(transaction.rows.iter().map(|row| row.seq));
            }
            thread.join().unwrap();
        }
        together.sort_unstable();
        assert_eq!(together, (7..57).collect::<Vec<_>>());
    }

    #[test]
    fn at_max_nothing_is_scheduled() {
        let taken = paced(Rate::MAX, 25, 1);
        assert_eq!(taken.len(), 25);
        assert!(taken.iter().all(|(t, _)| t.due.is_none()));
    }

    #[test]
    fn it_stops_soon_after_the_inserter() {
        let clock = Clock::start();
        let (transactions, due) = async_channel::bounded(1);
        let rate: Rate = "0.01".parse().unwrap();
        let schedule = SteeredSchedule::new(clock.now(), &rate.into(), Limit::Events(10));
        let pacer = pacer(schedule, 1, clock, transactions);
        let started = clock.now();
        let thread = thread::spawn(|| pacer.run());
        due.recv_blocking().unwrap();
        due.close();
        thread.join().unwrap();
        // The second row would have been due after 100 s.
        assert!((clock.now() - started) < Nanos::from_millis(5_000));
    }
}
