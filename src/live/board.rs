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

    fn go_on(&mut self, step: &str, detail: &str) {
        if step == "verification" {
            self.snapshot.figures.phase = Phase::Verification;
        }
        self.enter(step);
        self.snapshot.step = match detail {
            "" => step.to_owned(),
            detail => format!("{step}: {detail}"),
        };
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
                    part: None,
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
        if state.snapshot.part.as_deref() != Some(step) {
            state.go_on(step, detail);
        } else if detail.is_empty() {
            state.leave();
        } else {
            // The run's own step.
            let (step, detail) = detail.split_once(": ").unwrap_or((detail, ""));
            state.go_on(step, detail);
        }
    }

    /// A step begins that is a run, one of several: its details are steps of that, and the figures its own.
    pub fn at_part(&self, step: &str) {
        let mut state = self.lock();
        state.leave();
        state.snapshot.part = Some(step.to_owned());
        state.snapshot.figures = Figures::default();
    }

    /// A step is done.
    pub fn step_over(&self, step: &str) {
        let mut state = self.lock();
        state.leave();
        state.snapshot.part.take_if(|part| part.as_str() == step);
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
        board.step_over("set-up");
        (0..LINES).for_each(|n| board.say(&n.to_string()));
        let snapshot = board.snapshot();
        assert_eq!((snapshot.step.as_str(), snapshot.said.len()), ("", LINES));
        assert_eq!(snapshot.said.last().unwrap(), "39");
        assert_eq!(snapshot.said[0], "0");
        board.at_step("verification", "");
        assert_eq!(board.snapshot().figures.phase, Phase::Verification);
    }

    #[test]
    fn the_steps_of_one_run_of_several_are_its_own() {
        let board = Board::new("r", "local", Figures::default());
        let name = "step 2 of 8: wal at 100/s";
        let shown = |board: &Board| {
            let snapshot = board.snapshot();
            (snapshot.part.unwrap_or_default(), snapshot.step)
        };
        board.at_step(name, "");
        board.at_part(name);
        assert_eq!(shown(&board), (name.to_owned(), String::new()));
        board.at_step(name, "set-up: connector");
        assert_eq!(shown(&board).1, "set-up: connector");
        board.at_step(name, "");
        assert_eq!(shown(&board), (name.to_owned(), String::new()));
        board.at_step(name, "verification");
        assert_eq!(board.snapshot().figures.phase, Phase::Verification);
        board.step_over("another");
        assert_eq!(shown(&board).0, name);
        board.step_over(name);
        assert_eq!(shown(&board), (String::new(), String::new()));
        board.at_part(name);
        assert_eq!(board.snapshot().figures, Figures::default());
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
