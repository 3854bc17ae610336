//! The summary of an observation on the terminal.

use console::style;

use super::{ApplicationReport, CANARY, CanaryReport, ObservationReport, ObservedPath};
use crate::analysis::{HopStatistics, Severity};
use crate::observation::{LineCounts, ObservedHop};
use crate::report::line::line;
use crate::report::{Verdict, figures};
use crate::timeline::Nanos;

/// The report as text. Colours follow the terminal.
#[must_use]
pub fn render_observation(report: &ObservationReport) -> String {
    let mut out = String::new();
    headline(&mut out, report);
    if let Some(path) = report.observed() {
        table(&mut out, path);
    }
    if let Some(application) = &report.application {
        application_line(&mut out, application);
    }
    if let Some(canary) = &report.canary {
        canary_section(&mut out, canary, report.paths.get(CANARY));
    }
    if report.tables.len() > 1 {
        by_table(&mut out, report);
    }
    counts(&mut out, report);
    clocks(&mut out, report);
    verdict(&mut out, report);
    out
}

fn headline(out: &mut String, report: &ObservationReport) {
    let pipeline = &report.pipeline;
    line!(out);
    line!(
        out,
        "{}  {:.0} s observed",
        style(format!("Observation {}", report.run.id)).bold(),
        report.run.duration_s
    );
    let connector = pipeline.connector.as_deref();
    let connector = connector.unwrap_or("(connector unknown)");
    let mut parts = vec![pipeline.source.clone(), connector.to_owned()];
    parts.push(match &pipeline.topics[..] {
        [topic] => topic.name.clone(),
        topics => format!("{} topics", topics.len()),
    });
    parts.extend(
        pipeline
            .group
            .as_ref()
            .map(|group| format!("group {group}")),
    );
    parts.extend(pipeline.sink.clone());
    line!(out, "{}", style(parts.join(" -> ")).dim());
    line!(out);
}

fn table(out: &mut String, path: &ObservedPath) {
    let width = path.hops.keys().map(String::len).max().unwrap_or(0).max(10);
    line!(
        out,
        "{}",
        style(format!(
            "{:<width$} {:>9} {:>9} {:>9} {:>9} {:>9}  {}",
            "ms", "p50", "p95", "p99", "max", "±", "from - to"
        ))
        .bold()
    );
    for hop in ObservedHop::ALL {
        let Some(statistics) = path.hops.get(hop.as_str()) else {
            continue;
        };
        let row = row(hop.as_str(), width, statistics);
        line!(out, "{row}  {}", hop.span());
        let is_blurred = statistics
            .error_bound
            .is_some_and(|bound| bound > statistics.p50.abs());
        if is_blurred {
            line!(
                out,
                "{}",
                style(format!(
                    "{:<width$} is shorter than what the clocks allow to tell: read it as \"below the bound\"",
                    ""
                ))
                .yellow()
            );
        }
    }
    line!(out);
}

fn application_line(out: &mut String, application: &ApplicationReport) {
    let lines = &application.lines;
    let joined = format!(
        "Application, {}: {} lines, {} of a change; {} without one, {} changes without a line",
        application.source, lines.read, lines.joined, lines.without_change, lines.without_line
    );
    let not_read = lines.unreadable + lines.other_tables + lines.not_kept;
    if not_read > 0 {
        line!(out, "{joined}; {not_read} not read or not kept");
    } else {
        line!(out, "{joined}");
    }
    line!(out);
}

fn canary_section(out: &mut String, canary: &CanaryReport, path: Option<&ObservedPath>) {
    let interval = Nanos::from_micros(canary.interval).as_millis_f64();
    line!(
        out,
        "Canary {}, every {interval:.0} ms: {} sent, {} refused, {} followed to their end, {} missing",
        style(&canary.target).bold(),
        canary.sent,
        canary.refused,
        canary.followed,
        canary.missing
    );
    if let Some(reason) = &canary.refusal {
        line!(out, "{}", style(format!("refused: {reason}")).yellow());
    }
    if let Some(path) = path.filter(|path| !path.hops.is_empty()) {
        table(out, path);
    } else {
        line!(out);
    }
}

fn row(name: &str, width: usize, statistics: &HopStatistics) -> String {
    let ms = |us: i64| format!("{:.2}", Nanos::from_micros(us).as_millis_f64());
    let bound = statistics.error_bound.map_or("?".to_owned(), ms);
    format!(
        "{name:<width$} {:>9} {:>9} {:>9} {:>9} {bound:>9}",
        ms(statistics.p50),
        ms(statistics.p95),
        ms(statistics.p99),
        ms(statistics.max)
    )
}

