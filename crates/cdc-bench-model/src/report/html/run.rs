//! The page of a run.

use askama::Template;

use super::PageError;
use super::finding::FindingView;
use super::pictures::{self, Distribution, IncidentKind, IncidentMark, TimedFootprint, Waterfall};
use super::plot::{Figure, FigureText};
use crate::analysis::{Digest, DigestedEvent, Finding, HopStatistics, PathDigest};
use crate::report::figures::{self, ms};
use crate::report::side_by_side::{self, SideBySideRow};
use crate::report::{ConnectorReport, PathReport, Report, Stored, Verdict};
use crate::report::{fault_table, partition_table, shard_table, worker_table};
use crate::timeline::{Hop, Stamp};

/// The page of a result. Without `events.jsonl` the page has no plots, and says so.
///
/// # Errors
/// When the events are there and cannot be read.
pub fn page(stored: &Stored) -> Result<String, PageError> {
    let mut digest = Digest::default();
    let events = stored.events()?;
    let has_events = events.is_some();
    for event in events.into_iter().flatten() {
        let event = event?;
        let travelled = DigestedEvent {
            id: event.id,
            event_type: event.event_type,
            t0: event.stamps.t0,
            t5: event.stamps.t5,
            hops: event.hops,
        };
        digest.record(&event.path, travelled);
    }
    Ok(RunPage::of(&stored.report, &digest, has_events).render()?)
}

#[derive(Template)]
#[template(path = "report.html")]
struct RunPage<'a> {
    report: &'a Report,
    passed: bool,
    headline: String,
    /// When it began, to the second.
    started: String,
    /// How many objectives were met, as a sentence.
    goals: String,
    rate: String,
    objectives: Vec<Goal<'a>>,
    paths: Vec<PathSection<'a>>,
    side_by_side: Option<SideBySide<'a>>,
    /// Processor time by what used it, for each path.
    cpu: Vec<(String, Vec<String>)>,
    shared_cpu: String,
    findings: Vec<FindingView<'a>>,
    /// Path, its slowest hop, and the text about it.
    slowest: Vec<(&'a str, String, String)>,
    incidents: Vec<IncidentView<'a>>,
    /// What each fault did to each path.
    faults: Vec<[String; fault_table::COLUMNS.len()]>,
    workers: Vec<[String; worker_table::COLUMNS.len()]>,
    /// Memory over time, with the text beneath it; then descriptors and threads.
    footprint: Vec<(Figure, &'static str)>,
    clocks: Vec<ClockView<'a>>,
    connector: Vec<(&'a str, &'a str)>,
    connector_profile: String,
    has_events: bool,
    version: &'static str,
}

struct Goal<'a> {
    name: &'a str,
    target: &'a str,
    measured: String,
    met: bool,
}

struct IncidentView<'a> {
    number: usize,
    sort: &'static str,
    at_s: String,
    what: &'a str,
}

struct ClockView<'a> {
    server: &'a str,
    offset: String,
    bound: String,
    drift: String,
    measurements: u64,
    method: &'a str,
}

/// One capture path.
struct PathSection<'a> {
    name: &'a str,
    /// Stages between which the hops lie; the first has no hop before it.
    first_stage: PathStage,
    way: Vec<(HopCard, PathStage)>,
    total: Option<HopRow>,
    rows: Vec<HopRow>,
    latency: Option<Figure>,
    percentiles: Option<Figure>,
    histograms: Vec<(&'static str, &'static str, Figure)>,
    throughput: Option<Figure>,
    waterfall: Vec<Waterfall>,
    /// The partitions of its topic, where it has several.
    partitions: Vec<[String; partition_table::COLUMNS.len()]>,
    /// The tables of the outbox, where it has several.
    shards: Vec<[String; shard_table::COLUMNS.len()]>,
    report: &'a PathReport,
}

struct PathStage {
    name: String,
    does: &'static str,
}

/// A hop between two stages.
struct HopCard {
    name: &'static str,
    p50: String,
    p99: String,
    share: String,
    /// Its part of the bar, percent.
    width: String,
    is_slowest: bool,
}

/// A line of a table of hops.
struct HopRow {
    name: &'static str,
    class: &'static str,
    span: &'static str,
    count: u64,
    figures: Vec<String>,
    p50: String,
    p99: String,
    bound: String,
    share: String,
}

