//! The pacing thread: takes rows from their source, gathers them into transactions and hands each over when it is due.
//!
//! It is an OS thread because a tokio timer fires on whole milliseconds, and an OS thread's sleep within tens of
//! microseconds, without spinning. Rows are made before their time, so making them costs no punctuality.

use std::thread;
use std::time::Duration;

use async_channel::Sender;

use super::rate::Schedule;
use crate::event::OutboxRow;
use crate::timeline::{Clock, Stamp};

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
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// After this many rows.
    Rows(u64),
    /// At this time; for a load without a schedule.
    At(Stamp),
}

pub(super) struct Pacer<I> {
    pub rows: I,
    pub schedule: Schedule,
    pub end: End,
    pub insert_batch: usize,
    pub clock: Clock,
    pub transactions: Sender<Transaction>,
}

impl<I: Iterator<Item = OutboxRow>> Pacer<I> {
    /// Runs until the end, until the rows run out, or until nobody takes transactions any more.
    pub fn run(mut self) {
        sharpen_sleep();
        let mut first_row = 0;
        loop {
            let rows = self.gather(first_row);
            let taken = u64::try_from(rows.len()).unwrap_or(u64::MAX);
            if rows.is_empty() {
                return;
            }
            let due = self.schedule.due(first_row);
            if due.is_some_and(|due| !self.sleep_until(due)) {
                return;
            }
            if self
                .transactions
                .send_blocking(Transaction { rows, due })
                .is_err()
            {
                return;
            }
            first_row += taken;
        }
    }

    /// The next transaction's rows; none at the end.
    fn gather(&mut self, first_row: u64) -> Vec<OutboxRow> {
        let room = match self.end {
            End::Rows(limit) => usize::try_from(limit - first_row).unwrap_or(usize::MAX),
            End::At(end) if self.clock.now() >= end => 0,
            End::At(_) => usize::MAX,
        };
        let count = room.min(self.insert_batch);
        self.rows.by_ref().take(count).collect()
    }

    /// Returns whether the time came; `false` when the load was stopped before.
    fn sleep_until(&self, due: Stamp) -> bool {
        loop {
            let left = (due - self.clock.now()).0;
            if left <= 0 {
                return true;
            }
            if self.transactions.is_closed() {
                return false;
            }
            thread::sleep(NAP.min(Duration::from_nanos(left.unsigned_abs())));
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
    use crate::event::Generator;
    use crate::load::Rate;
    use crate::timeline::Nanos;

    fn paced(rate: Rate, rows: u64, insert_batch: usize) -> Vec<(Transaction, Stamp)> {
        let clock = Clock::start();
        let (transactions, due) = async_channel::bounded(1_000);
        let pacer = Pacer {
            rows: Generator::new(1, jiff::Timestamp::UNIX_EPOCH),
            schedule: Schedule::new(clock.now(), rate),
            end: End::Rows(rows),
            insert_batch,
            clock,
            transactions,
        };
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
        let pacer = Pacer {
            rows: Generator::new(1, jiff::Timestamp::UNIX_EPOCH),
            schedule: Schedule::new(clock.now(), "0.01".parse().unwrap()),
            end: End::Rows(10),
            insert_batch: 1,
            clock,
            transactions,
        };
        let started = clock.now();
        let thread = thread::spawn(|| pacer.run());
        due.recv_blocking().unwrap();
        due.close();
        thread.join().unwrap();
        // The second row would have been due after 100 s.
        assert!((clock.now() - started) < Nanos::from_millis(5_000));
    }
}