fn by_table(out: &mut String, report: &ObservationReport) {
    let width = report.tables.keys().map(String::len).max().unwrap_or(0);
    for (name, path) in &report.tables {
        if let Some(total) = path.hops.get(ObservedHop::Total.as_str()) {
            let ms = |us: i64| Nanos::from_micros(us).as_millis_f64();
            line!(
                out,
                "{name:<width$}  {:>9} changes, total p50 {:.2} ms, p99 {:.2} ms",
                total.count,
                ms(total.p50),
                ms(total.p99)
            );
        }
    }
    line!(out);
}

fn counts(out: &mut String, report: &ObservationReport) {
    let counts = &report.counts;
    line!(
        out,
        "{} changes in the WAL, {} records in Kafka, {} followed to their end, {} still under way; {} missing, {} duplicates",
        counts.captured,
        counts.in_kafka,
        counts.completed,
        counts.in_flight,
        counts.missing,
        counts.duplicates
    );
    if report.sampled_share < 1.0 {
        line!(
            out,
            "A sample: {:.1} % of the changes were followed, chosen by a hash of their LSN.",
            report.sampled_share * 100.0
        );
    }
    for (count, what) in [
        (
            counts.coalesced,
            "merged by the sink into a later write of the row",
        ),
        (
            counts.not_shown,
            "updates that the group has passed and for which the sink showed no write: they changed nothing there, or were lost",
        ),
        (counts.filtered.total(), "filtered on purpose"),
        (
            counts.not_covered,
            "records of changes from before the observation, or while the WAL was not read",
        ),
        (counts.sink_only, "writes in the sink of no change seen"),
        (
            counts.unreadable,
            "records that could not be read; unreadable.jsonl has topic, partition, offset and reason of each",
        ),
        (
            counts.unread,
            "changes without a record, which may be among the unreadable ones",
        ),
    ] {
        if count > 0 {
            line!(out, "{count:>8} {what}");
        }
    }
    if let Some(lines) = &counts.lines {
        self::lines(out, lines);
    }
    for incident in &report.incidents {
        line!(out, "{} {}", style(&incident.at).dim(), incident.what);
    }
}

fn lines(out: &mut String, lines: &LineCounts) {
    for (count, what) in [
        (lines.read, "lines of your consumer"),
        (lines.errors, "of them with an error in place of a write"),
        (lines.unreadable, "lines that could not be read"),
        (lines.other_topics, "lines of topics that are not observed"),
        (
            lines.not_kept,
            "lines that came long before their records, and could not be kept",
        ),
    ] {
        if count > 0 {
            line!(out, "{count:>8} {what}");
        }
    }
}

fn clocks(out: &mut String, report: &ObservationReport) {
    for clock in &report.clocks {
        line!(
            out,
            "{}",
            style(format!(
                "clock of {}: {:+.3} ms against ours, ± {:.3} ms; {}",
                clock.server,
                Nanos::from_micros(clock.offset).as_millis_f64(),
                Nanos::from_micros(clock.error_bound).as_millis_f64(),
                clock.method
            ))
            .dim()
        );
    }
}

fn verdict(out: &mut String, report: &ObservationReport) {
    line!(out);
    if let Some(hop) = &report.diagnosis.slowest_hop {
        line!(
            out,
            "Slowest hop: {}, {:.0} % of the total",
            style(hop).bold(),
            report.diagnosis.share_of_total * 100.0
        );
    }
    for finding in &report.diagnosis.findings {
        let mark = match finding.severity {
            Severity::Critical => style("!").red().bold(),
            Severity::Warning => style("!").yellow(),
            Severity::Info => style("-").dim(),
        };
        line!(out, "  {mark} {}", finding.evidence);
        line!(out, "    {}", style(figures::advice(finding)).dim());
    }
    if let Some(cost) = &report.cost {
        line!(out, "{}", style(cost.describe()).dim());
    }
    for objective in &report.objectives {
        let measured = objective
            .measured
            .map_or("none".to_owned(), |m| m.to_string());
        let mark = if objective.met { "met" } else { "missed" };
        line!(
            out,
            "{} {}: {measured}, {mark}",
            objective.name,
            objective.target
        );
    }
    if report.verdict == Verdict::Fail && report.missing > 0 {
        line!(
            out,
            "{}",
            style(format!(
                "missing changes: {}; missing.jsonl has table, key and LSN of each",
                report.missing
            ))
            .red()
        );
    }
}
