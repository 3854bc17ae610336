//! A sweep: the same load at rising rates, path by path, and what is read off the curve.

mod text;

use std::fmt;

use serde::Serialize;

use super::figures::{self, ms};
use super::{Environment, PathReport, Report};
use crate::analysis::{AchievedRate, HopStatistics, Objective, knee};
use crate::timeline::{CapturePath, Hop};

pub use text::render_sweep;

/// The schema's name and number.
pub const SCHEMA: &str = "cdc-bench/sweep/1";
/// A path that reaches less than this part of a rate is far past saturation: higher ones would only take longer.
const FAR_PAST: f64 = 0.8;
/// INSERTs that are this late at p99 were not on their schedule any more.
const LATE_US: i64 = 100_000;

/// A sweep. Durations are whole microseconds unless the name says otherwise.
#[derive(Debug, Clone, Serialize)]
pub struct SweepReport {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Its name, and its folder's.
    pub id: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC.
    pub finished_at: String,
    /// `local`, `compose` or `external`.
    pub stack: String,
    /// How much each step is given: such as `10 s` or `2000 events`.
    pub step: String,
    /// Events before those of each step, not counted.
    pub warmup_events: u64,
    /// Rows a transaction.
    pub insert_batch: usize,
    /// Connections of the load generator.
    pub connections: usize,
    /// Outbox tables.
    pub shards: u8,
    /// Seed of the events.
    pub seed: u64,
    /// What was measured, and on what; of the first step.
    pub environment: Option<Environment>,
    /// By capture path, in the order they were asked for.
    pub paths: Vec<PathSweep>,
    /// Why it ended before its last step, where it did.
    pub ended_early: Option<String>,
}

impl SweepReport {
    /// Whether every event of every step arrived, and as it was.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.paths
            .iter()
            .flat_map(|path| &path.steps)
            .all(|step| step.is_clean)
    }
}

/// One capture path at every rate.
#[derive(Debug, Clone, Serialize)]
pub struct PathSweep {
    /// Which.
    pub path: CapturePath,
    /// In ascending order of rate, `max` last.
    pub steps: Vec<Step>,
    /// Highest rate at which all objectives were met; `null` where none was.
    pub highest_rate_per_s: Option<f64>,
    /// Events a second into the store where INSERTs came as fast as they go; `null` where `max` was not tried.
    pub saturation_per_s: Option<f64>,
    /// The last rate before latency takes off.
    pub knee: Option<KneeReport>,
    /// Why there is none.
    pub no_knee: Option<String>,
    /// Rates that were not tried, because a lower one was far past saturation already.
    pub left_out: Vec<f64>,
}

/// The knee of p99 against rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct KneeReport {
    /// The rate of the step it is at.
    pub rate_per_s: f64,
    /// The total's 99th percentile there.
    pub p99: i64,
    /// The next rate that was tried: the knee may lie anywhere up to it.
    pub next_rate_per_s: Option<f64>,
    /// How far the curve lies below its chord there, both axes logarithmic and scaled to 1.
    pub bend: f64,
}

impl PathSweep {
    /// A path of which nothing is known yet.
    #[must_use]
    pub fn new(path: CapturePath) -> Self {
        Self {
            path,
            steps: Vec::new(),
            highest_rate_per_s: None,
            saturation_per_s: None,
            knee: None,
            no_knee: None,
            left_out: Vec::new(),
        }
    }

    /// Whether higher rates need no measurement.
    #[must_use]
    pub fn is_far_past_saturation(&self) -> bool {
        let numbered = self.steps.iter().rev().find_map(|step| {
            let offered = step.offered_per_s?;
            Some(step.achieved_per_s.unwrap_or(0.0) < offered * FAR_PAST)
        });
        numbered.unwrap_or(false)
    }

