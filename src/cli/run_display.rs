//! Shows a run: on the terminal by the dashboard or by progress lines, and to other processes through its folder.

use std::sync::Arc;

use super::progress::Terminal;
use crate::dashboard::{self, Screen, ScreenControls};
use crate::live::{Figures, Phase, RunState, StateFile};
use crate::load::{LoadControl, Rate};
use crate::pipeline::{Failure, LoadState, RunProgress};
use crate::settings::Settings;
use cdc_bench_model::RunId;
use cdc_bench_model::report::{Report, ResultFolder, Verdict};
use cdc_bench_stack::{Download, StackKind, StepProgress};

/// Width of a download's bar, in cells.
const BAR: usize = 20;

/// Where the servers of a command come from.
pub(super) fn stack_kind(settings: &Settings) -> Result<StackKind, Failure> {
    Ok(match settings.endpoints()? {
        Some(_) => StackKind::External,
        None => settings.stack,
    })
}

/// Shows a run, or a series of runs.
pub(super) struct RunDisplay<'a> {
    terminal: &'a Terminal,
    run_state: Arc<RunState>,
    /// Controls the load; `None` if the command itself chooses the rates.
    pace: Option<LoadControl>,
    screen: Option<Screen>,
    state_file: Option<StateFile>,
}

impl<'a> RunDisplay<'a> {
    /// Starts to show a run; on the dashboard if that is wanted and the terminal allows it.
    pub(super) fn start(
        terminal: &'a Terminal,
        (id, stack, rate): (&RunId, StackKind, Option<Rate>),
        folder: &ResultFolder,
        wants_screen: bool,
    ) -> Self {
        let run_state = Arc::new(RunState::new(
            id.as_str(),
            &stack.to_string(),
            Figures::default(),
        ));
        let listener_state = Arc::clone(&run_state);
        terminal.set_listener(move |line| listener_state.say(line));
        let pace = rate.map(LoadControl::from);
        let state_file = StateFile::start(Arc::clone(&run_state), folder.clone());
        let state_file =
            state_file.inspect_err(|error| tracing::warn!(%error, "monitor cannot follow"));
        let mut display = Self {
            terminal,
            run_state,
            pace,
            screen: None,
            state_file: state_file.ok(),
        };
        if wants_screen && dashboard::fits() {
            display.open_screen();
        }
        display
    }

    fn open_screen(&mut self) {
        let screen_state = Arc::clone(&self.run_state);
        let controls = ScreenControls {
            control: self.pace.clone(),
            quit: Box::new(interrupt),
        };
        self.terminal.hold();
        match Screen::open(move || Some(screen_state.snapshot()), controls) {
            Ok(screen) => {
                self.screen = Some(screen);
            }
            Err(error) => {
                self.terminal.resume();
                tracing::warn!(%error, "no dashboard on this terminal");
            }
        }
    }

    /// The run has ended: restores the terminal, and prints the lines buffered meanwhile.
    pub(super) fn finish_run(self, outcome: Result<&Report, &Failure>) {
        self.finish(|figures| match outcome {
            Ok(report) => {
                figures.objectives.clone_from(&report.objectives);
                figures.phase = match report.verdict {
                    Verdict::Pass => Phase::Passed,
                    Verdict::Fail => Phase::Failed,
                };
            }
            Err(_) => figures.phase = Phase::Failed,
        });
    }

    /// A series of runs has ended.
    pub(super) fn finish_series(self, is_good: bool) {
        self.finish(|figures| {
            figures.phase = if is_good {
                Phase::Passed
            } else {
                Phase::Failed
            };
        });
    }

    fn finish(mut self, change: impl FnOnce(&mut Figures)) {
        self.run_state.over(change);
        self.state_file = None;
        self.restore_terminal();
    }

    fn restore_terminal(&mut self) {
        if self.screen.take().is_some() {
            self.terminal.resume();
        }
    }
}

impl Drop for RunDisplay<'_> {
    fn drop(&mut self) {
        self.restore_terminal();
    }
}

/// Does what Ctrl-C does: in raw mode the terminal sends no signal.
fn interrupt() {
    if let Err(error) = nix::sys::signal::raise(nix::sys::signal::Signal::SIGINT) {
        tracing::error!(%error, "cannot interrupt the run");
    }
}

impl StepProgress for RunDisplay<'_> {
    fn begin(&self, step: &str) {
        self.run_state.at_step(step, "");
        self.terminal.begin(step);
    }

    fn update(&self, step: &str, detail: &str) {
        self.run_state.at_step(step, detail);
        self.terminal.update(step, detail);
    }

    fn download(&self, step: &str, download: &Download) {
        let detail = format!("{} {download}", download.bar(BAR));
        self.run_state.at_step(step, &detail);
        self.terminal.download(step, download);
    }

    fn end(&self, step: &str, detail: &str) {
        self.run_state.step_over(step);
        self.terminal.end(step, detail);
    }
}

impl RunProgress for RunDisplay<'_> {
    fn load(&self, state: &LoadState) {
        self.terminal.load(state);
    }

    fn load_over(&self) {
        self.terminal.load_over();
    }

    fn figures(&self, figures: Figures) {
        self.run_state.put(figures);
    }

    fn begin_nested_run(&self, step: &str) {
        self.run_state.at_part(step);
    }

    fn pace(&self) -> Option<LoadControl> {
        self.pace.clone()
    }
}
