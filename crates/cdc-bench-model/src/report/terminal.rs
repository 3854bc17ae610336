//! The summary on the terminal.

use std::collections::BTreeSet;

use console::{Style, style};

use super::fault_table;
use super::figures::{self, ms};
use super::line::line;
use super::partition_table;
use super::shard_table;
use super::side_by_side::side_by_side;
use super::worker_table;
use super::{PathReport, Report, Verdict};
use crate::analysis::{Diagnosis, Finding, HopStatistics, Severity};
use crate::timeline::Hop;

/// Width of a full bar.
const BAR: usize = 24;

/// The report as text. Colours follow the terminal (and `NO_COLOR`): styles are dropped where there is none.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    headline(&mut out, report);
    for (name, path) in report.ordered_paths() {
        hop_table(&mut out, report, name, path);
    }
    side_by_side(&mut out, report);
    counts(&mut out, report);
    workers(&mut out, report);
    faults(&mut out, report);
    diagnosis(&mut out, report);
    objectives(&mut out, report);
    out
}

fn headline(out: &mut String, report: &Report) {
    let run = &report.run;
    let env = &report.environment;
    let rate = figures::rate(run.rate_per_s);
    line!(out);
    line!(
        out,
        "{}  {} events at {rate}, {} capture{}, {} stack",
        style(format!("Run {}", run.id)).bold(),
        run.events,
        run.capture,
        if run.interleaved {
            format!(" in {} rounds of turns", run.rounds)
        } else {
            String::new()
        },
        run.stack
    );
    let version = |v: &Option<String>| v.clone().unwrap_or_else(|| "(version unknown)".to_owned());
    line!(
        out,
        "{}",
        style(format!(
            "PostgreSQL {} -> Debezium {} -> Kafka {} -> {} {} ({})",
            env.postgres.version,
            version(&env.debezium.version),
            version(&env.kafka.version),
            env.store.name,
            env.store.version,
            env.store.write_concern
        ))
        .dim()
    );
    if !env.store.is_mongodb {
        line!(
            out,
            "{}",
            style(format!(
                "The store is {}, not MongoDB: read \"processing\" as this server's.",
                env.store.name
            ))
            .yellow()
        );
    }
    if let Some(connector) = &env.debezium.connector {
        let profile = connector.described();
        let poll = connector
            .config
            .get("poll.interval.ms")
            .map_or("500 (default)", String::as_str);
        line!(
            out,
            "{}",
            style(format!(
                "Connector {} ({profile}): poll.interval.ms {poll}",
                connector.name
            ))
            .dim()
        );
        if connector.is_exactly_once() {
            line!(
                out,
                "{}",
                style("Debezium's records come in transactions of Kafka's, and the consumer gets them with the commit (read_committed): consumer_lag includes that wait.").dim()
            );
        }
        if connector.profile.as_deref() == Some("low-latency") {
            line!(
                out,
                "{}",
                style("Debezium as it comes (--connector-profile stock) waits up to 500 ms twice an event: expect about 0.5 s more at the median.").dim()
            );
        }
    }
}

fn hop_table(out: &mut String, report: &Report, name: &str, path: &PathReport) {
    line!(out);
    let header = format!(
        "{:<16} {:>8} {:>9} {:>9} {:>9} {:>9} {:>8}  {}",
        "hop (ms)", "count", "p50", "p95", "p99", "max", "±", "share of p50"
    );
    line!(
        out,
        "{}",
        style(if report.paths.len() > 1 {
            format!("{name}\n{header}")
        } else {
            header
        })
        .bold()
    );
    let get = |hop: Hop| path.hops.get(hop.as_str());
    let sum: i64 = Hop::PIPELINE
        .into_iter()
        .filter_map(|hop| Some(get(hop)?.p50.max(0)))
        .sum();
    let diagnosis = path.diagnosis.as_ref();
    let slowest = diagnosis.and_then(|found| found.slowest_hop.as_deref());
    for hop in Hop::PIPELINE {
        if let Some(statistics) = get(hop) {
            let emphasis = if slowest == Some(hop.as_str()) {
                Style::new().yellow().bold()
            } else {
                Style::new()
            };
            line!(
                out,
                "{}",
                emphasis.apply_to(row(hop.as_str(), statistics, &bar(statistics.p50, sum)))
            );
        }
        for &part in hop.parts() {
            if let Some(statistics) = get(part) {
                line!(
                    out,
                    "{}",
                    style(row(&format!("  {}", part.as_str()), statistics, "")).dim()
                );
            }
        }
    }
    if let Some(total) = get(Hop::Total) {
        line!(
            out,
            "{}",
            style(row("total", total, figures::span(Hop::Total))).bold()
        );
    }
    if let Some(from_schedule) = &path.total_from_schedule {
        line!(
            out,
            "{}",
            style(row(
                "  from schedule",
                from_schedule,
                "as seen by who waits from the scheduled time"
            ))
            .dim()
        );
    }
    if let Some(lag) = get(Hop::ScheduleLag) {
        line!(
            out,
            "{}",
            style(row("schedule_lag", lag, "beside the total, not in it")).dim()
        );
    }
    if !path.partitions.is_empty() {
        line!(out);
        let mut lines = partition_table::text(&path.partitions).into_iter();
        line!(out, "{}", style(lines.next().unwrap_or_default()).bold());
        lines.for_each(|row| line!(out, "{row}"));
    }
    if !path.shards.is_empty() {
        line!(out);
        let mut lines = shard_table::text(&path.shards).into_iter();
        line!(out, "{}", style(lines.next().unwrap_or_default()).bold());
        lines.for_each(|row| line!(out, "{row}"));
    }
}

