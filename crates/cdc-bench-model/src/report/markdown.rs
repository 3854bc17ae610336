//! A result as Markdown, for a comment on a pull request: the verdict first, the details folded.

use super::fault_table;
use super::figures::{self, ms};
use super::line::line;
use super::partition_table;
use super::shard_table;
use super::side_by_side;
use super::worker_table;
use super::{PathReport, Report, Verdict};
use crate::analysis::Objective;
use crate::timeline::Hop;

/// The report as Markdown (GitHub's, GitLab's).
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut out = String::new();
    headline(&mut out, report);
    for (name, path) in report.ordered_paths() {
        hops(&mut out, report, name, path);
    }
    side_by_side(&mut out, report);
    workers(&mut out, report);
    faults(&mut out, report);
    findings(&mut out, report);
    details(&mut out, report);
    out
}

fn headline(out: &mut String, report: &Report) {
    let run = &report.run;
    let verdict = match report.verdict {
        Verdict::Pass => "✅ PASS",
        Verdict::Fail => "❌ FAIL",
    };
    line!(out, "### cdc-bench: {verdict}");
    line!(out);
    line!(
        out,
        "{} events at {}, {} capture, {} stack; {} lost, {} duplicates, {} errors",
        run.events,
        figures::rate(run.rate_per_s),
        run.capture,
        run.stack,
        report.counts.lost,
        report.counts.duplicates,
        report.counts.errors
    );
    line!(out);
    objectives(out, &report.objectives);
}

/// The objectives, a row each.
pub(super) fn objectives(out: &mut String, objectives: &[Objective]) {
    line!(out, "| objective | target | measured | |");
    line!(out, "| --- | --- | ---: | --- |");
    for objective in objectives {
        line!(
            out,
            "| {} | {} | {} | {} {} |",
            objective.name,
            escaped(&objective.target),
            figures::measured(objective),
            if objective.met { "✅" } else { "❌" },
            figures::met(objective)
        );
    }
}

fn hops(out: &mut String, report: &Report, name: &str, path: &PathReport) {
    line!(out);
    if report.paths.len() > 1 {
        line!(out, "**{name}**");
        line!(out);
    }
    let get = |hop: Hop| path.hops.get(hop.as_str());
    let sum: i64 = Hop::PIPELINE
        .into_iter()
        .filter_map(|hop| Some(get(hop)?.p50.max(0)))
        .sum();
    let diagnosis = path.diagnosis.as_ref().unwrap_or(&report.diagnosis);
    let slowest = diagnosis.slowest_hop.as_deref();
    line!(
        out,
        "| hop (ms) | count | p50 | p95 | p99 | max | ± | share |"
    );
    line!(
        out,
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    );
    for hop in Hop::PIPELINE.into_iter().chain([Hop::Total]) {
        let Some(s) = get(hop) else { continue };
        let is_lit = hop == Hop::Total || slowest == Some(hop.as_str());
        let name = if is_lit {
            format!("**{}**", hop.as_str())
        } else {
            hop.as_str().to_owned()
        };
        let share = figures::share(s.p50, sum)
            .filter(|_| hop != Hop::Total)
            .map_or_else(String::new, figures::percent);
        line!(
            out,
            "| {name} | {} | {} | {} | {} | {} | {} | {share} |",
            s.count,
            figures::median(s),
            ms(s.p95),
            ms(s.p99),
            ms(s.max),
            figures::bound(s)
        );
    }
    partitions(out, path);
    shards(out, path);
}

/// The partitions of a path's topic, where it has several.
fn partitions(out: &mut String, path: &PathReport) {
    if path.partitions.is_empty() {
        return;
    }
    line!(out);
    line!(out, "| {} |", partition_table::COLUMNS.join(" | "));
    line!(out, "|{}", " ---: |".repeat(partition_table::COLUMNS.len()));
    for row in partition_table::rows(&path.partitions) {
        line!(out, "| {} |", row.join(" | "));
    }
}

/// The tables of the outbox, where it has several.
fn shards(out: &mut String, path: &PathReport) {
    if path.shards.is_empty() {
        return;
    }
    line!(out);
    line!(out, "| {} |", shard_table::COLUMNS.join(" | "));
    line!(out, "|{}", " ---: |".repeat(shard_table::COLUMNS.len()));
    for row in shard_table::rows(&path.shards) {
        line!(out, "| {} |", row.join(" | "));
    }
}

