//! A result as comma-separated values: one line a capture path and hop, durations in whole microseconds.

use std::fmt::Write as _;

use super::Report;
use crate::analysis::HopStatistics;
use crate::timeline::Hop;

/// The columns.
const HEADER: &str =
    "run,path,hop,count,min_us,mean_us,p50_us,p90_us,p95_us,p99_us,p999_us,max_us,error_bound_us";

/// The report as CSV (RFC 4180, but lines end as everywhere on Unix). No field needs quotes: run ids, paths and hops
/// are plain words.
#[must_use]
pub fn csv(report: &Report) -> String {
    let mut out = format!("{HEADER}\n");
    for (name, path) in report.ordered_paths() {
        let known = Hop::ALL
            .into_iter()
            .filter_map(|hop| Some((hop.as_str(), path.hops.get(hop.as_str())?)));
        let from_schedule = path
            .total_from_schedule
            .iter()
            .map(|hop| ("total_from_schedule", hop));
        for (hop, statistics) in known.chain(from_schedule) {
            line(&mut out, &report.run.id, name, hop, statistics);
        }
    }
    out
}

fn line(out: &mut String, run: &str, path: &str, hop: &str, s: &HopStatistics) {
    let bound = s
        .error_bound
        .map_or_else(String::new, |bound| bound.to_string());
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{run},{path},{hop},{},{},{},{},{},{},{},{},{},{bound}",
        s.count, s.min, s.mean, s.p50, s.p90, s.p95, s.p99, s.p999, s.max
    );
}
