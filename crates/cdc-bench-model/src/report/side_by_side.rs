//! Several capture paths side by side: the same quantiles, the ratio of the first path to each other one, and their
//! costs.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use console::style;

use super::figures::{self, ms};
use super::{PathReport, Report};
use crate::analysis::HopStatistics;
use crate::timeline::Hop;

/// Width of a column of figures.
const COLUMN: usize = 11;
/// Width of the two columns before them.
const LABEL: usize = 24;

/// A row of the comparison: a span at a quantile.
#[derive(Debug)]
pub(super) struct SideBySideRow {
    /// What is measured.
    pub(super) label: &'static str,
    /// Such as `p99`.
    pub(super) quantile: &'static str,
    /// By path, milliseconds.
    pub(super) figures: Vec<String>,
    /// How many times each of the others the first takes.
    pub(super) ratios: Vec<String>,
}

/// The paths of a report, the first first.
fn paths(report: &Report) -> Vec<&PathReport> {
    report.ordered_paths().map(|(_, path)| path).collect()
}

/// Every span at every quantile; nothing where there is one path only.
pub(super) fn lines(report: &Report) -> Vec<SideBySideRow> {
    let paths = paths(report);
    if paths.len() < 2 {
        return Vec::new();
    }
    let of = |pick: &dyn Fn(&PathReport) -> Option<HopStatistics>| -> Vec<_> {
        paths.iter().map(|path| pick(path)).collect()
    };
    let mut lines = quantiles("until captured", &of(&|path| path.until_captured));
    for hop in [
        Hop::KafkaDelivery,
        Hop::ConsumerLag,
        Hop::Processing,
        Hop::Total,
    ] {
        let name = hop.as_str();
        lines.extend(quantiles(name, &of(&|path| path.hops.get(name).copied())));
    }
    lines
}

