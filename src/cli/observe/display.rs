//! Shows an observation: on the terminal by the dashboard or by a progress line, and to other processes through its folder.

use std::sync::{Arc, Mutex, PoisonError};

use super::super::logging;
use super::super::output::print_line;
use super::super::progress::Terminal;
use crate::dashboard::{self, Screen, ScreenControls};
use crate::live::{Figures, Phase, RunState, StateFile};
use crate::observe::ObserveProgress;
use cdc_bench_model::RunId;
use cdc_bench_model::observation::ObservedHop;
use cdc_bench_model::report::{ObservationReport, ResultFolder};
use cdc_bench_model::timeline::Nanos;
use cdc_bench_stack::{Download, StepProgress};

/// Shows an observation.
pub(super) struct ObservationDisplay<'a> {
    terminal: &'a Terminal,
    state: Arc<RunState>,
    screen: Option<Screen>,
    /// In the folder of the period.
    state_file: Mutex<Option<StateFile>>,
    /// Whether reports of periods are printed as JSON.
    as_json: bool,
}

impl<'a> ObservationDisplay<'a> {
    /// Starts to show it; on the dashboard if that is wanted and the terminal allows it.
    pub(super) fn start(
        terminal: &'a Terminal,
        id: &RunId,
        folder: &ResultFolder,
        wants_screen: bool,
        as_json: bool,
    ) -> Self {
        let state = Arc::new(RunState::new(
            id.as_str(),
            "observed",
            Figures {
                phase: Phase::SetUp,
                ..Figures::default()
            },
        ));
        let said = Arc::clone(&state);
        terminal.set_listener(move |line| said.say(line));
        let display = Self {
            terminal,
            screen: wants_screen
                .then(|| Self::open_screen(terminal, &state))
                .flatten(),
            state,
            state_file: Mutex::new(None),
            as_json,
        };
        display.follow_in(folder);
        display
    }

    fn open_screen(terminal: &Terminal, state: &Arc<RunState>) -> Option<Screen> {
        if !dashboard::fits() {
            return None;
        }
        let shown = Arc::clone(state);
        let controls = ScreenControls {
            control: None,
            quit: Box::new(interrupt),
        };
        terminal.hold();
        let screen = Screen::open(move || Some(shown.snapshot()), controls);
        screen
            .inspect_err(|error| {
                terminal.resume();
                tracing::warn!(%error, "no dashboard on this terminal");
            })
            .ok()
    }

    /// Other processes find the state in this folder from now on.
    fn follow_in(&self, folder: &ResultFolder) {
        let mut file = self
            .state_file
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *file = None;
        let started = StateFile::start(Arc::clone(&self.state), folder.clone());
        *file = started
            .inspect_err(|error| tracing::warn!(%error, "monitor cannot follow"))
            .ok();
    }
}

impl Drop for ObservationDisplay<'_> {
    fn drop(&mut self) {
        if self.screen.take().is_some() {
            self.terminal.resume();
        }
    }
}

/// Does what Ctrl-C does: in raw mode the terminal sends no signal.
fn interrupt() {
    if let Err(error) = nix::sys::signal::raise(nix::sys::signal::Signal::SIGINT) {
        tracing::error!(%error, "cannot interrupt the observation");
    }
}

impl StepProgress for ObservationDisplay<'_> {
    fn begin(&self, step: &str) {
        self.state.at_step(step, "");
        self.terminal.begin(step);
    }

    fn update(&self, step: &str, detail: &str) {
        self.state.at_step(step, detail);
        self.terminal.update(step, detail);
    }

    fn download(&self, step: &str, download: &Download) {
        self.terminal.download(step, download);
    }

    fn end(&self, step: &str, detail: &str) {
        self.state.step_over(step);
        self.terminal.end(step, detail);
    }
}

impl ObserveProgress for ObservationDisplay<'_> {
    fn figures(&self, figures: Figures) {
        self.state.put(figures);
    }

    fn period_over(&self, report: &ObservationReport, folder: &ResultFolder, next: &ResultFolder) {
        let logged = next
            .create_file("run.log")
            .map_err(|error| error.to_string())
            .and_then(|log| logging::into_file(log).map_err(|error| error.to_string()));
        if let Err(error) = logged {
            tracing::warn!(error, "the log goes on in the folder before");
        }
        self.follow_in(next);
        let told = if self.as_json {
            serde_json::to_string(report).map_err(|error| error.to_string())
        } else {
            Ok(one_line(report, folder))
        };
        let printed = told.and_then(|line| match &self.screen {
            Some(_) => {
                self.state.say(&line);
                Ok(())
            }
            None => print_line(line).map_err(|error| error.to_string()),
        });
        if let Err(error) = printed {
            tracing::warn!(error, "the report of a period was not printed");
        }
    }
}

/// A period in one line.
fn one_line(report: &ObservationReport, folder: &ResultFolder) -> String {
    let total = report
        .observed()
        .and_then(|path| path.hops.get(ObservedHop::Total.as_str()));
    let total = total.map_or_else(
        || "no change came to its end".to_owned(),
        |total| {
            let ms = |us| Nanos::from_micros(us).as_millis_f64();
            format!(
                "total p50 {:.2} ms, p99 {:.2} ms",
                ms(total.p50),
                ms(total.p99)
            )
        },
    );
    format!(
        "{}  {} changes, {total}, {} missing  {}",
        report.run.finished_at,
        report.counts.captured,
        report.missing,
        folder.path().display()
    )
}
