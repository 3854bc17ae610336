//! How fast a load goes, where somebody steers it while it goes on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Rate;

/// A rate that may be changed, and a pause that may be made, while a load goes on. Every clone steers the same load.
///
/// The schedule stays honest: a row that was due before a change keeps its time, however late it goes out. A pause moves
/// everything behind it by its length.
#[derive(Debug, Clone)]
pub struct Pace(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    rate: Rate,
    is_paused: bool,
    /// How often a warm-up was told to end.
    begun: u64,
    changes: Vec<Change>,
}

/// What was changed, and when.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// On the monotonic clock, which the schedule goes by.
    pub(super) at: Instant,
    /// On the wall clock, for reports.
    pub happened: jiff::Timestamp,
    /// What.
    pub steering: Steering,
}

/// A change of pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steering {
    /// Nothing more becomes due.
    Paused,
    /// It goes on.
    Resumed,
    /// Another rate.
    Rate {
        /// The rate until then.
        from: Rate,
        /// The rate from then on.
        to: Rate,
    },
    /// The warm-up ended before the servers had settled.
    WarmUpCut,
}

impl From<Rate> for Pace {
    /// A pace that nobody has changed yet.
    fn from(rate: Rate) -> Self {
        Self(Arc::new(Mutex::new(State {
            rate,
            is_paused: false,
            begun: 0,
            changes: Vec::new(),
        })))
    }
}

impl Pace {
    /// The rate in force.
    #[must_use]
    pub fn rate(&self) -> Rate {
        self.lock().rate
    }

    /// Whether it stands still.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.lock().is_paused
    }

    /// Pauses, or goes on.
    pub fn toggle_pause(&self) {
        let mut state = self.lock();
        state.is_paused = !state.is_paused;
        let steering = if state.is_paused {
            Steering::Paused
        } else {
            Steering::Resumed
        };
        state.note(steering);
    }

    /// Changes the rate. A load that goes as fast as it can has no schedule to change: it stays as it is.
    pub fn set_rate(&self, to: Rate) {
        let mut state = self.lock();
        let from = state.rate;
        if from == Rate::MAX || to == Rate::MAX || from == to {
            return;
        }
        state.rate = to;
        state.note(Steering::Rate { from, to });
    }

    /// Ends the warm-up that is under way: the measured events begin.
    pub fn begin_now(&self) {
        self.lock().begun += 1;
    }

    /// How often [`begin_now`](Self::begin_now) was called. A warm-up ends when it grows.
    #[must_use]
    pub fn begun(&self) -> u64 {
        self.lock().begun
    }

    /// A warm-up was cut short.
    pub fn note_warm_up_cut(&self) {
        self.lock().note(Steering::WarmUpCut);
    }

    /// All changes so far, in order.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        self.lock().changes.clone()
    }

    /// How a load that begins now begins: the rate, whether it waits, and how many changes lie behind it.
    pub(super) fn begin(&self) -> (Rate, bool, usize) {
        let state = self.lock();
        (state.rate, state.is_paused, state.changes.len())
    }

    /// The change of this number, if it has been made.
    pub(super) fn change(&self, number: usize) -> Option<Change> {
        self.lock().changes.get(number).copied()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, steering: Steering) {
        self.changes.push(Change {
            at: Instant::now(),
            happened: jiff::Timestamp::now(),
            steering,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_kept_and_a_load_without_a_schedule_keeps_its_rate() {
        let (slow, fast): (Rate, Rate) = ("100".parse().unwrap(), "200".parse().unwrap());
        let pace = Pace::from(slow);
        pace.set_rate(slow);
        pace.set_rate(fast);
        pace.clone().toggle_pause();
        assert!(pace.is_paused());
        pace.toggle_pause();
        let made: Vec<_> = pace.changes().iter().map(|made| made.steering).collect();
        let rate = Steering::Rate {
            from: slow,
            to: fast,
        };
        assert_eq!(made, [rate, Steering::Paused, Steering::Resumed]);
        assert_eq!(pace.begin(), (fast, false, 3));

        let unbound = Pace::from(Rate::MAX);
        unbound.set_rate(slow);
        assert_eq!(unbound.rate(), Rate::MAX);
    }
}
