//! The state of a run in progress: its figures, its step and its messages.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Figures, Phase, SCHEMA, Snapshot};

/// A step that takes this long is shown with its duration.
const LONG_STEP: Duration = Duration::from_secs(2);
/// Most messages that are kept.
const MAX_MESSAGES: usize = 40;

/// The state of a run: the run updates it, and screens and files show it.
#[derive(Debug)]
pub struct RunState {
    began: Instant,
    state: Mutex<LockedState>,
}

#[derive(Debug)]
struct LockedState {
    snapshot: Snapshot,
    /// The current step, and since when.
    step: Option<(String, Instant)>,
}

impl LockedState {
    fn enter(&mut self, step: &str) {
        if self.step.as_ref().is_none_or(|(at, _)| at != step) {
            self.step = Some((step.to_owned(), Instant::now()));
        }
    }

    /// The step as text, with its duration where that is long.
    fn step(&self) -> String {
        let since = self.step.as_ref().map(|(_, since)| since.elapsed());
        match since.filter(|since| *since >= LONG_STEP) {
            Some(since) => format!("{} ({} s)", self.snapshot.step, since.as_secs()),
            None => self.snapshot.step.clone(),
        }
    }

    fn set_step(&mut self, step: &str, detail: &str) {
        if step == "verification" {
            self.snapshot.figures.phase = Phase::Verification;
        }
        self.enter(step);
        self.snapshot.step = match detail {
            "" => step.to_owned(),
            detail => format!("{step}: {detail}"),
        };
    }

    fn clear_step(&mut self) {
        self.step = None;
        self.snapshot.step.clear();
    }
}

impl RunState {
    /// The state of a run that begins now.
    #[must_use]
    pub fn new(run: &str, stack: &str, figures: Figures) -> Self {
        Self {
            began: Instant::now(),
            state: Mutex::new(LockedState {
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

    /// A step begins or continues.
    pub fn at_step(&self, step: &str, detail: &str) {
        let mut state = self.lock();
        if state.snapshot.part.as_deref() != Some(step) {
            state.set_step(step, detail);
        } else if detail.is_empty() {
            state.clear_step();
        } else {
            // A step of the run that this step is.
            let (step, detail) = detail.split_once(": ").unwrap_or((detail, ""));
            state.set_step(step, detail);
        }
    }

    /// A step begins that is itself a run, one of several: its details are steps of that run, and so are the figures.
    pub fn at_part(&self, step: &str) {
        let mut state = self.lock();
        state.clear_step();
        state.snapshot.part = Some(step.to_owned());
        state.snapshot.figures = Figures::default();
    }

    /// A step has ended.
    pub fn step_over(&self, step: &str) {
        let mut state = self.lock();
        state.clear_step();
        state.snapshot.part.take_if(|part| part.as_str() == step);
    }

    /// Adds a message.
    pub fn say(&self, line: &str) {
        let said = &mut self.lock().snapshot.said;
        said.push(line.to_owned());
        let surplus = said.len().saturating_sub(MAX_MESSAGES);
        said.drain(..surplus);
    }

    /// Sets the figures.
    pub fn put(&self, figures: Figures) {
        self.lock().snapshot.figures = figures;
    }

    /// The run has ended; `change` sets its last figures.
    pub fn over(&self, change: impl FnOnce(&mut Figures)) {
        let mut state = self.lock();
        state.clear_step();
        change(&mut state.snapshot.figures);
    }

    /// The state at this moment.
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

    fn lock(&self) -> MutexGuard<'_, LockedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_shows_the_current_step_and_the_last_messages() {
        let state = RunState::new("r", "local", Figures::default());
        state.at_step("set-up", "connector");
        assert_eq!(state.snapshot().step, "set-up: connector");
        state.step_over("set-up");
        (0..MAX_MESSAGES).for_each(|n| state.say(&n.to_string()));
        let snapshot = state.snapshot();
        assert_eq!(
            (snapshot.step.as_str(), snapshot.said.len()),
            ("", MAX_MESSAGES)
        );
        assert_eq!(snapshot.said.last().unwrap(), "39");
        assert_eq!(snapshot.said[0], "0");
        state.at_step("verification", "");
        assert_eq!(state.snapshot().figures.phase, Phase::Verification);
    }

    #[test]
    fn the_steps_of_one_run_of_several_are_its_own() {
        let state = RunState::new("r", "local", Figures::default());
        let name = "step 2 of 8: wal at 100/s";
        let shown = |state: &RunState| {
            let snapshot = state.snapshot();
            (snapshot.part.unwrap_or_default(), snapshot.step)
        };
        state.at_step(name, "");
        state.at_part(name);
        assert_eq!(shown(&state), (name.to_owned(), String::new()));
        state.at_step(name, "set-up: connector");
        assert_eq!(shown(&state).1, "set-up: connector");
        state.at_step(name, "");
        assert_eq!(shown(&state), (name.to_owned(), String::new()));
        state.at_step(name, "verification");
        assert_eq!(state.snapshot().figures.phase, Phase::Verification);
        state.step_over("another");
        assert_eq!(shown(&state).0, name);
        state.step_over(name);
        assert_eq!(shown(&state), (String::new(), String::new()));
        state.at_part(name);
        assert_eq!(state.snapshot().figures, Figures::default());
    }

    #[test]
    fn a_long_step_says_how_long_it_has_taken() {
        let state = RunState::new("r", "local", Figures::default());
        state.at_step("set-up", "");
        state.lock().step.as_mut().unwrap().1 -= Duration::from_millis(2_500);
        state.at_step("set-up", "connector");
        assert_eq!(state.snapshot().step, "set-up: connector (2 s)");
        state.at_step("verification", "");
        assert_eq!(state.snapshot().step, "verification", "a step of its own");
    }

    #[test]
    fn a_snapshot_survives_its_json() {
        let snapshot = RunState::new("r", "local", Figures::default()).snapshot();
        let json = serde_json::to_string(&snapshot).unwrap();
        assert!(
            json.contains(r#""schema":"cdc-bench/live/1""#) && json.contains(r#""phase":"set-up""#)
        );
        assert_eq!(serde_json::from_str::<Snapshot>(&json).unwrap(), snapshot);
    }
}
