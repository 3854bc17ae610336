//! Several capture paths beside each other: the same quantiles, the ratio of the first to each of the others, and what
//! each costs.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use console::style;

use super::figures::ms;
use super::{PathReport, Report};
use crate::analysis::HopStatistics;
use crate::timeline::Hop;

/// Width of a column of figures.
const COLUMN: usize = 11;
/// Width of the two columns before them.
const LABEL: usize = 24;

/// The table; nothing where there is one path only.
pub(super) fn side_by_side(out: &mut String, report: &Report) {
    if report.paths.len() < 2 {
        return;
    }
    let (names, paths): (Vec<&str>, Vec<&PathReport>) = report.ordered_paths().unzip();
    out.push('\n');
    let mut header = format!("{:<LABEL$}", "side by side (ms)");
    for name in &names {
        let _ = write!(header, "{name:>COLUMN$}");
    }
    for other in &names[1..] {
        let _ = write!(header, "{:>20}", format!("{}/{other}", names[0]));
    }
    let _ = writeln!(out, "{}", style(header).bold());
    quantiles(out, "until captured", &paths, |path| {
        path.until_captured.as_ref()
    });
    for hop in [
        Hop::KafkaDelivery,
        Hop::ConsumerLag,
        Hop::Processing,
        Hop::Total,
    ] {
        quantiles(out, hop.as_str(), &paths, |path| {
            path.hops.get(hop.as_str())
        });
    }
    let mut row = format!("{:<LABEL$}", "events/s");
    for path in &paths {
        let _ = write!(row, "{:>COLUMN$.1}", path.throughput.average_per_s);
    }
    let _ = writeln!(out, "{row}");
    cpu(out, report, &paths);
}

fn quantiles<'a>(
    out: &mut String,
    label: &str,
    paths: &[&'a PathReport],
    of: impl Fn(&'a PathReport) -> Option<&'a HopStatistics>,
) {
    let hops: Vec<_> = paths.iter().map(|path| of(path)).collect();
    type Pick = fn(&HopStatistics) -> i64;
    let rows: [(&str, Pick); 4] = [
        ("p50", |hop| hop.p50),
        ("p95", |hop| hop.p95),
        ("p99", |hop| hop.p99),
        ("max", |hop| hop.max),
    ];
    for (name, pick) in rows {
        let first = name == "p50";
        let mut row = format!("{:<18}{name:<6}", if first { label } else { "" });
        for hop in &hops {
            let figure = match hop {
                // What lies within its clocks' error is no figure.
                Some(hop) if first && hop.error_bound != Some(0) && hop.is_within_error() => {
                    format!("({})", ms(pick(hop)))
                }
                // No Kafka is in between.
                Some(hop) if hop.min == 0 && hop.max == 0 => "-".to_owned(),
                Some(hop) => ms(pick(hop)),
                None => "-".to_owned(),
            };
            let _ = write!(row, "{figure:>COLUMN$}");
        }
        for other in &hops[1..] {
            let ratio = hops[0].zip(*other).and_then(|(a, b)| ratio(a, b, pick));
            let _ = write!(row, "{:>20}", ratio.unwrap_or_default());
        }
        let row = row.trim_end();
        let _ = match (first, label) {
            (true, "total") => writeln!(out, "{}", style(row).bold()),
            (true, _) => writeln!(out, "{row}"),
            (false, _) => writeln!(out, "{}", style(row).dim()),
        };
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

fn cpu(out: &mut String, report: &Report, paths: &[&PathReport]) {
    let names: BTreeSet<&String> = paths
        .iter()
        .flat_map(|path| path.cpu_s_per_million.keys())
        .collect();
    if names.is_empty() {
        return;
    }
    let _ = writeln!(out, "CPU seconds a million events");
    for name in names {
        let mut row = format!("  {:<width$}", name.replace('_', " "), width = LABEL - 2);
        for path in paths {
            let seconds = path.cpu_s_per_million.get(name);
            let seconds = seconds.map_or_else(|| "-".to_owned(), |s| format!("{s:.1}"));
            let _ = write!(row, "{seconds:>COLUMN$}");
        }
        let _ = writeln!(out, "{}", style(row).dim());
    }
    if !report.shared_cpu_s_per_million.is_empty() {
        let shared: Vec<_> = report
            .shared_cpu_s_per_million
            .iter()
            .map(|(name, seconds)| format!("{name} {seconds:.1}"))
            .collect();
        let line = format!("  shared by the paths: {}", shared.join(", "));
        let _ = writeln!(out, "{}", style(line).dim());
    }
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