/// The capture paths compared side by side.
struct SideBySide<'a> {
    names: Vec<&'a str>,
    /// The two paths of each ratio.
    ratios: Vec<String>,
    lines: Vec<SideBySideRow>,
    throughput: Vec<String>,
}

impl<'a> RunPage<'a> {
    fn of(report: &'a Report, digest: &Digest, has_events: bool) -> Self {
        let env = &report.environment;
        let origin = digest.origin();
        let marks = marks(report, origin);
        let connector = env.debezium.connector.as_ref();
        Self {
            report,
            passed: report.verdict == Verdict::Pass,
            headline: headline(report),
            started: figures::at(&report.run.started_at),
            goals: goals(report),
            rate: figures::rate(report.run.rate_per_s),
            objectives: report
                .objectives
                .iter()
                .map(|objective| Goal {
                    name: &objective.name,
                    target: &objective.target,
                    measured: figures::measured(objective),
                    met: objective.met,
                })
                .collect(),
            paths: report
                .ordered_paths()
                .enumerate()
                .map(|(n, (name, path))| {
                    path_section(n, report, name, path, digest.path(name), origin, &marks)
                })
                .collect(),
            side_by_side: (report.paths.len() > 1).then(|| side_by_side(report)),
            cpu: side_by_side::cpu(report),
            shared_cpu: side_by_side::shared_cpu(report),
            findings: findings(report),
            slowest: report
                .ordered_paths()
                .filter_map(|(name, path)| {
                    let found = path.diagnosis.as_ref().unwrap_or(&report.diagnosis);
                    let (hop, rest) = figures::slowest(found)?;
                    Some((name, hop.to_owned(), rest))
                })
                .collect(),
            incidents: report
                .incidents
                .iter()
                .zip(&marks)
                .map(|(incident, mark)| IncidentView {
                    number: mark.number,
                    sort: mark.sort.as_str(),
                    at_s: format!("{:.1}", mark.at_s),
                    what: &incident.what,
                })
                .collect(),
            faults: fault_table::rows(&report.faults),
            workers: worker_table::rows(&report.workers),
            footprint: footprint(report, origin),
            clocks: report
                .clocks
                .iter()
                .map(|clock| ClockView {
                    server: &clock.server,
                    offset: figures::signed_ms(clock.offset),
                    bound: ms(clock.error_bound),
                    drift: clock
                        .drift
                        .map_or_else(|| "measured once".to_owned(), figures::signed_ms),
                    measurements: clock.measurements,
                    method: &clock.method,
                })
                .collect(),
            connector: connector
                .into_iter()
                .flat_map(|c| c.config.iter())
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect(),
            connector_profile: connector
                .map_or_else(|| "as found".to_owned(), ConnectorReport::described),
            has_events,
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// The dead letters of a path by reason, and the topic that keeps them.
    fn dead_letters(&self, path: &PathReport) -> String {
        let counts = figures::by_reason(&path.dead_letters_by_reason);
        let topic = path.names.dead_letter_topic.iter();
        let topic = topic.map(|topic| format!("; topic {topic} keeps them"));
        counts + &topic.collect::<String>()
    }

    fn fault_columns(&self) -> &'static [&'static str] {
        &fault_table::COLUMNS
    }

    fn worker_columns(&self) -> &'static [&'static str] {
        &worker_table::COLUMNS
    }

    fn worker_caption(&self) -> &'static str {
        worker_table::CAPTION
    }

    fn partition_columns(&self) -> &'static [&'static str] {
        &partition_table::COLUMNS
    }

    fn partition_caption(&self) -> &'static str {
        partition_table::CAPTION
    }

    fn shard_columns(&self) -> &'static [&'static str] {
        &shard_table::COLUMNS
    }

    fn shard_caption(&self) -> &'static str {
        shard_table::CAPTION
    }

    fn fault_caption(&self) -> &'static str {
        fault_table::CAPTION
    }

    fn success(&self) -> String {
        let success = self.report.objectives.iter();
        success
            .filter(|o| o.name == "success_percent")
            .find_map(|o| o.measured)
            .map_or_else(|| "unknown".to_owned(), |percent| format!("{percent:.2} %"))
    }
}

