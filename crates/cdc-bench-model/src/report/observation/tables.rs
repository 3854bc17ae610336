//! An observation for a comment on a pull request, and for a spreadsheet.

use super::{OBSERVED, ObservationReport};
use crate::analysis::HopStatistics;
use crate::observation::ObservedHop;
use crate::report::Verdict;
use crate::report::figures::{self, ms};
use crate::report::line::line;
use crate::report::markdown;

/// The observation as Markdown (GitHub's, GitLab's).
#[must_use]
pub fn observation_markdown(report: &ObservationReport) -> String {
    let mut out = String::new();
    let verdict = match report.verdict {
        Verdict::Pass => "✅ PASS",
        Verdict::Fail => "❌ FAIL",
    };
    line!(out, "### cdc-bench observation: {verdict}");
    line!(out);
    line!(
        out,
        "{} changes in {:.0} s, {} followed to their end; {} missing, {} duplicates",
        report.counts.captured,
        report.run.duration_s,
        report.counts.completed,
        report.missing,
        report.duplicates
    );
    line!(out);
    if !report.objectives.is_empty() {
        markdown::objectives(&mut out, &report.objectives);
        line!(out);
    }
    line!(out, "| hop, ms | p50 | p95 | p99 | max | ± |");
    line!(out, "| --- | ---: | ---: | ---: | ---: | ---: |");
    for (name, s) in report
        .observed()
        .into_iter()
        .flat_map(|path| ordered(&path.hops))
    {
        line!(
            out,
            "| {name} | {} | {} | {} | {} | {} |",
            figures::median(s),
            ms(s.p95),
            ms(s.p99),
            ms(s.max),
            figures::bound(s)
        );
    }
    if let Some(hop) = &report.diagnosis.slowest_hop {
        line!(out);
        line!(
            out,
            "Slowest hop: **{hop}**, {} of the mean total",
            figures::percent(report.diagnosis.share_of_total)
        );
    }
    for finding in &report.diagnosis.findings {
        line!(out, "- {} {}", finding.evidence, figures::advice(finding));
    }
    out
}

/// The columns.
const HEADER: &str =
    "run,path,hop,count,min_us,mean_us,p50_us,p90_us,p95_us,p99_us,p999_us,max_us,error_bound_us";

/// The observation as CSV (RFC 4180, but lines end as everywhere on Unix): one line a hop of all changes, and of each table's, whose
/// name stands as the path; whole microseconds.
#[must_use]
pub fn observation_csv(report: &ObservationReport) -> String {
    let mut out = format!("{HEADER}\n");
    let all = report.observed().map(|path| (OBSERVED, path));
    let tables = report.tables.iter();
    let tables = tables.map(|(name, path)| (name.as_str(), path));
    for (name, path) in all.into_iter().chain(tables) {
        for (hop, s) in ordered(&path.hops) {
            let bound = s
                .error_bound
                .map_or_else(String::new, |bound| bound.to_string());
            line!(
                out,
                "{},{},{hop},{},{},{},{},{},{},{},{},{},{bound}",
                report.run.id,
                field(name),
                s.count,
                s.min,
                s.mean,
                s.p50,
                s.p90,
                s.p95,
                s.p99,
                s.p999,
                s.max
            );
        }
    }
    out
}

/// A name in quotes where it needs them.
fn field(name: &str) -> String {
    if name.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        name.to_owned()
    }
}

/// The hops in the order of the pipeline.
fn ordered(
    hops: &std::collections::BTreeMap<String, HopStatistics>,
) -> impl Iterator<Item = (&'static str, &HopStatistics)> {
    let all = ObservedHop::ALL.into_iter();
    all.filter_map(|hop| Some((hop.as_str(), hops.get(hop.as_str())?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_comma_stays_one_field() {
        assert_eq!(field("public.orders"), "public.orders");
        assert_eq!(field("public.a,\"b\""), "\"public.a,\"\"b\"\"\"");
    }
}
