//! Controls a load while it runs: another rate, a pause, the end of its warm-up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Rate;

/// Changes the rate of a load while it runs, and pauses it. All clones control the same load.
///
/// A row that was due before a change keeps its scheduled time, however late it is sent. A pause moves the rows after it by
/// its length.
#[derive(Debug, Clone)]
pub struct LoadControl(Arc<Mutex<ControlState>>);

#[derive(Debug)]
struct ControlState {
    rate: Rate,
    is_paused: bool,
    /// How often a warm-up was told to end.
    begun: u64,
    changes: Vec<LoadChange>,
}

/// A change of a load, and when it was made.
#[derive(Debug, Clone, Copy)]
pub struct LoadChange {
    /// On the monotonic clock, which the schedule uses.
    pub(super) at: Instant,
    /// On the wall clock, for reports.
    pub happened: jiff::Timestamp,
    /// What was changed.
    pub kind: LoadChangeKind,
}

/// What was changed of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadChangeKind {
    /// It was paused: no row becomes due.
    Paused,
    /// It was resumed.
    Resumed,
    /// Another rate.
    Rate {
        /// The rate before.
        from: Rate,
        /// The rate after.
        to: Rate,
    },
    /// The warm-up ended before the servers had settled.
    WarmUpCut,
}

impl From<Rate> for LoadControl {
    /// A control that has made no change yet.
    fn from(rate: Rate) -> Self {
        Self(Arc::new(Mutex::new(ControlState {
            rate,
            is_paused: false,
            begun: 0,
            changes: Vec::new(),
        })))
    }
}

impl LoadControl {
    /// The rate in force.
    #[must_use]
    pub fn rate(&self) -> Rate {
        self.lock().rate
    }

    /// Whether the load is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.lock().is_paused
    }

    /// Pauses the load, or resumes it.
    pub fn toggle_pause(&self) {
        let mut state = self.lock();
        state.is_paused = !state.is_paused;
        let kind = if state.is_paused {
            LoadChangeKind::Paused
        } else {
            LoadChangeKind::Resumed
        };
        state.record(kind);
    }

    /// Changes the rate. A load at [`Rate::MAX`] has no schedule, and keeps its rate.
    pub fn set_rate(&self, to: Rate) {
        let mut state = self.lock();
        let from = state.rate;
        if from == Rate::MAX || to == Rate::MAX || from == to {
            return;
        }
        state.rate = to;
        state.record(LoadChangeKind::Rate { from, to });
    }

    /// Ends the warm-up in progress: the measured events begin.
    pub fn begin_now(&self) {
        self.lock().begun += 1;
    }

    /// Number of calls of [`begin_now`](Self::begin_now). A warm-up ends when it grows.
    #[must_use]
    pub fn begun(&self) -> u64 {
        self.lock().begun
    }

    /// Records that a warm-up was cut short.
    pub fn record_warm_up_cut(&self) {
        self.lock().record(LoadChangeKind::WarmUpCut);
    }

    /// All changes so far, in order.
    #[must_use]
    pub fn changes(&self) -> Vec<LoadChange> {
        self.lock().changes.clone()
    }

    /// The state that a load starts with: the rate, whether it is paused, and the number of changes made before.
    pub(super) fn begin(&self) -> (Rate, bool, usize) {
        let state = self.lock();
        (state.rate, state.is_paused, state.changes.len())
    }

    /// The change of this number, if it has been made.
    pub(super) fn change(&self, number: usize) -> Option<LoadChange> {
        self.lock().changes.get(number).copied()
    }

    fn lock(&self) -> MutexGuard<'_, ControlState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ControlState {
    fn record(&mut self, kind: LoadChangeKind) {
        self.changes.push(LoadChange {
            at: Instant::now(),
            happened: jiff::Timestamp::now(),
            kind,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_recorded_and_a_load_without_a_schedule_keeps_its_rate() {
        let (slow, fast): (Rate, Rate) = ("100".parse().unwrap(), "200".parse().unwrap());
        let control = LoadControl::from(slow);
        control.set_rate(slow);
        control.set_rate(fast);
        control.clone().toggle_pause();
        assert!(control.is_paused());
        control.toggle_pause();
        let made: Vec<_> = control.changes().iter().map(|made| made.kind).collect();
        let rate = LoadChangeKind::Rate {
            from: slow,
            to: fast,
        };
        assert_eq!(
            made,
            [rate, LoadChangeKind::Paused, LoadChangeKind::Resumed]
        );
        assert_eq!(control.begin(), (fast, false, 3));

        let unbound = LoadControl::from(Rate::MAX);
        unbound.set_rate(slow);
        assert_eq!(unbound.rate(), Rate::MAX);
    }
}
