//! The page of an observation.

use askama::Template;

use super::PageError;
use super::finding::FindingView;
use super::pictures::{self, Distribution};
use super::plot::{Figure, FigureText};
use crate::analysis::{HopStatistics, SignedHistogram};
use crate::observation::ObservedHop;
use crate::report::figures::{self, ms};
use crate::report::observation::{ObservedSeries, series_of};
use crate::report::{
    CANARY, CostReport, ObservationReport, ObservedPath, StoredObservation, Verdict,
};
use crate::timeline::Nanos;

/// The page of an observation. Without `latency.hlog` the page has no plots, and says so.
///
/// # Errors
/// When the log is there and cannot be read.
pub fn observation_page(stored: &StoredObservation) -> Result<String, PageError> {
    let series = series_of(stored.path())?;
    Ok(ObservationPage::of(&stored.report, series.as_ref()).render()?)
}

#[derive(Template)]
#[template(path = "observation.html")]
struct ObservationPage<'a> {
    report: &'a ObservationReport,
    passed: bool,
    headline: String,
    started: String,
    /// The share that was followed, where it is not all.
    sampled: Option<String>,
    goals: Vec<Goal<'a>>,
    way: Vec<(HopCard, Stage)>,
    rows: Vec<HopRow>,
    findings: Vec<FindingView<'a>>,
    /// The canary's hops, and what became of it.
    canary: Option<(String, Vec<HopRow>)>,
    cost: Option<String>,
    latency: Option<Figure>,
    medians: Option<Figure>,
    throughput: Option<Figure>,
    percentiles: Option<Figure>,
    has_log: bool,
    tables: Vec<TableRow<'a>>,
    counts: Vec<(&'static str, u64)>,
    clocks: Vec<(&'a str, String, String, &'a str)>,
    poll_ms: String,
    version: &'static str,
}

struct Goal<'a> {
    name: &'a str,
    target: &'a str,
    measured: String,
    met: bool,
}

/// A hop between two stages.
struct HopCard {
    name: &'static str,
    class: &'static str,
    p50: String,
    p99: String,
    share: String,
    /// Its part of the bar, percent.
    width: String,
    is_slowest: bool,
}

struct Stage {
    name: String,
    does: &'static str,
}

struct HopRow {
    name: &'static str,
    class: &'static str,
    count: u64,
    figures: Vec<String>,
    bound: String,
    span: &'static str,
}

struct TableRow<'a> {
    name: &'a str,
    figures: Vec<String>,
}