fn row(name: &str, s: &HopStatistics, tail: &str) -> String {
    let (median, bound) = (figures::median(s), figures::bound(s));
    format!(
        "{name:<16} {:>8} {median:>9} {:>9} {:>9} {:>9} {bound:>8}  {tail}",
        s.count,
        ms(s.p95),
        ms(s.p99),
        ms(s.max)
    )
    .trim_end()
    .to_owned()
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)] // a fraction of 24
fn bar(part: i64, sum: i64) -> String {
    let Some(share) = figures::share(part, sum) else {
        return String::new();
    };
    let full = ((share * BAR as f64).round() as usize).min(BAR);
    format!(
        "{}{} {:>3.0} %",
        "█".repeat(full),
        "·".repeat(BAR - full),
        share * 100.0
    )
}

fn counts(out: &mut String, report: &Report) {
    let c = &report.counts;
    line!(out);
    let several = report.paths.len() > 1;
    for (name, path) in report.ordered_paths() {
        let (c, label) = (&path.counts, label("events", name, several));
        line!(
            out,
            "{label}{} inserted, {} captured, {} in Kafka, {} consumed, {} written; {} lost, {} duplicates, {} errors",
            c.inserted,
            c.captured,
            c.in_kafka,
            c.consumed,
            c.written,
            c.lost,
            c.duplicates,
            c.errors
        );
    }
    let success = report
        .objectives
        .iter()
        .find(|o| o.name == "success_percent")
        .and_then(|o| o.measured);
    line!(
        out,
        "throughput    {} events/s average, {} peak; success {}",
        report.throughput.average_per_s,
        report.throughput.peak_per_s,
        success.map_or_else(|| "unknown".to_owned(), |percent| format!("{percent:.2} %"))
    );
    for (name, path) in report.ordered_paths() {
        let label = label("verification", name, several);
        match &path.verification {
            Some(v) => line!(
                out,
                "{label}{} rows, {} documents: {} missing, {} extra, {} differing; {} % match",
                v.postgres_count,
                v.store_count,
                v.missing,
                v.extra,
                v.differing,
                v.match_percent
            ),
            None => line!(out, "{label}not done"),
        }
    }
    line!(
        out,
        "correlation   {} LSN mismatches; {} spans below zero that nothing explains, {} within their clocks' error",
        c.lsn_mismatches,
        c.negative_hops,
        c.negative_within_error
    );
    for (name, path) in report.ordered_paths() {
        causality(out, &label("causality", name, several), path);
    }
    for clock in &report.clocks {
        let drift = match (clock.drift, clock.drift_ppm) {
            (Some(drift), Some(ppm)) if ppm != 0.0 => {
                format!(", drift {} ms ({ppm} ppm)", ms(drift))
            }
            (Some(drift), _) => format!(", drift {} ms", ms(drift)),
            (None, _) => String::new(),
        };
        line!(
            out,
            "{}",
            style(format!(
                "clock         {}: {} ms off ours, ±{} ms{drift}",
                clock.server,
                ms(clock.offset),
                ms(clock.error_bound)
            ))
            .dim()
        );
    }
    if c.dead_letters > 0 {
        line!(
            out,
            "{}",
            style(format!(
                "dead letters  {} records could not be written ({}): see dead-letters.jsonl{}",
                c.dead_letters,
                figures::by_reason(&report.dead_letters_by_reason),
                kept_topics(report)
            ))
            .red()
        );
    }
}

