//! The board of a run under way: the figures, and the steps and words around them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Figures, Phase, SCHEMA, Snapshot};

/// A step that takes this long says how long it has taken.
const LONG: Duration = Duration::from_secs(2);
/// Lines that are kept.
const LINES: usize = 40;

/// Where a run writes how it stands, and whoever watches reads it.
#[derive(Debug)]
pub struct Board {
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    snapshot: Snapshot,
    /// The step at hand, and since when.
    step: Option<(String, Instant)>,
}

impl State {
    fn enter(&mut self, step: &str) {
        if self.step.as_ref().is_none_or(|(at, _)| at != step) {
            self.step = Some((step.to_owned(), Instant::now()));
        }
    }

    /// The step in words, and how long it has taken where that is long.
    fn step(&self) -> String {
        let since = self.step.as_ref().map(|(_, since)| since.elapsed());
        match since.filter(|since| *since >= LONG) {
            Some(since) => format!("{} ({} s)", self.snapshot.step, since.as_secs()),
            None => self.snapshot.step.clone(),
        }
    }

    fn leave(&mut self) {
        self.step = None;
        self.snapshot.step.clear();
    }
}

impl Board {
    /// Of a run that begins now.
    #[must_use]
    pub fn new(run: &str, stack: &str, figures: Figures) -> Self {
        Self {
            began: Instant::now(),
            state: Mutex::new(State {
                snapshot: Snapshot {
                    schema: SCHEMA.to_owned(),
                    run: run.to_owned(),
                    stack: stack.to_owned(),
                    at: jiff::Timestamp::now(),
                    uptime_s: 0.0,
                    step: String::new(),
                    said: Vec::new(),
                    figures,
                },
                step: None,
            }),
        }
    }

    /// A step begins, or goes on.
    pub fn at_step(&self, step: &str, detail: &str) {
        let mut state = self.lock();
        if step == "verification" {
            state.snapshot.figures.phase = Phase::Verification;
        }
        state.enter(step);
        state.snapshot.step = match detail {
            "" => step.to_owned(),
            detail => format!("{step}: {detail}"),
        };
    }

    /// A step is done.
    pub fn step_over(&self) {
        self.lock().leave();
    }

    /// Something for people to read.
    pub fn say(&self, line: &str) {
        let said = &mut self.lock().snapshot.said;
        said.push(line.to_owned());
        let surplus = said.len().saturating_sub(LINES);
        said.drain(..surplus);
    }

    /// The numbers as they are now.
    pub fn put(&self, figures: Figures) {
        self.lock().snapshot.figures = figures;
    }

    /// It has ended, and how.
    pub fn over(&self, change: impl FnOnce(&mut Figures)) {
        let mut state = self.lock();
        state.leave();
        change(&mut state.snapshot.figures);
    }

    /// How the run stands.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let state = self.lock();
        Snapshot {
            at: jiff::Timestamp::now(),
            uptime_s: (self.began.elapsed().as_secs_f64() * 10.0).round() / 10.0,
            step: state.step(),
            ..state.snapshot.clone()
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_shows_the_step_at_hand_and_the_last_words() {
        let board = Board::new("r", "local", Figures::default());
        board.at_step("set-up", "connector");
        assert_eq!(board.snapshot().step, "set-up: connector");
        board.step_over();
        (0..LINES).for_each(|n| board.say(&n.to_string()));
        let snapshot = board.snapshot();
        assert_eq!((snapshot.step.as_str(), snapshot.said.len()), ("", LINES));
        assert_eq!(snapshot.said.last().unwrap(), "39");
        assert_eq!(snapshot.said[0], "0");
        board.at_step("verification", "");
        assert_eq!(board.snapshot().figures.phase, Phase::Verification);
    }

    #[test]
    fn a_long_step_says_how_long_it_has_taken() {
        let board = Board::new("r", "local", Figures::default());
        board.at_step("set-up", "");
        board.lock().step.as_mut().unwrap().1 -= Duration::from_millis(2_500);
        board.at_step("set-up", "connector");
        assert_eq!(board.snapshot().step, "set-up: connector (2 s)");
        board.at_step("verification", "");
        assert_eq!(board.snapshot().step, "verification", "a step of its own");
    }

    #[test]
    fn a_snapshot_survives_its_json() {
        let snapshot = Board::new("r", "local", Figures::default()).snapshot();
        let json = serde_json::to_string(&snapshot).unwrap();
        assert!(
            json.contains(r#""schema":"cdc-bench/live/1""#) && json.contains(r#""phase":"set-up""#)
        );
        assert_eq!(serde_json::from_str::<Snapshot>(&json).unwrap(), snapshot);
    }
}
