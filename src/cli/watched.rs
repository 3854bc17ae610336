//! Shows a run: on the terminal by the dashboard or by progress lines, and to other processes through its folder.

use std::sync::Arc;

use super::progress::Terminal;
use crate::dashboard::{self, Reins, Screen};
use crate::live::{Board, Figures, Phase, Post};
use crate::load::{Pace, Rate};
use crate::pipeline::{Failure, LoadState, RunProgress};
use crate::settings::Settings;
use cdc_bench_model::RunId;
use cdc_bench_model::report::{Report, ResultFolder, Verdict};
use cdc_bench_stack::{Download, Progress, StackKind};

/// Width of a download's bar, in cells.
const BAR: usize = 20;

/// Where the servers of a command come from.
pub(super) fn stack_of(settings: &Settings) -> Result<StackKind, Failure> {
    Ok(match settings.endpoints()? {
        Some(_) => StackKind::External,
        None => settings.stack,
    })
}

/// Shows a run, or a series of runs.
pub(super) struct Watched<'a> {
    terminal: &'a Terminal,
    board: Arc<Board>,
    /// Controls the load; `None` if the command itself chooses the rates.
    pace: Option<Pace>,
    screen: Option<Screen>,
    post: Option<Post>,
}

impl<'a> Watched<'a> {
    /// Starts to show a run; on the dashboard if that is wanted and the terminal allows it.
    pub(super) fn begin(
        terminal: &'a Terminal,
        (id, stack, rate): (&RunId, StackKind, Option<Rate>),
        folder: &ResultFolder,
        wants_screen: bool,
    ) -> Self {
        let board = Arc::new(Board::new(
            id.as_str(),
            &stack.to_string(),
            Figures::default(),
        ));
        let heard = Arc::clone(&board);
        terminal.tell(move |line| heard.say(line));
        let pace = rate.map(Pace::from);
        let post = Post::start(Arc::clone(&board), folder.clone());
        let post = post.inspect_err(|error| tracing::warn!(%error, "monitor cannot follow"));
        let mut watched = Self {
            terminal,
            board,
            pace,
            screen: None,
            post: post.ok(),
        };
        if wants_screen && dashboard::fits() {
            watched.open();
        }
        watched
    }

    fn open(&mut self) {
        let shown = Arc::clone(&self.board);
        let reins = Reins {
            pace: self.pace.clone(),
            quit: Box::new(interrupt),
        };
        self.terminal.hold();
        match Screen::open(move || Some(shown.snapshot()), reins) {
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
    pub(super) fn over(self, outcome: Result<&Report, &Failure>) {
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
    pub(super) fn series_over(self, is_good: bool) {
        self.finish(|figures| {
            figures.phase = if is_good {
                Phase::Passed
            } else {
                Phase::Failed
            };
        });
    }

    fn finish(mut self, change: impl FnOnce(&mut Figures)) {
        self.board.over(change);
        self.post = None;
        self.give_back();
    }

    fn give_back(&mut self) {
        if self.screen.take().is_some() {
            self.terminal.resume();
        }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Does what Ctrl-C does: in raw mode the terminal sends no signal.
fn interrupt() {
    if let Err(error) = nix::sys::signal::raise(nix::sys::signal::Signal::SIGINT) {
        tracing::error!(%error, "cannot interrupt the run");
    }
}

impl Progress for Watched<'_> {
    fn begin(&self, step: &str) {
        self.board.at_step(step, "");
        self.terminal.begin(step);
    }

    fn update(&self, step: &str, detail: &str) {
        self.board.at_step(step, detail);
        self.terminal.update(step, detail);
    }

    fn download(&self, step: &str, download: &Download) {
        let detail = format!("{} {download}", download.bar(BAR));
        self.board.at_step(step, &detail);
        self.terminal.download(step, download);
    }

    fn end(&self, step: &str, detail: &str) {
        self.board.step_over(step);
        self.terminal.end(step, detail);
    }
}

impl RunProgress for Watched<'_> {
    fn load(&self, state: &LoadState) {
        self.terminal.load(state);
    }

    fn load_over(&self) {
        self.terminal.load_over();
    }

    fn figures(&self, figures: Figures) {
        self.board.put(figures);
    }

    fn begin_nested_run(&self, step: &str) {
        self.board.at_part(step);
    }

    fn pace(&self) -> Option<Pace> {
        self.pace.clone()
    }
}
