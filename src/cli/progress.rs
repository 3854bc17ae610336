//! Progress on the terminal: a spinner a step, a bar for the load; one plain line a step where there is no terminal.
//! Everything goes to stderr, so that stdout carries results alone.

use std::collections::HashMap;
use std::fmt;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::output::tell;
use crate::live::Snapshot;
use crate::pipeline::{LoadState, RunProgress};
use crate::stack::Progress;
use crate::timeline::Nanos;

/// Where there is no terminal, a line now and then.
const PLAIN_EVERY: Duration = Duration::from_secs(1);
/// Lines that are kept while the screen is another's.
const MOST_HELD: usize = 10_000;

/// How a run stands, in a plain line.
pub(super) struct LineOf<'a>(pub(super) &'a Snapshot);

impl fmt::Display for LineOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Snapshot { step, figures, .. } = self.0;
        let load = &figures.load;
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
    /// What is to be said once the screen is ours again; `None` while it is.
    held: Mutex<Option<Vec<String>>>,
    listener: Mutex<Option<Listener>>,
}

/// Hears of every line that is said, without colours.
type Listener = Box<dyn Fn(&str) + Send>;

struct Step {
    bar: ProgressBar,
    began: Instant,
    said: Instant,
}

#[derive(Default)]
struct Load {
    bar: Option<ProgressBar>,
    said: Option<Instant>,
}

impl Terminal {
    /// Bars when stderr is a terminal.
    pub(crate) fn new() -> Self {
        let live = std::io::stderr().is_terminal();
        Self(Arc::new(Inner {
            bars: MultiProgress::new(),
            live,
            steps: Mutex::default(),
            load: Mutex::default(),
            held: Mutex::default(),
            listener: Mutex::default(),
        }))
    }

    /// Leaves the screen to another: what is said is kept until [`Terminal::resume`].
    pub(crate) fn hold(&self) {
        self.clear();
        lock(&self.0.held).get_or_insert_default();
    }

    /// Has the screen again, and says what was kept.
    pub(crate) fn resume(&self) {
        let held = lock(&self.0.held).take();
        for line in held.unwrap_or_default() {
            tell(&line);
        }
    }

    fn is_held(&self) -> bool {
        lock(&self.0.held).is_some()
    }

    /// Who is to hear of every line that is said.
    pub(crate) fn tell(&self, listener: impl Fn(&str) + Send + 'static) {
        *lock(&self.0.listener) = Some(Box::new(listener));
    }

    /// A line above the bars.
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

    /// Takes every bar away.
    pub(crate) fn clear(&self) {
        lock(&self.0.steps).clear();
        if self.0.live {
            // A terminal that is gone needs no clearing.
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

impl Progress for Terminal {
    fn begin(&self, step: &str) {
        tracing::info!(step, "begins");
        let now = Instant::now();
        let bar = if self.0.live && !self.is_held() {
            let bar = self.0.bars.add(
                ProgressBar::new_spinner()
                    .with_style(style("{spinner} {prefix} {wide_msg:.dim}"))
                    .with_prefix(step.to_owned()),
            );
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        } else {
            ProgressBar::hidden()
        };
        lock(&self.0.steps).insert(
            step.to_owned(),
            Step {
                bar,
                began: now,
                said: now,
            },
        );
    }

    fn update(&self, step: &str, detail: &str) {
        let mut steps = lock(&self.0.steps);
        let Some(known) = steps.get_mut(step) else {
            return;
        };
        known.bar.set_message(detail.to_owned());
        if !self.0.live && known.said.elapsed() >= PLAIN_EVERY {
            known.said = Instant::now();
            tell(format_args!("  {step}: {detail}"));
        }
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
