//! Progress on the terminal: a spinner a step, a bar for the load; one plain line a step where there is no terminal.
//! Everything goes to stderr, so that stdout carries results alone.

use std::collections::HashMap;
use std::fmt;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use super::logging;
use super::output::tell;
use crate::live::Snapshot;
use crate::pipeline::{LoadState, RunProgress};
use cdc_bench_model::timeline::Nanos;
use cdc_bench_stack::{Download, STOPPING, StepProgress};

/// Interval between plain lines, without a terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(1);
/// Interval at which an unchanged line is repeated, to show that the step is still in progress.
const PLAIN_AGAIN: Duration = Duration::from_secs(10);
/// A step shows its duration from here on.
const LONG: Duration = Duration::from_secs(1);
/// Most lines that are buffered while the dashboard is shown.
const MOST_HELD: usize = 10_000;

/// The state of a run as a plain line.
pub(super) struct LineOf<'a>(pub(super) &'a Snapshot);

impl fmt::Display for LineOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Snapshot {
            part,
            step,
            figures,
            ..
        } = self.0;
        let load = &figures.load;
        if let Some(part) = part {
            write!(f, "{part}  ")?;
        }
        if figures.paths.is_empty() {
            return write!(f, "{}", if step.is_empty() { "set-up" } else { step });
        }
        write!(f, "{}: {}", figures.phase.as_str(), load.written)?;
        if let Some(target) = load.target {
            write!(f, " of {target}")?;
        }
        write!(f, " in the store")?;
        if load.is_paused {
            write!(f, ", paused")?;
        }
        for path in &figures.paths {
            write!(f, "  {} {:.0}/s", path.path, path.throughput.now_per_s)?;
            if let Some(total) = path.total {
                let ms = |us| Nanos::from_micros(us).as_millis_f64();
                write!(
                    f,
                    " p50 {:.1} p99 {:.1} ms",
                    ms(total.p50_us),
                    ms(total.p99_us)
                )?;
            }
            if let Some(hop) = path.slowest() {
                write!(f, " slowest {}", hop.as_str())?;
            }
        }
        if load.errors > 0 {
            write!(f, "  errors {}", load.errors)?;
        }
        Ok(())
    }
}

/// The terminal.
#[derive(Clone)]
pub(crate) struct Terminal(Arc<Inner>);

struct Inner {
    bars: MultiProgress,
    live: bool,
    steps: Mutex<HashMap<String, Step>>,
    load: Mutex<Load>,
    /// Lines to print once the dashboard is closed; `None` if it is not shown.
    held: Mutex<Option<Vec<String>>>,
    listener: Mutex<Option<Listener>>,
}

/// Receives every printed line, without colours.
type Listener = Box<dyn Fn(&str) + Send>;

struct Step {
    bar: ProgressBar,
    fetches: bool,
    began: Instant,
    said: Instant,
    /// The last plain line.
    last: String,
}

impl Step {
    fn draw_as(&mut self, fetches: bool) {
        if self.fetches != fetches {
            self.fetches = fetches;
            self.bar
                .set_style(if fetches { fetching() } else { waiting() });
        }
    }

    /// Without a terminal, prints a plain line, unless another was printed a moment ago, or the same one not long ago.
    fn say(&mut self, step: &str, live: bool, detail: &str) {
        let pause = if self.last == detail {
            PLAIN_AGAIN
        } else {
            PLAIN_EVERY
        };
        if !live && self.said.elapsed() >= pause {
            self.said = Instant::now();
            detail.clone_into(&mut self.last);
            tell(format_args!("  {step}: {detail}"));
        }
    }
}

#[derive(Default)]
struct Load {
    bar: Option<ProgressBar>,
    said: Option<Instant>,
}

impl Terminal {
    /// Draws bars if stderr is a terminal.
    pub(crate) fn new() -> Self {
        Self::on(MultiProgress::new(), std::io::stderr().is_terminal())
    }

