//! The line of the load: a bar, or plain lines without a terminal.

use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar};

use super::step_line::{plain_pause, style};
use crate::cli::output::print_passing_line;
use crate::pipeline::LoadState;
use cdc_bench_model::timeline::Nanos;

/// The line of the load in progress.
#[derive(Default)]
pub(super) struct LoadLine {
    bar: Option<ProgressBar>,
    /// When the first plain line was printed.
    began: Option<Instant>,
    /// When a plain line was printed last.
    printed: Option<Instant>,
}

impl LoadLine {
    /// Shows this state; as a bar if there are any.
    pub(super) fn show(&mut self, state: &LoadState, bars: Option<&MultiProgress>) {
        let Some(bars) = bars else {
            self.print_plain(state);
            return;
        };
        let bar = self.bar.get_or_insert_with(|| {
            let bar = match state.target {
                Some(target) => ProgressBar::new(target)
                    .with_style(style("{prefix:>9} [{bar:30}] {pos}/{len} {msg} {eta:.dim}")),
                None => ProgressBar::new_spinner()
                    .with_style(style("{prefix:>9} {spinner} {pos} {msg}")),
            };
            bars.add(bar)
        });
        bar.set_prefix(state.phase);
        bar.set_position(state.written);
        bar.set_message(figures(state));
    }

    /// Removes the bar.
    pub(super) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        (self.began, self.printed) = (None, None);
    }

    fn print_plain(&mut self, state: &LoadState) {
        let began = self.began.get_or_insert_with(Instant::now);
        let pause = plain_pause(began.elapsed());
        if self.printed.is_none_or(|at| at.elapsed() >= pause) {
            self.printed = Some(Instant::now());
            let target = state
                .target
                .map_or_else(String::new, |target| format!(" of {target}"));
            let text = figures(state);
            print_passing_line(format_args!(
                "  {}: {}{target} in the store  {text}",
                state.phase, state.written
            ));
        }
    }
}

/// Rate, latency, events in flight and errors.
fn figures(state: &LoadState) -> String {
    let ms = |span: Nanos| format!("{:.1} ms", span.as_millis_f64());
    format!(
        "{:>5.0}/s  p50 {}  p99 {}  under way {}{}",
        state.written_per_s,
        state.p50.map_or_else(|| "-".to_owned(), ms),
        state.p99.map_or_else(|| "-".to_owned(), ms),
        state.inserted.saturating_sub(state.written),
        if state.errors > 0 {
            format!("  errors {}", state.errors)
        } else {
            String::new()
        },
    )
}