/// What each worker did.
fn workers(out: &mut String, report: &Report) {
    if report.workers.is_empty() {
        return;
    }
    line!(out);
    line!(out, "| {} |", worker_table::COLUMNS.join(" | "));
    let figures = worker_table::COLUMNS.len() - worker_table::FIGURES;
    let left = " --- |".repeat(worker_table::FIGURES);
    line!(out, "|{left}{}", " ---: |".repeat(figures));
    for row in worker_table::rows(&report.workers) {
        line!(out, "| {} |", row.map(|cell| escaped(&cell)).join(" | "));
    }
}

/// What each fault did to each path.
fn faults(out: &mut String, report: &Report) {
    if report.faults.is_empty() {
        return;
    }
    line!(out);
    line!(out, "| {} |", fault_table::COLUMNS.join(" | "));
    let figures = fault_table::COLUMNS.len() - 2;
    line!(out, "| --- | --- |{}", " ---: |".repeat(figures));
    for row in fault_table::rows(&report.faults) {
        line!(out, "| {} |", row.map(|cell| escaped(&cell)).join(" | "));
    }
}

/// Several paths beside each other, at the quantiles that are talked of.
fn side_by_side(out: &mut String, report: &Report) {
    let names: Vec<&str> = report.ordered_paths().map(|(name, _)| name).collect();
    let lines = side_by_side::lines(report);
    let Some((first, others)) = names.split_first().filter(|_| !lines.is_empty()) else {
        return;
    };
    let ratios: Vec<_> = others
        .iter()
        .map(|other| format!("{first}/{other}"))
        .collect();
    line!(out);
    line!(
        out,
        "| ms | | {} | {} |",
        names.join(" | "),
        ratios.join(" | ")
    );
    line!(
        out,
        "| --- | --- |{}",
        " ---: |".repeat(names.len() + ratios.len())
    );
    for line in lines
        .iter()
        .filter(|line| ["p50", "p99"].contains(&line.quantile))
    {
        line!(
            out,
            "| {} | {} | {} | {} |",
            line.label,
            line.quantile,
            line.figures.join(" | "),
            line.ratios.join(" | ")
        );
    }
}

fn findings(out: &mut String, report: &Report) {
    line!(out);
    match figures::slowest(&report.diagnosis) {
        Some((hop, rest)) => line!(out, "Slowest hop: **{hop}** {rest}."),
        None => line!(out, "No event came through."),
    }
    for (path, found) in report.findings() {
        if !found.is_empty() {
            line!(out);
        }
        for finding in found {
            line!(
                out,
                "- {}{}. *{}*",
                path.map_or_else(String::new, |path| format!("**{path}**: ")),
                escaped(&finding.evidence),
                escaped(&figures::advice(finding))
            );
        }
    }
}

fn details(out: &mut String, report: &Report) {
    let env = &report.environment;
    let known = |version: &Option<String>| {
        version
            .clone()
            .unwrap_or_else(|| "(version unknown)".to_owned())
    };
    line!(out);
    line!(
        out,
        "<details><summary>Measured on, and how sure it is</summary>"
    );
    line!(out);
    line!(
        out,
        "- PostgreSQL {} → Debezium {} → Kafka {} → {} {} ({})",
        env.postgres.version,
        known(&env.debezium.version),
        known(&env.kafka.version),
        env.store.name,
        env.store.version,
        env.store.write_concern
    );
    if let Some(connector) = &env.debezium.connector {
        let profile = connector.described();
        line!(out, "- connector `{}` ({profile})", connector.name);
    }
    let host = &env.host;
    line!(
        out,
        "- {} cores, {} {}{}; build {}",
        host.cores,
        host.os,
        host.arch,
        host.cpu
            .as_ref()
            .map_or_else(String::new, |cpu| format!(", {}", escaped(cpu))),
        env.build.get("profile").map_or("unknown", String::as_str)
    );
    for clock in &report.clocks {
        line!(
            out,
            "- clock of {}: {} ms off ours, ±{} ms",
            clock.server,
            ms(clock.offset),
            ms(clock.error_bound)
        );
    }
    if let Some(v) = &report.verification {
        line!(
            out,
            "- verification: {} rows, {} documents, {} % match",
            v.postgres_count,
            v.store_count,
            v.match_percent
        );
    }
    line!(
        out,
        "- run `{}`, {} to {}",
        report.run.id,
        figures::at(&report.run.started_at),
        figures::at(&report.run.finished_at)
    );
    line!(out);
    line!(out, "</details>");
}

/// Text that Markdown must not take for markup.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '|' | '*' | '_' | '<' | '`' | '[' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