    /// Adds a step, and reads off the curve what there is now.
    pub fn add(&mut self, step: Step) {
        if step.offered_per_s.is_none() {
            self.saturation_per_s = step.achieved_per_s;
        }
        self.steps.push(step);
        self.highest_rate_per_s = self
            .numbered()
            .filter(|(_, step)| step.holds())
            .map(|(rate, _)| rate)
            .reduce(f64::max);
        let curve: Vec<(f64, &Step, &HopStatistics)> = self
            .numbered()
            .filter_map(|(rate, step)| Some((rate, step, step.total.as_ref()?)))
            .filter(|(.., total)| total.p99 > 0)
            .collect();
        #[allow(clippy::cast_precision_loss)] // microseconds far below 2^53
        let points: Vec<(f64, f64)> = curve
            .iter()
            .map(|(rate, _, total)| (*rate, total.p99 as f64))
            .collect();
        (self.knee, self.no_knee) = match knee(&points) {
            Ok(found) => {
                let (rate, _, total) = curve[found.place];
                let knee = KneeReport {
                    rate_per_s: rate,
                    p99: total.p99,
                    next_rate_per_s: curve.get(found.place + 1).map(|(rate, ..)| *rate),
                    bend: (found.bend * 1e3).round() / 1e3,
                };
                (Some(knee), None)
            }
            Err(reason) => (None, Some(reason.to_string())),
        };
    }

    /// Steps on a schedule, with their rate.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (f64, &Step)> {
        let steps = self.steps.iter();
        steps.filter_map(|step| Some((step.offered_per_s?, step)))
    }
}

/// One path at one rate, measured by a separate run.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Events a second on the schedule; `null` for as fast as they go.
    pub offered_per_s: Option<f64>,
    /// Events a second that were sent.
    pub sent_per_s: Option<f64>,
    /// Events a second through the pipeline, its base latency subtracted; at `max`, from the first INSERT to the last
    /// acknowledgement.
    pub achieved_per_s: Option<f64>,
    /// Whether the INSERTs fell behind the schedule: the limit is then the load generator, or PostgreSQL's commits.
    pub load_fell_behind: bool,
    /// The run's id.
    pub run: String,
    /// Its folder within the sweep's.
    pub folder: String,
    /// Events that arrived.
    pub events: u64,
    /// From the INSERT to the document.
    pub total: Option<HopStatistics>,
    /// From when the INSERT was wanted to the document.
    pub total_from_schedule: Option<HopStatistics>,
    /// How late INSERTs were.
    pub schedule_lag: Option<HopStatistics>,
    /// Processor time of servers and us, seconds a million events; `null` where servers are not ours.
    pub cpu_s_per_million: Option<f64>,
    /// The objectives, with targets and measured values. None at `max`.
    pub objectives: Vec<Objective>,
    /// Whether every event arrived, and as it was.
    pub is_clean: bool,
}

impl Step {
    /// Reads a step off its run.
    #[must_use]
    pub fn of(report: &Report, path: CapturePath, folder: String, pace: &AchievedRate) -> Self {
        let nothing = PathReport::default();
        let of_path = report.paths.get(path.as_str()).unwrap_or(&nothing);
        let hop = |hop: Hop| of_path.hops.get(hop.as_str()).copied();
        let offered = report.run.rate_per_s;
        let tenths = |rate: f64| (rate * 10.0).round() / 10.0;
        Self {
            offered_per_s: offered,
            sent_per_s: pace.sent_per_s().map(tenths),
            achieved_per_s: match offered {
                // INSERTs that catch up come faster than they were asked for.
                Some(offered) => pace.achieved_per_s().map(|rate| tenths(rate.min(offered))),
                None => Some(report.throughput.average_per_s),
            },
            load_fell_behind: offered.is_some_and(|offered| {
                let late = hop(Hop::ScheduleLag).is_some_and(|lag| lag.p99 >= LATE_US);
                late || pace.load_fell_behind(offered)
            }),
            run: report.run.id.clone(),
            folder,
            events: of_path.counts.written,
            total: hop(Hop::Total),
            total_from_schedule: of_path.total_from_schedule,
            schedule_lag: hop(Hop::ScheduleLag),
            cpu_s_per_million: of_path.cpu_cost(),
            objectives: offered.map_or_else(Vec::new, |offered| {
                let mut objectives = report.objectives.clone();
                objectives.push(pace.objective(offered));
                objectives
            }),
            is_clean: of_path.is_clean(),
        }
    }