fn quantiles(label: &'static str, hops: &[Option<HopStatistics>]) -> Vec<SideBySideRow> {
    type Pick = fn(&HopStatistics) -> i64;
    let picks: [(&'static str, Pick); 4] = [
        ("p50", |hop| hop.p50),
        ("p95", |hop| hop.p95),
        ("p99", |hop| hop.p99),
        ("max", |hop| hop.max),
    ];
    let line = |(quantile, pick): (&'static str, Pick)| SideBySideRow {
        label,
        quantile,
        figures: hops
            .iter()
            .map(|hop| match hop {
                // No Kafka is in between.
                Some(hop) if hop.min == 0 && hop.max == 0 => "-".to_owned(),
                Some(hop) if quantile == "p50" => figures::median(hop),
                Some(hop) => ms(pick(hop)),
                None => "-".to_owned(),
            })
            .collect(),
        ratios: hops[1..]
            .iter()
            .map(|other| {
                let both = hops[0].as_ref().zip(other.as_ref());
                both.and_then(|(a, b)| ratio(a, b, pick))
                    .unwrap_or_default()
            })
            .collect(),
    };
    picks.map(line).into()
}

/// Processor time by what used it, seconds a million events of each path.
pub(super) fn cpu(report: &Report) -> Vec<(String, Vec<String>)> {
    let paths = paths(report);
    let names: BTreeSet<&String> = paths
        .iter()
        .flat_map(|path| path.cpu_s_per_million.keys())
        .collect();
    let seconds = |path: &PathReport, name: &str| match path.cpu_s_per_million.get(name) {
        Some(seconds) => format!("{seconds:.1}"),
        None => "-".to_owned(),
    };
    names
        .into_iter()
        .map(|name| {
            let by_path = paths.iter().map(|path| seconds(path, name)).collect();
            (name.replace('_', " "), by_path)
        })
        .collect()
}

/// What paths that worked at once have shared, in words; empty where they did not.
pub(super) fn shared_cpu(report: &Report) -> String {
    let shared: Vec<_> = report
        .shared_cpu_s_per_million
        .iter()
        .map(|(name, seconds)| format!("{name} {seconds:.1}"))
        .collect();
    shared.join(", ")
}

/// The table as text; nothing where there is one path only.
pub(super) fn side_by_side(out: &mut String, report: &Report) {
    let lines = lines(report);
    if lines.is_empty() {
        return;
    }
    let names: Vec<&str> = report.ordered_paths().map(|(name, _)| name).collect();
    out.push('\n');
    let mut header = format!("{:<LABEL$}", "side by side (ms)");
    for name in &names {
        let _ = write!(header, "{name:>COLUMN$}");
    }
    for other in &names[1..] {
        let _ = write!(header, "{:>20}", format!("{}/{other}", names[0]));
    }
    let _ = writeln!(out, "{}", style(header).bold());
    for line in &lines {
        let first = line.quantile == "p50";
        let label = if first { line.label } else { "" };
        let mut row = format!("{label:<18}{:<6}", line.quantile);
        for figure in &line.figures {
            let _ = write!(row, "{figure:>COLUMN$}");
        }
        for ratio in &line.ratios {
            let _ = write!(row, "{ratio:>20}");
        }
        let row = row.trim_end();
        let _ = match (first, line.label) {
            (true, "total") => writeln!(out, "{}", style(row).bold()),
            (true, _) => writeln!(out, "{row}"),
            (false, _) => writeln!(out, "{}", style(row).dim()),
        };
    }
    let mut row = format!("{:<LABEL$}", "events/s");
    for path in paths(report) {
        let _ = write!(row, "{:>COLUMN$.1}", path.throughput.average_per_s);
    }
    let _ = writeln!(out, "{row}");
    write_cpu(out, report);
}

fn write_cpu(out: &mut String, report: &Report) {
    let cpu = cpu(report);
    if cpu.is_empty() {
        return;
    }
    let _ = writeln!(out, "CPU seconds a million events");
    for (name, by_path) in cpu {
        let mut row = format!("  {name:<width$}", width = LABEL - 2);
        for seconds in by_path {
            let _ = write!(row, "{seconds:>COLUMN$}");
        }
        let _ = writeln!(out, "{}", style(row).dim());
    }
    let shared = shared_cpu(report);
    if !shared.is_empty() {
        let line = format!("  shared by the paths: {shared}");
        let _ = writeln!(out, "{}", style(line).dim());
    }
}

/// How many times longer the first takes; nothing where either is within its error, or not above zero.
#[allow(clippy::cast_precision_loss)] // microseconds for display
fn ratio(
    first: &HopStatistics,
    other: &HopStatistics,
    pick: fn(&HopStatistics) -> i64,
) -> Option<String> {
    let certain = |hop: &HopStatistics| {
        let value = pick(hop);
        (value > hop.error_bound? && value > 0).then_some(value as f64)
    };
    let ratio = certain(first)? / certain(other)?;
    Some(if ratio >= 10.0 {
        format!("{ratio:.0} x")
    } else {
        format!("{ratio:.2} x")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(p50: i64, error_bound: i64) -> HopStatistics {
        HopStatistics {
            count: 1,
            min: p50,
            mean: p50,
            p50,
            p90: p50,
            p95: p50,
            p99: p50,
            p999: p50,
            max: p50,
            error_bound: Some(error_bound),
        }
    }

    #[test]
    fn a_ratio_is_given_where_both_figures_are_certain() {
        let of = |a: HopStatistics, b: HopStatistics| ratio(&a, &b, |hop| hop.p50);
        assert_eq!(of(hop(250_000, 100), hop(500, 0)).as_deref(), Some("500 x"));
        assert_eq!(of(hop(900, 0), hop(600, 0)).as_deref(), Some("1.50 x"));
        assert_eq!(of(hop(900, 0), hop(600, 700)), None);
        assert_eq!(of(hop(900, 0), hop(-40, 0)), None);
    }
}