/// The result as one sentence.
fn headline(report: &Report) -> String {
    let first = report.ordered_paths().next();
    let total = first.and_then(|(_, path)| path.hops.get(Hop::Total.as_str()));
    let Some(total) = total.filter(|total| total.count > 0) else {
        return "No event came through.".to_owned();
    };
    format!(
        "Half of the events were in the read model within {} ms of their INSERT, 99 of 100 within {} ms.",
        ms(total.p50),
        ms(total.p99)
    )
}

fn goals(report: &Report) -> String {
    let all = report.objectives.len();
    match report.objectives.iter().filter(|o| !o.met).count() {
        0 => format!("All {all} objectives met."),
        missed => format!("{missed} of {all} objectives missed."),
    }
}

/// Seconds from the first INSERT to a time.
fn seconds_since(origin: Stamp, at: jiff::Timestamp) -> f64 {
    let at = i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX);
    (Stamp(at) - origin).as_millis_f64() / 1e3
}

/// The plots of what this program and its servers took from the first INSERT on.
fn footprint(report: &Report, origin: Option<Stamp>) -> Vec<(Figure, &'static str)> {
    let Some(origin) = origin else {
        return Vec::new();
    };
    let samples = report.footprint.iter();
    let samples = samples.map(|sample| (seconds_since(origin, sample.at), sample));
    let samples: Vec<TimedFootprint<'_>> = samples.filter(|(at, _)| *at >= 0.0).collect();
    let memory = pictures::memory(&samples).map(|figure| {
        (
            figure,
            "Resident memory, MiB: this program (thick) and the servers that it started; what a server's processes share counts once.",
        )
    });
    let handles = pictures::handles(&samples).map(|figure| {
        (
            figure,
            "Open file descriptors (thick) and threads of this program.",
        )
    });
    memory.into_iter().chain(handles).collect()
}

/// Where the incidents lie on the time axis.
fn marks(report: &Report, origin: Option<Stamp>) -> Vec<IncidentMark> {
    let Some(origin) = origin else {
        return Vec::new();
    };
    report
        .incidents
        .iter()
        .enumerate()
        .map(|(n, incident)| IncidentMark {
            at_s: seconds_since(origin, incident.at),
            took_s: incident.took.map(|us| us as f64 / 1e6),
            number: n + 1,
            sort: IncidentKind::of(&incident.kind),
        })
        .collect()
}

fn findings(report: &Report) -> Vec<FindingView<'_>> {
    let about = |path: Option<&str>, finding: &Finding| {
        let hop = finding.hop.as_deref().unwrap_or("the run");
        path.map_or_else(|| hop.to_owned(), |path| format!("{path}: {hop}"))
    };
    let mut views = Vec::new();
    for (path, found) in report.findings() {
        let found = found.into_iter();
        views.extend(found.map(|finding| FindingView::new(about(path, finding), finding)));
    }
    views
}

