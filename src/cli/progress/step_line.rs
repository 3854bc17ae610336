//! The line of one step: a spinner, or a bar for a download; plain lines without a terminal.

use std::fmt;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use crate::cli::output::print_passing_line;
use cdc_bench_stack::Download;

/// Interval between plain lines, without a terminal, of a step that has lasted for so long: what goes on for hours fills no log.
pub(super) fn plain_pause(lasting: Duration) -> Duration {
    Duration::from_secs(match lasting.as_secs() {
        ..60 => 1,
        60..600 => 10,
        _ => 60,
    })
}

/// Interval at which an unchanged line is repeated, to show that the step is still in progress.
const PLAIN_AGAIN: Duration = Duration::from_secs(10);
/// A step shows its duration from here on.
const LONG: Duration = Duration::from_secs(1);

/// The line of a step in progress.
pub(super) struct StepLine {
    bar: ProgressBar,
    is_download: bool,
    began: Instant,
    /// When a plain line was printed last.
    printed: Instant,
    /// The last plain line.
    last: String,
}

impl StepLine {
    /// Begins a step; with a spinner if there are bars.
    pub(super) fn begin(step: &str, bars: Option<&MultiProgress>) -> Self {
        let bar = match bars {
            Some(bars) => {
                let bar = bars.add(
                    ProgressBar::new_spinner()
                        .with_style(waiting())
                        .with_prefix(step.to_owned()),
                );
                bar.enable_steady_tick(Duration::from_millis(100));
                bar
            }
            None => ProgressBar::hidden(),
        };
        let now = Instant::now();
        Self {
            bar,
            is_download: false,
            began: now,
            printed: now,
            last: String::new(),
        }
    }

    /// Shows a detail; without a terminal (not `live`), as a plain line.
    pub(super) fn update(&mut self, step: &str, live: bool, detail: &str) {
        self.draw_as(false);
        self.bar.set_message(detail.to_owned());
        if !detail.is_empty() {
            self.print_plain(step, live, detail);
        }
    }

    /// Shows a download; without a terminal (not `live`), as a plain line.
    pub(super) fn download(&mut self, step: &str, live: bool, download: &Download) {
        self.draw_as(true);
        self.bar.set_length(download.total);
        self.bar.set_position(download.done);
        let detail = download.to_string();
        self.print_plain(step, live, &detail);
        self.bar.set_message(detail);
    }

    /// Removes the bar.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Time since the step began.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Draws a bar for a download, or a spinner.
    fn draw_as(&mut self, is_download: bool) {
        if self.is_download != is_download {
            self.is_download = is_download;
            self.bar.set_style(if is_download {
                downloading()
            } else {
                waiting()
            });
        }
    }

    /// Without a terminal, prints a plain line, unless another was printed a moment ago, or the same one not long ago.
    fn print_plain(&mut self, step: &str, live: bool, detail: &str) {
        let mut pause = plain_pause(self.elapsed());
        if self.last == detail {
            pause = pause.max(PLAIN_AGAIN);
        }
        if !live && self.printed.elapsed() >= pause {
            self.printed = Instant::now();
            detail.clone_into(&mut self.last);
            print_passing_line(format_args!("  {step}: {detail}"));
        }
    }
}

/// A style from a template of this module.
pub(super) fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates in this file are well formed")
}

/// A spinner with name, duration and detail of the step.
fn waiting() -> ProgressStyle {
    style("{spinner} {prefix}{waited:.dim} {wide_msg:.dim}").with_key("waited", waited)
}

/// The same with a bar.
fn downloading() -> ProgressStyle {
    style("{spinner} {prefix}{waited:.dim} [{bar:20}] {wide_msg:.dim}").with_key("waited", waited)
}

fn waited(state: &ProgressState, to: &mut dyn fmt::Write) {
    if state.elapsed() >= LONG {
        // A line that cannot be drawn is drawn again.
        let _ = write!(to, " {} s", state.elapsed().as_secs());
    }
}
