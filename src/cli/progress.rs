//! Progress on the terminal: a spinner a step, a bar for the load; one plain line a step where there is no terminal.
//! Everything goes to stderr, so that stdout carries results alone.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::output::tell;
use crate::pipeline::{LoadState, RunProgress};
use crate::stack::Progress;

/// Where nobody watches, a line is enough now and then.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// The terminal.
#[derive(Clone)]
pub(crate) struct Terminal(Arc<Inner>);

struct Inner {
    bars: MultiProgress,
    live: bool,
    steps: Mutex<HashMap<String, Step>>,
    load: Mutex<Load>,
}

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
        }))
    }

    /// A line above the bars.
    pub(crate) fn say(&self, line: &str) {
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
        let bar = if self.0.live {
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