    /// Whether all objectives were met. Nothing is asked at `max`.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.is_clean && !self.objectives.is_empty() && self.missed().next().is_none()
    }

    /// The objectives that were not met.
    pub fn missed(&self) -> impl Iterator<Item = &Objective> {
        self.objectives.iter().filter(|objective| !objective.met)
    }
}

/// In a line: how fast, how late, and how it went.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(total) = self.total.filter(|total| total.count > 0) {
            let (p50, p99) = (figures::ms(total.p50), figures::ms(total.p99));
            write!(f, "p50 {p50} ms, p99 {p99} ms, ")?;
        }
        let reached = figures::per_s(self.achieved_per_s);
        write!(f, "{reached}/s reached: {}", verdict(self))
    }
}

/// A step's figures in words: the rate offered, the rate reached, p50, p95, p99 and the most of the total and p99 of the
/// load's lag in milliseconds, CPU seconds a million events.
pub(super) fn cells(step: &Step) -> [String; 8] {
    let of = |span: &Option<HopStatistics>, pick: fn(&HopStatistics) -> i64| {
        let span = span.as_ref().filter(|span| span.count > 0);
        span.map_or_else(|| "–".to_owned(), |span| ms(pick(span)))
    };
    let offered = step.offered_per_s.map(|rate| rate.to_string());
    [
        offered.unwrap_or_else(|| "max".to_owned()),
        figures::per_s(step.achieved_per_s),
        of(&step.total, |total| total.p50),
        of(&step.total, |total| total.p95),
        of(&step.total, |total| total.p99),
        of(&step.total, |total| total.max),
        of(&step.schedule_lag, |lag| lag.p99),
        figures::cpu(step.cpu_s_per_million),
    ]
}

/// The verdict on a step.
pub(super) fn verdict(step: &Step) -> String {
    let mut notes = Vec::new();
    if !step.is_clean {
        notes.push("events lost or differing".to_owned());
    }
    if step.load_fell_behind {
        let sent = step.sent_per_s.unwrap_or(0.0);
        let late = step.schedule_lag.map_or(0, |lag| lag.p99);
        let late = figures::ms(late);
        notes.push(format!(
            "load behind schedule: {sent}/s sent, {late} ms late"
        ));
    }
    let missed: Vec<_> = step.missed().map(|missed| missed.name.as_str()).collect();
    if !missed.is_empty() {
        notes.push(format!("missed {}", missed.join(", ")));
    }
    if notes.is_empty() {
        return if step.objectives.is_empty() {
            "saturated".to_owned()
        } else {
            "met".to_owned()
        };
    }
    notes.join("; ")
}

/// What is read off a path's curve, in sentences.
pub(super) fn conclusions(path: &PathSweep) -> Vec<String> {
    let mut notes = Vec::new();
    if path.numbered().next().is_some() {
        notes.push(match path.highest_rate_per_s {
            Some(rate) => format!("objectives hold up to {rate}/s"),
            None => "objectives hold at none of these rates".to_owned(),
        });
        notes.push(match (&path.knee, &path.no_knee) {
            (Some(knee), _) => format!(
                "knee at {}/s{}, p99 {} ms",
                knee.rate_per_s,
                knee.next_rate_per_s
                    .map_or_else(String::new, |next| format!(
                        " (latency takes off before {next}/s)"
                    )),
                figures::ms(knee.p99)
            ),
            (None, Some(reason)) => format!("no knee: {reason}"),
            (None, None) => "no knee".to_owned(),
        });
    }
    if let Some(rate) = path.saturation_per_s {
        notes.push(format!("saturated at {rate}/s"));
    }
    if !path.left_out.is_empty() {
        let rates: Vec<_> = path.left_out.iter().map(ToString::to_string).collect();
        notes.push(format!(
            "not tried: {}/s, as it was far past saturation before",
            rates.join(", ")
        ));
    }
    notes
}

#[cfg(test)]
pub(super) mod tests;
