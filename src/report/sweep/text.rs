//! A sweep on the terminal.

use std::fmt::Write as _;

use console::style;

use super::{PathSweep, Step, SweepReport, conclusions, verdict};
use crate::analysis::HopStatistics;
use crate::report::figures::{self, ms};

/// Writing to a string cannot fail.
macro_rules! line {
    ($out:expr) => { $out.push('\n') };
    ($out:expr, $($arg:tt)*) => {{ let _ = writeln!($out, $($arg)*); }};
}

/// The sweep as text. Colours follow the terminal, as for a report.
#[must_use]
pub fn render_sweep(sweep: &SweepReport) -> String {
    let mut out = String::new();
    line!(out);
    line!(
        out,
        "{}  {} a step, {} stack",
        style(format!("Sweep {}", sweep.id)).bold(),
        sweep.step,
        sweep.stack
    );
    for path in &sweep.paths {
        table(&mut out, path);
    }
    if let Some(reason) = &sweep.ended_early {
        line!(out);
        line!(out, "{}", style(format!("ended early: {reason}")).red());
    }
    out
}

fn table(out: &mut String, path: &PathSweep) {
    line!(out);
    line!(out, "{}", style(path.path.as_str()).bold());
    let header = format!(
        "{:>9} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>10}  {}",
        "rate/s", "reached/s", "p50 ms", "p95", "p99", "max", "late p99", "CPU s/M", "objectives"
    );
    line!(out, "{}", style(header).bold());
    for step in &path.steps {
        row(out, step);
    }
    for says in conclusions(path) {
        line!(out, "  {says}");
    }
}

fn row(out: &mut String, step: &Step) {
    let of = |span: &Option<HopStatistics>, pick: fn(&HopStatistics) -> i64| {
        span.as_ref()
            .filter(|span| span.count > 0)
            .map_or_else(|| "–".to_owned(), |span| ms(pick(span)))
    };
    let row = format!(
        "{:>9} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>10}  {}",
        step.offered_per_s
            .map_or_else(|| "max".to_owned(), |rate| rate.to_string()),
        figures::per_s(step.achieved_per_s),
        of(&step.total, |total| total.p50),
        of(&step.total, |total| total.p95),
        of(&step.total, |total| total.p99),
        of(&step.total, |total| total.max),
        of(&step.schedule_lag, |lag| lag.p99),
        figures::cpu(step.cpu_s_per_million),
        verdict(step)
    );
    let row = match step {
        step if step.objectives.is_empty() => style(row),
        step if step.holds() => style(row).green(),
        _ => style(row).red(),
    };
    line!(out, "{row}");
}