impl<'a> ObservationPage<'a> {
    fn of(report: &'a ObservationReport, series: Option<&ObservedSeries>) -> Self {
        let nothing = ObservedPath::default();
        let path = report.observed().unwrap_or(&nothing);
        let rows = ObservedHop::ALL.into_iter();
        let tables = report.tables.iter();
        Self {
            report,
            passed: report.verdict == Verdict::Pass,
            headline: headline(report, path),
            started: figures::at(&report.run.started_at),
            sampled: (report.sampled_share < 1.0)
                .then(|| format!("{:.1} %", report.sampled_share * 100.0)),
            goals: report.objectives.iter().map(goal).collect(),
            way: way(report, path),
            rows: rows.filter_map(|hop| row(report, path, hop)).collect(),
            findings: findings(report),
            canary: canary(report),
            cost: report.cost.as_ref().map(CostReport::describe),
            latency: series.and_then(|series| pictures::observed_latency("latency", series)),
            medians: series.and_then(|series| pictures::observed_medians("medians", series)),
            throughput: series.and_then(|series| pictures::observed_rate("throughput", series)),
            percentiles: series.and_then(percentiles),
            has_log: series.is_some(),
            tables: tables.map(|(name, path)| table_row(name, path)).collect(),
            counts: counts(report),
            clocks: report
                .clocks
                .iter()
                .map(|clock| {
                    let offset = figures::signed_ms(clock.offset);
                    let bound = ms(clock.error_bound);
                    (&*clock.server, offset, bound, &*clock.method)
                })
                .collect(),
            poll_ms: ms(report.pipeline.poll_interval),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

fn findings(report: &ObservationReport) -> Vec<FindingView<'_>> {
    let findings = report.diagnosis.findings.iter();
    findings
        .map(|finding| {
            let about = finding.hop.as_deref().unwrap_or("the pipeline");
            FindingView::new(about.to_owned(), finding)
        })
        .collect()
}

fn canary(report: &ObservationReport) -> Option<(String, Vec<HopRow>)> {
    let canary = report.canary.as_ref()?;
    let said = format!(
        "{}: {} sent, {} refused, {} followed to their end, {} missing. They are in no other figure of this page.",
        canary.target, canary.sent, canary.refused, canary.followed, canary.missing
    );
    let path = report.paths.get(CANARY)?;
    let hops = ObservedHop::ALL.into_iter();
    let rows = hops.filter_map(|hop| row(report, path, hop)).collect();
    Some((said, rows))
}

fn goal(objective: &crate::analysis::Objective) -> Goal<'_> {
    Goal {
        name: &objective.name,
        target: &objective.target,
        measured: figures::measured(objective),
        met: objective.met,
    }
}

/// The result as one sentence.
fn headline(report: &ObservationReport, path: &ObservedPath) -> String {
    let Some(total) = path.hops.get(ObservedHop::Total.as_str()) else {
        return "No change came to its end.".to_owned();
    };
    let end = match (&report.pipeline.sink, &report.pipeline.group) {
        (Some(_), _) => "shown by the sink",
        (None, Some(_)) => "committed by the group",
        (None, None) => "in Kafka",
    };
    format!(
        "Half of the changes were {end} within {} ms of their commit, 99 of 100 within {} ms.",
        ms(total.p50),
        ms(total.p99)
    )
}

fn way(report: &ObservationReport, path: &ObservedPath) -> Vec<(HopCard, Stage)> {
    let hops = ObservedHop::PIPELINE.into_iter();
    let known: Vec<_> = hops
        .filter_map(|hop| Some((hop, path.hops.get(hop.as_str())?)))
        .collect();
    let sum = known.iter().map(|(_, hop)| hop.mean.max(0)).sum();
    let slowest = report.diagnosis.slowest_hop.as_deref();
    let card = |(hop, statistics): (ObservedHop, &HopStatistics)| {
        let share = figures::share(statistics.mean, sum).unwrap_or(0.0);
        let card = HopCard {
            name: hop.as_str(),
            class: pictures::hop_class(hop.as_str()),
            p50: figures::median(statistics),
            p99: ms(statistics.p99),
            share: figures::percent(share),
            width: format!("{:.2}", share * 100.0),
            is_slowest: slowest == Some(hop.as_str()),
        };
        (card, stage_after(hop, report))
    };
    known.into_iter().map(card).collect()
}

fn stage_after(hop: ObservedHop, report: &ObservationReport) -> Stage {
    let (name, does) = match (hop, &report.pipeline.sink, &report.pipeline.group) {
        (ObservedHop::Debezium, ..) => ("Debezium", "change handed on"),
        (ObservedHop::Produce, ..) => ("Kafka", "record in the log"),
        (_, Some(sink), _) => (server(sink), "change shown"),
        (_, None, Some(group)) => (group.as_str(), "offset committed"),
        (_, None, None) => ("Kafka", "record in the log"),
    };
    Stage {
        name: name.to_owned(),
        does,
    }
}

/// The server's name and version, without its address.
fn server(sink: &str) -> &str {
    let name = sink.split(" at ").next().unwrap_or(sink);
    name.split(',').next().unwrap_or(name)
}

fn row(report: &ObservationReport, path: &ObservedPath, hop: ObservedHop) -> Option<HopRow> {
    let s = path.hops.get(hop.as_str())?;
    Some(HopRow {
        name: hop.as_str(),
        class: match hop {
            ObservedHop::Total => "total",
            ObservedHop::Capture | ObservedHop::Deliver => "beside",
            _ if report.diagnosis.slowest_hop.as_deref() == Some(hop.as_str()) => "lit",
            _ => "",
        },
        count: s.count,
        figures: figures::distribution(s),
        bound: figures::bound(s),
        span: hop.span(),
    })
}

fn table_row<'a>(name: &'a str, path: &ObservedPath) -> TableRow<'a> {
    let total = path.hops.get(ObservedHop::Total.as_str());
    let mut row = match total {
        Some(s) => vec![
            s.count.to_string(),
            figures::median(s),
            ms(s.p95),
            ms(s.p99),
            ms(s.max),
        ],
        None => vec!["–".to_owned(); 5],
    };
    row.extend(ObservedHop::PIPELINE.into_iter().map(|hop| {
        let known = path.hops.get(hop.as_str());
        known.map_or("–".to_owned(), figures::median)
    }));
    TableRow { name, figures: row }
}

fn counts(report: &ObservationReport) -> Vec<(&'static str, u64)> {
    let counts = &report.counts;
    let all = [
        ("in the WAL", counts.captured),
        ("in Kafka", counts.in_kafka),
        ("followed to their end", counts.completed),
        ("still under way at the end", counts.in_flight),
        ("missing", counts.missing),
        ("duplicates", counts.duplicates),
        ("merged by the sink into a later write", counts.coalesced),
        (
            "updates that the sink showed no write for",
            counts.not_shown,
        ),
        ("filtered on purpose", counts.filtered.total()),
        ("of before the observation", counts.not_covered),
        ("writes in the sink of no change seen", counts.sink_only),
        ("unreadable records", counts.unreadable),
        (
            "spans below zero beyond the clocks’ error",
            counts.negative_hops,
        ),
    ];
    let matters = |(place, (_, count)): &(usize, (&str, u64))| *place < 6 || *count > 0;
    let kept = all.into_iter().enumerate().filter(matters);
    let said = report.application.iter().flat_map(|application| {
        let lines = &application.lines;
        [
            ("lines of the application", lines.read),
            ("of them, those with a change", lines.joined),
            ("changes without such a line", lines.without_line),
        ]
    });
    kept.map(|(_, count)| count).chain(said).collect()
}

fn percentiles(series: &ObservedSeries) -> Option<Figure> {
    let spans: Vec<_> = series
        .hops
        .iter()
        .map(|(name, histogram)| {
            let mut spans = SignedHistogram::default();
            for step in histogram.iter_recorded() {
                let micros = i64::try_from(step.value_iterated_to()).unwrap_or(i64::MAX);
                spans.record_many(Nanos::from_micros(micros), step.count_at_value());
            }
            (name, spans)
        })
        .collect();
    let distributions: Vec<_> = spans
        .iter()
        .map(|(name, spans)| Distribution {
            name: (*name).clone(),
            class: pictures::hop_class(name).to_owned(),
            spans,
        })
        .collect();
    let text = FigureText {
        id: "percentiles",
        title: "Latency by percentile",
        description: "For each hop and the total, the time that a share of the changes stayed below, from 0 % to the slowest change; both axes are logarithmic, each nine of the percentile has the same room. The table of hops has the figures.",
    };
    pictures::percentiles(text, 360.0, &distributions)
}