/// The topics that hold dead letters after the run.
fn kept_topics(report: &Report) -> String {
    let paths = report.paths.values();
    let topics: BTreeSet<_> = paths
        .filter_map(|path| path.names.dead_letter_topic.as_ref())
        .collect();
    let topics = topics.iter();
    topics
        .map(|topic| format!(", and topic {topic}, which stays until \"cdc-bench cleanup\""))
        .collect()
}

/// Spans below zero: a line for each that is no race, and one for all races.
fn causality(out: &mut String, label: &str, path: &PathReport) {
    for violation in path.causality.iter().filter(|violation| !violation.race) {
        let (hop, explanation) = (violation.hop.as_str(), &violation.explanation);
        let (within, beyond) = (violation.within_error, violation.beyond_error);
        let line = if violation.is_contradiction() {
            let text = format!(
                "{label}{hop}: {beyond} spans below zero by more than the clocks' error ({within} within it): {explanation}"
            );
            style(text).red()
        } else {
            style(format!("{label}{hop}: {within} spans below zero, all within the clocks' error: {explanation}")).dim()
        };
        line!(out, "{line}");
    }
    let races: Vec<_> = path
        .causality
        .iter()
        .filter(|violation| violation.race)
        .map(|violation| format!("{} {}", violation.hop.as_str(), violation.below_zero))
        .collect();
    if !races.is_empty() {
        let races = races.join(", ");
        line!(
            out,
            "{}",
            style(format!(
                "{label}races, either end of which may be first: {races}"
            ))
            .dim()
        );
    }
}

/// What a line is about, and of which path where there are several.
fn label(what: &str, path: &str, several: bool) -> String {
    if several {
        format!("{what:<14}{path:<10}")
    } else {
        format!("{what:<14}")
    }
}

/// What each worker did.
fn workers(out: &mut String, report: &Report) {
    if report.workers.is_empty() {
        return;
    }
    line!(out);
    let mut lines = worker_table::text(&report.workers).into_iter();
    line!(out, "{}", style(lines.next().unwrap_or_default()).bold());
    for row in lines {
        line!(out, "{row}");
    }
}

/// What each fault did to each path.
fn faults(out: &mut String, report: &Report) {
    if report.faults.is_empty() {
        return;
    }
    line!(out);
    let mut lines = fault_table::text(&report.faults).into_iter();
    line!(out, "{}", style(lines.next().unwrap_or_default()).bold());
    for row in lines {
        line!(out, "{row}");
    }
}

fn diagnosis(out: &mut String, report: &Report) {
    line!(out);
    let several = report.paths.len() > 1;
    for (name, path) in report.ordered_paths() {
        if let Some(found) = &path.diagnosis {
            slowest(out, &label("slowest hop", name, several), found);
        }
    }
    for (path, found) in report.findings() {
        if found.is_empty() {
            continue;
        }
        if let Some(path) = path {
            line!(out, "  {}", style(format!("{path}:")).bold());
        }
        findings(out, &found);
    }
    if report.diagnosis.findings.is_empty() && report.diagnosis.slowest_hop.is_some() {
        line!(out, "  nothing stands out");
    }
}

fn slowest(out: &mut String, label: &str, found: &Diagnosis) {
    let Some((hop, rest)) = figures::slowest(found) else {
        line!(out, "{label}no event came through");
        return;
    };
    line!(
        out,
        "{}{} {rest}",
        style(label).bold(),
        style(hop).yellow().bold()
    );
}

fn findings(out: &mut String, findings: &[&Finding]) {
    for finding in findings {
        let mark = match finding.severity {
            Severity::Critical => style("!").red().bold(),
            Severity::Warning => style("!").yellow(),
            Severity::Info => style("-").dim(),
        };
        line!(out, "  {mark} {}", finding.evidence);
        line!(out, "    {}", style(figures::advice(finding)).dim());
    }
}

fn objectives(out: &mut String, report: &Report) {
    line!(out);
    for objective in &report.objectives {
        let mark = if objective.met {
            style("met   ").green()
        } else {
            style("missed").red()
        };
        let measured = figures::measured(objective);
        line!(
            out,
            "{mark} {:<18} {:<16} {measured}",
            objective.name,
            objective.target
        );
    }
    line!(out);
    match report.verdict {
        Verdict::Pass => line!(out, "{}", style("PASS").green().bold()),
        Verdict::Fail => line!(out, "{}", style("FAIL").red().bold()),
    }
}
