//! A sweep on the terminal.

use console::style;

use super::{PathSweep, Step, SweepReport, cells, conclusions, verdict};
use crate::report::line::line;

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
    for line in conclusions(path) {
        line!(out, "  {line}");
    }
}

fn row(out: &mut String, step: &Step) {
    let [offered, reached, p50, p95, p99, most, late, cpu] = cells(step);
    let row = format!(
        "{offered:>9} {reached:>10} {p50:>9} {p95:>9} {p99:>9} {most:>9} {late:>9} {cpu:>10}  {}",
        verdict(step)
    );
    let row = match step {
        step if step.objectives.is_empty() => style(row),
        step if step.holds() => style(row).green(),
        _ => style(row).red(),
    };
    line!(out, "{row}");
}
