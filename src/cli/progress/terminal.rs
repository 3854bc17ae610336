//! The terminal: prints lines above the bars, and leaves the screen to the dashboard while that is shown.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex};

use indicatif::MultiProgress;

use super::load_line::LoadLine;
use super::step_line::StepLine;
use crate::cli::logging;
use crate::cli::output::print_error_line;
use crate::pipeline::{LoadState, RunProgress};
use cdc_bench_stack::{Download, STOPPING, StepProgress};

/// Most lines that are buffered while the dashboard is shown.
const MAX_HELD_LINES: usize = 10_000;

/// The terminal.
#[derive(Clone)]
pub(crate) struct Terminal(Arc<TerminalState>);

/// State shared by the clones of a terminal.
struct TerminalState {
    bars: MultiProgress,
    live: bool,
    steps: Mutex<HashMap<String, StepLine>>,
    load: Mutex<LoadLine>,
    /// Lines to print once the dashboard is closed; `None` if it is not shown.
    held: Mutex<Option<Vec<String>>>,
    listener: Mutex<Option<Listener>>,
}

/// Receives every printed line, without colours.
type Listener = Box<dyn Fn(&str) + Send>;

impl Terminal {
    /// Draws bars if stderr is a terminal.
    pub(crate) fn new() -> Self {
        Self::on(MultiProgress::new(), std::io::stderr().is_terminal())
    }

    fn on(bars: MultiProgress, live: bool) -> Self {
        Self(Arc::new(TerminalState {
            bars,
            live,
            steps: Mutex::default(),
            load: Mutex::default(),
            held: Mutex::default(),
            listener: Mutex::default(),
        }))
    }

    /// Leaves the screen to the dashboard: lines are buffered until [`Terminal::resume`].
    pub(crate) fn hold(&self) {
        self.clear();
        lock(&self.0.held).get_or_insert_default();
    }

    /// Takes the screen back, and prints the buffered lines.
    pub(crate) fn resume(&self) {
        let held = lock(&self.0.held).take();
        for line in held.unwrap_or_default() {
            print_error_line(&line);
        }
    }

    fn is_held(&self) -> bool {
        lock(&self.0.held).is_some()
    }

    /// Sets the listener that receives every printed line.
    pub(crate) fn set_listener(&self, listener: impl Fn(&str) + Send + 'static) {
        *lock(&self.0.listener) = Some(Box::new(listener));
    }

    /// Prints a line above the bars.
    pub(crate) fn say(&self, line: &str) {
        if let Some(listener) = lock(&self.0.listener).as_ref() {
            listener(&console::strip_ansi_codes(line));
        }
        if let Some(held) = lock(&self.0.held).as_mut() {
            if held.len() < MAX_HELD_LINES {
                held.push(line.to_owned());
            }
            return;
        }
        if self.0.live {
            self.0.bars.suspend(|| print_error_line(line));
        } else {
            print_error_line(line);
        }
    }

    /// Removes all bars.
    pub(crate) fn clear(&self) {
        lock(&self.0.steps).clear();
        if self.0.live {
            // A closed terminal needs no clearing.
            let _ = self.0.bars.clear();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl StepProgress for Terminal {
    fn begin(&self, step: &str) {
        tracing::info!(step, "begins");
        if step == STOPPING {
            logging::begin_shutdown();
        }
        let bars = (self.0.live && !self.is_held()).then_some(&self.0.bars);
        let line = StepLine::begin(step, bars);
        if let Some(before) = lock(&self.0.steps).insert(step.to_owned(), line) {
            before.clear();
        }
    }

    fn update(&self, step: &str, detail: &str) {
        if let Some(line) = lock(&self.0.steps).get_mut(step) {
            line.update(step, self.0.live, detail);
        }
    }

    fn download(&self, step: &str, download: &Download) {
        if let Some(line) = lock(&self.0.steps).get_mut(step) {
            line.download(step, self.0.live, download);
        }
    }

    fn end(&self, step: &str, detail: &str) {
        let Some(line) = lock(&self.0.steps).remove(step) else {
            return;
        };
        line.clear();
        let took = line.elapsed().as_secs_f64();
        let mark = console::style("✓").for_stderr().green();
        let detail = console::style(format!("{detail} ({took:.1} s)"))
            .for_stderr()
            .dim();
        self.say(&format!("{mark} {step} {detail}"));
    }
}

impl RunProgress for Terminal {
    fn load(&self, state: &LoadState) {
        if !self.is_held() {
            let bars = self.0.live.then_some(&self.0.bars);
            lock(&self.0.load).show(state, bars);
        }
    }

    fn load_over(&self) {
        lock(&self.0.load).clear();
    }
}

#[cfg(test)]
mod tests {
    use indicatif::{InMemoryTerm, ProgressDrawTarget};

    use super::*;
    use std::time::{Duration, Instant};

    /// A terminal of 80 columns, and its contents.
    fn terminal() -> (Terminal, InMemoryTerm) {
        let screen = InMemoryTerm::new(10, 80);
        let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
        let bars = MultiProgress::with_draw_target(target);
        (Terminal::on(bars, true), screen)
    }

    /// Whether the terminal shows this now or soon: it is not redrawn at every change.
    fn comes(screen: &InMemoryTerm, is_shown: impl Fn(&str) -> bool) -> bool {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) {
            if is_shown(&screen.contents()) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    #[test]
    fn a_wait_shows_what_is_waited_for_and_for_how_long() {
        let (terminal, screen) = terminal();
        terminal.begin("servers");
        terminal.update("servers", "waiting for Kafka");
        assert!(comes(&screen, |text| text.contains("servers waiting for Kafka")));
        assert!(comes(&screen, |text| text.contains(" s waiting for Kafka")
            && !text.contains("servers waiting")));
        terminal.clear();
        assert!(comes(&screen, str::is_empty));
    }

    #[test]
    fn a_download_has_a_bar_until_there_is_something_else_to_say() {
        let (terminal, screen) = terminal();
        terminal.begin("artifacts");
        let download = Download {
            done: 60_000_000,
            total: 120_000_000,
            per_s: Some(7_500_000.0),
        };
        terminal.download("artifacts", &download);
        let half = format!("[{}{}]", "█".repeat(10), "░".repeat(10));
        assert!(comes(&screen, |text| text.contains(&half)
            && text.contains("60.0 of 120.0 MB, 7.5 MB/s, 8 s left")));
        terminal.update("artifacts", "unpacking PostgreSQL");
        assert!(comes(&screen, |text| !text.contains('█')
            && text.contains("unpacking PostgreSQL")));
        terminal.begin("artifacts");
        assert!(comes(&screen, |text| text.lines().count() == 1));
        terminal.download("no such step", &download);
        terminal.clear();
        assert!(comes(&screen, str::is_empty));
    }
}