    fn on(bars: MultiProgress, live: bool) -> Self {
        Self(Arc::new(Inner {
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
            tell(&line);
        }
    }

    fn is_held(&self) -> bool {
        lock(&self.0.held).is_some()
    }

    /// Sets the listener that receives every printed line.
    pub(crate) fn tell(&self, listener: impl Fn(&str) + Send + 'static) {
        *lock(&self.0.listener) = Some(Box::new(listener));
    }

    /// Prints a line above the bars.
    pub(crate) fn say(&self, line: &str) {
        if let Some(listener) = lock(&self.0.listener).as_ref() {
            listener(&console::strip_ansi_codes(line));
        }
        if let Some(held) = lock(&self.0.held).as_mut() {
            if held.len() < MOST_HELD {
                held.push(line.to_owned());
            }
            return;
        }
        if self.0.live {
            self.0.bars.suspend(|| tell(line));
        } else {
            tell(line);
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

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates in this file are well formed")
}

/// A spinner with name, duration and detail of the step.
fn waiting() -> ProgressStyle {
    style("{spinner} {prefix}{waited:.dim} {wide_msg:.dim}").with_key("waited", waited)
}

/// The same with a bar.
fn fetching() -> ProgressStyle {
    style("{spinner} {prefix}{waited:.dim} [{bar:20}] {wide_msg:.dim}").with_key("waited", waited)
}

fn waited(state: &ProgressState, to: &mut dyn fmt::Write) {
    if state.elapsed() >= LONG {
        // A line that cannot be drawn is drawn again.
        let _ = write!(to, " {} s", state.elapsed().as_secs());
    }
}

impl StepProgress for Terminal {
    fn begin(&self, step: &str) {
        tracing::info!(step, "begins");
        if step == STOPPING {
            logging::is_ending();
        }
        let now = Instant::now();
        let bar = if self.0.live && !self.is_held() {
            let bar = self.0.bars.add(
                ProgressBar::new_spinner()
                    .with_style(waiting())
                    .with_prefix(step.to_owned()),
            );
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        } else {
            ProgressBar::hidden()
        };
        let fresh = Step {
            bar,
            fetches: false,
            began: now,
            said: now,
            last: String::new(),
        };
        if let Some(before) = lock(&self.0.steps).insert(step.to_owned(), fresh) {
            before.bar.finish_and_clear();
        }
    }

    fn update(&self, step: &str, detail: &str) {
        let mut steps = lock(&self.0.steps);
        let Some(known) = steps.get_mut(step) else {
            return;
        };
        known.draw_as(false);
        known.bar.set_message(detail.to_owned());
        if !detail.is_empty() {
            known.say(step, self.0.live, detail);
        }
    }

    fn download(&self, step: &str, download: &Download) {
        let mut steps = lock(&self.0.steps);
        let Some(known) = steps.get_mut(step) else {
            return;
        };
        known.draw_as(true);
        known.bar.set_length(download.total);
        known.bar.set_position(download.done);
        let detail = download.to_string();
        known.say(step, self.0.live, &detail);
        known.bar.set_message(detail);
    }

    fn end(&self, step: &str, detail: &str) {
        let Some(known) = lock(&self.0.steps).remove(step) else {
            return;
        };
        known.bar.finish_and_clear();
        let took = known.began.elapsed().as_secs_f64();
        let mark = console::style("✓").for_stderr().green();
        let detail = console::style(format!("{detail} ({took:.1} s)"))
            .for_stderr()
            .dim();
        self.say(&format!("{mark} {step} {detail}"));
    }
}

impl RunProgress for Terminal {
    fn load(&self, state: &LoadState) {
        if self.is_held() {
            return;
        }
        let mut load = lock(&self.0.load);
        let text = format!(
            "{:>5.0}/s  p50 {}  p99 {}  under way {}{}",
            state.written_per_s,
            state.p50.map_or_else(
                || "-".to_owned(),
                |span| format!("{:.1} ms", span.as_millis_f64())
            ),
            state.p99.map_or_else(
                || "-".to_owned(),
                |span| format!("{:.1} ms", span.as_millis_f64())
            ),
            state.inserted.saturating_sub(state.written),
            if state.errors > 0 {
                format!("  errors {}", state.errors)
            } else {
                String::new()
            },
        );
        if !self.0.live {
            if load.said.is_none_or(|said| said.elapsed() >= PLAIN_EVERY) {
                load.said = Some(Instant::now());
                let target = state
                    .target
                    .map_or_else(String::new, |target| format!(" of {target}"));
                tell(format_args!(
                    "  {}: {}{target} in the store  {text}",
                    state.phase, state.written
                ));
            }
            return;
        }
        let bar = load.bar.get_or_insert_with(|| {
            let bar = match state.target {
                Some(target) => ProgressBar::new(target)
                    .with_style(style("{prefix:>9} [{bar:30}] {pos}/{len} {msg} {eta:.dim}")),
                None => ProgressBar::new_spinner()
                    .with_style(style("{prefix:>9} {spinner} {pos} {msg}")),
            };
            self.0.bars.add(bar)
        });
        bar.set_prefix(state.phase);
        bar.set_position(state.written);
        bar.set_message(text);
    }

    fn load_over(&self) {
        let mut load = lock(&self.0.load);
        if let Some(bar) = load.bar.take() {
            bar.finish_and_clear();
        }
        load.said = None;
    }
}

#[cfg(test)]
mod tests {
    use indicatif::{InMemoryTerm, ProgressDrawTarget};

    use super::*;

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