fn path_section<'a>(
    n: usize,
    report: &'a Report,
    name: &'a str,
    path: &'a PathReport,
    digest: Option<&PathDigest>,
    origin: Option<Stamp>,
    marks: &[IncidentMark],
) -> PathSection<'a> {
    let get = |hop: Hop| path.hops.get(hop.as_str());
    let sum: i64 = Hop::PIPELINE
        .into_iter()
        .filter_map(|hop| Some(get(hop)?.p50.max(0)))
        .sum();
    let slowest = slowest(path);
    let mut rows = Vec::new();
    for hop in Hop::PIPELINE {
        let class = if Some(hop) == slowest { "lit" } else { "" };
        rows.extend(get(hop).map(|s| row(hop, class, s, sum)));
        for &part in hop.parts() {
            rows.extend(get(part).map(|s| row(part, "part", s, 0)));
        }
    }
    rows.extend(get(Hop::Total).map(|s| row(Hop::Total, "total", s, 0)));
    if let Some(s) = &path.total_from_schedule {
        rows.push(HopRow {
            name: "from schedule",
            span: "the total as seen by who waits from the scheduled time",
            ..row(Hop::Total, "part", s, 0)
        });
    }
    rows.extend(get(Hop::ScheduleLag).map(|s| row(Hop::ScheduleLag, "beside", s, 0)));
    let way = Hop::PIPELINE
        .into_iter()
        .filter_map(|hop| {
            let s = get(hop)?;
            let share = figures::share(s.p50, sum).unwrap_or(0.0);
            let card = HopCard {
                name: hop.as_str(),
                p50: figures::median(s),
                p99: ms(s.p99),
                share: figures::percent(share),
                width: format!("{:.2}", share * 100.0),
                is_slowest: Some(hop) == slowest,
            };
            Some((card, stage_after(hop, report)))
        })
        .collect();
    let id = |what: &str| format!("{what}-{n}");
    PathSection {
        name,
        first_stage: PathStage {
            name: "PostgreSQL".to_owned(),
            does: "INSERT sent",
        },
        way,
        total: get(Hop::Total).map(|s| row(Hop::Total, "total", s, 0)),
        rows,
        latency: digest.and_then(|d| pictures::latency_over_time(&id("latency"), d, marks)),
        percentiles: digest.and_then(|d| percentiles(&id("percentiles"), d)),
        histograms: digest.map_or_else(Vec::new, |d| {
            Hop::PIPELINE
                .into_iter()
                .chain([Hop::Total])
                .filter_map(|hop| {
                    let figure = pictures::histogram(&id(hop.as_str()), hop, d.hop(hop)?)?;
                    Some((hop.as_str(), figures::span(hop), figure))
                })
                .collect()
        }),
        throughput: digest.and_then(|d| {
            let average = path.throughput.average_per_s;
            pictures::throughput(&id("throughput"), d, average, marks)
        }),
        partitions: partition_table::rows(&path.partitions),
        shards: shard_table::rows(&path.shards),
        waterfall: digest
            .zip(origin)
            .map_or_else(Vec::new, |(d, origin)| pictures::waterfall(d, origin)),
        report: path,
    }
}

/// The pipeline hop with the largest median of one path.
fn slowest(path: &PathReport) -> Option<Hop> {
    Hop::PIPELINE
        .into_iter()
        .filter(|hop| path.hops.get(hop.as_str()).is_some_and(|s| s.count > 0))
        .max_by_key(|hop| path.hops.get(hop.as_str()).map(|s| s.p50))
}

fn stage_after(hop: Hop, report: &Report) -> PathStage {
    let (name, does) = match hop {
        Hop::Capture => ("WAL", "row decoded"),
        Hop::KafkaDelivery => ("Kafka", "record in the log"),
        Hop::ConsumerLag => ("Consumer", "record received"),
        _ => (
            report.environment.store.name.as_str(),
            "document acknowledged",
        ),
    };
    PathStage {
        name: name.to_owned(),
        does,
    }
}

fn row(hop: Hop, class: &'static str, s: &HopStatistics, sum: i64) -> HopRow {
    HopRow {
        name: hop.as_str(),
        class,
        span: figures::span(hop),
        count: s.count,
        figures: figures::distribution(s),
        p50: figures::median(s),
        p99: ms(s.p99),
        bound: figures::bound(s),
        share: figures::share(s.p50, sum).map_or_else(String::new, figures::percent),
    }
}

fn percentiles(id: &str, digest: &PathDigest) -> Option<Figure> {
    let hops = Hop::PIPELINE.into_iter().chain([Hop::Total]);
    let distributions: Vec<_> = hops
        .filter_map(|hop| {
            Some(Distribution {
                name: hop.as_str().to_owned(),
                class: hop.as_str().to_owned(),
                spans: digest.hop(hop)?,
            })
        })
        .collect();
    let text = FigureText {
        id,
        title: "Latency by percentile",
        description: "For each hop and the total, the time that a share of the events stayed below, from 0 % to the slowest event; both axes are logarithmic, each nine of the percentile has the same room. The table of hops has the figures.",
    };
    pictures::percentiles(text, 360.0, &distributions)
}

/// Quantiles of each span for every path, and how many times each of the others the first takes.
fn side_by_side(report: &Report) -> SideBySide<'_> {
    let names: Vec<&str> = report.ordered_paths().map(|(name, _)| name).collect();
    let ratios = names[1..]
        .iter()
        .map(|other| format!("{} / {other}", names[0]))
        .collect();
    let throughput = report.ordered_paths();
    SideBySide {
        ratios,
        lines: side_by_side::lines(report),
        throughput: throughput
            .map(|(_, path)| path.throughput.average_per_s.to_string())
            .collect(),
        names,
    }
}
