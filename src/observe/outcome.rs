//! The result of an observation.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cdc_bench_model::RunId;
use cdc_bench_model::analysis::Objective;
use cdc_bench_model::observation::{
    MissingChange, ObservationCounts, ObservedChange, ObservedHop, ObservedStatistics,
    RecordPosition, SentChange,
};
use cdc_bench_model::report::{
    Incident, LatencyLog, OBSERVE, OBSERVED, ObservationInfo, ObservationReport, ObservedDiagnosis,
    ObservedPath, ObservedPipeline, ObservedTopicReport, RecorderError, ResultFolder, SCHEMA,
    Verdict,
};
use cdc_bench_model::timeline::Nanos;

use super::clocks::{LastStamp, ObservedClocks};
use super::discovery::{Pipeline, Sink};
use super::json_lines::JsonLines;
use super::request::{LatencyObjective, ObserveRequest};
use super::table_limit::{OTHER_TABLES, TABLES};

/// Unreadable records that are listed; all of them are counted.
const MOST_UNREADABLE: u64 = 1_000;

/// Quantiles of the changes so far, and the files of those that came and of those that are missing.
pub(super) struct Recording {
    all: ObservedStatistics,
    tables: HashMap<Arc<str>, ObservedStatistics>,
    folder: ResultFolder,
    log: Option<LatencyLog>,
    missing: JsonLines,
    unreadable: JsonLines,
    topics: Vec<String>,
}

impl Recording {
    /// Into the files of this folder, once it is opened.
    pub(super) fn new(folder: ResultFolder, pipeline: &ObservedPipeline) -> Self {
        let topics = pipeline.topics.iter().map(|topic| topic.name.clone());
        Self {
            all: ObservedStatistics::default(),
            tables: HashMap::new(),
            log: None,
            missing: JsonLines::new(&folder, "missing.jsonl", u64::MAX),
            unreadable: JsonLines::new(&folder, "unreadable.jsonl", MOST_UNREADABLE),
            topics: topics.collect(),
            folder,
        }
    }

    /// Makes the files; time begins.
    ///
    /// # Errors
    /// When they cannot be made.
    pub(super) fn open(&mut self) -> Result<(), RecorderError> {
        self.log = Some(LatencyLog::create(&self.folder)?);
        Ok(())
    }

    /// Writes what is due.
    pub(super) fn tick(&mut self) {
        if let Some(log) = &mut self.log {
            log.tick();
        }
    }

    /// Writes the rest.
    ///
    /// # Errors
    /// When a file could not be written.
    pub(super) fn finish(&mut self) -> Result<(), RecorderError> {
        self.log.take().map_or(Ok(()), LatencyLog::finish)
    }

    /// A change with all its stamps.
    pub(super) fn record(&mut self, change: &ObservedChange) {
        let hops = change.stamps.hops();
        self.all.record(&hops, change.weight);
        if let Some(log) = &mut self.log {
            log.record(&hops, change.weight);
        }
        let table = &change.id.table;
        let has_own = self.tables.contains_key(table) || self.tables.len() < TABLES;
        let table = if has_own {
            Arc::clone(table)
        } else {
            OTHER_TABLES.into()
        };
        self.tables
            .entry(table)
            .or_default()
            .record(&hops, change.weight);
    }

    /// A change whose sending is known.
    pub(super) fn sent(&mut self, sent: &SentChange) {
        let own = self.tables.get_mut(&sent.table);
        for statistics in own.into_iter().chain([&mut self.all]) {
            for (hop, span) in sent.hops() {
                statistics.record_hop(hop, span, sent.weight);
            }
        }
    }

    /// A change that has not come: a line of `missing.jsonl`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn missing(&mut self, change: &MissingChange) -> Result<(), RecorderError> {
        self.missing.write(&serde_json::json!({
            "table": &*change.id.table,
            "key": serde_json::from_str::<serde_json::Value>(&change.id.key).unwrap_or_default(),
            "lsn": change.id.lsn.map(|lsn| pgcdc::Lsn(lsn).to_string()),
            "operation": change.id.operation,
            "missing_at": change.at,
            "committed_at": change.tc,
            "error": change.error.as_deref(),
        }))
    }

    /// A record of which nothing can be made: a line of `unreadable.jsonl`, without its bytes, which may be anybody's data.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn unreadable(
        &mut self,
        position: RecordPosition,
        reason: &str,
    ) -> Result<(), RecorderError> {
        self.unreadable.write(&serde_json::json!({
            "topic": self.topics.get(position.topic),
            "partition": position.partition,
            "offset": position.offset,
            "reason": reason,
        }))
    }

    /// The median of the total so far.
    pub(super) fn median(&self) -> Option<Nanos> {
        let total = self.all.hop(ObservedHop::Total);
        (total.count() > 0).then(|| total.quantile(0.5))
    }

    fn path(
        statistics: &ObservedStatistics,
        bound: impl Fn(ObservedHop) -> Option<Nanos>,
    ) -> ObservedPath {
        ObservedPath {
            hops: statistics.report(bound),
        }
    }

    /// Spans of the hops that add up which are below zero by more than their bound.
    fn negative_hops(&self, bound: impl Fn(ObservedHop) -> Option<Nanos>) -> u64 {
        let beyond = |hop: ObservedHop| {
            let bound = bound(hop)?;
            Some(self.all.hop(hop).negatives_beyond(bound))
        };
        ObservedHop::PIPELINE.into_iter().filter_map(beyond).sum()
    }

    /// The objectives, with what was reached until now. Without a change none is met, but for one of many periods, which may be idle.
    pub(super) fn objectives(&self, request: &ObserveRequest) -> Vec<Objective> {
        let asked = request.objectives.iter();
        asked
            .map(|objective| self.judge(objective, request.periods.is_some()))
            .collect()
    }

    fn judge(&self, objective: &LatencyObjective, may_be_idle: bool) -> Objective {
        let total = self.all.hop(ObservedHop::Total);
        let measured =
            (total.count() > 0).then(|| total.quantile(objective.quantile).as_millis_f64());
        Objective {
            name: objective.name.to_owned(),
            target: format!("< {} ms", objective.limit_ms),
            measured,
            met: measured.map_or(may_be_idle, |ms| ms < objective.limit_ms),
        }
    }
}

/// When an observation took place.
pub(super) struct Times {
    pub(super) started_at: jiff::Timestamp,
    pub(super) finished_at: jiff::Timestamp,
    pub(super) duration_s: f64,
}

/// The pipeline as the report names it.
pub(super) fn named(pipeline: &Pipeline, request: &ObserveRequest) -> ObservedPipeline {
    let topics = pipeline.topics.iter().map(|topic| ObservedTopicReport {
        name: topic.name.clone(),
        partitions: topic.partitions,
        timestamp_type: match topic.log_append_time {
            Some(true) => "LogAppendTime",
            Some(false) => "CreateTime",
            None => "unknown",
        }
        .to_owned(),
    });
    ObservedPipeline {
        connector: pipeline.connector.clone(),
        source: pipeline.postgres.to_string(),
        publication: pipeline.publication.clone(),
        topics: topics.collect(),
        group: pipeline.group.clone(),
        sink: pipeline.sink.as_ref().map(Sink::name),
        poll_interval: Nanos::from(request.poll_interval).round_micros(),
    }
}

/// Whether the records' timestamps are the broker's.
pub(super) fn is_by_broker(pipeline: &ObservedPipeline) -> bool {
    let mut topics = pipeline.topics.iter();
    topics.all(|topic| topic.timestamp_type != "CreateTime")
}

/// The error of what a poll finds.
pub(super) fn half_of(interval: Duration) -> Nanos {
    Nanos(Nanos::from(interval).0 / 2)
}

/// The last stamp of a pipeline's changes.
fn last_stamp(pipeline: &ObservedPipeline) -> LastStamp {
    if pipeline.sink.is_some() {
        LastStamp::Sink
    } else if pipeline.group.is_some() {
        LastStamp::Group(Nanos::from_micros(pipeline.poll_interval / 2))
    } else {
        LastStamp::Kafka
    }
}

/// How far the spans of each hop may be off, by the clocks and by the interval of the polls.
pub(super) fn hop_bound<'a>(
    clocks: &'a ObservedClocks,
    pipeline: &ObservedPipeline,
) -> impl Fn(ObservedHop) -> Option<Nanos> + use<'a> {
    let (by_broker, last) = (is_by_broker(pipeline), last_stamp(pipeline));
    move |hop| {
        let bound = clocks.bound(hop, by_broker, last)?;
        match hop {
            ObservedHop::Insert | ObservedHop::FromInsert => Some(bound + clocks.application()?),
            _ => Some(bound),
        }
    }
}

/// The report of what was recorded.
pub(super) fn report(
    (id, request): (&RunId, &ObserveRequest),
    pipeline: ObservedPipeline,
    recording: &Recording,
    mut counts: ObservationCounts,
    clocks: &ObservedClocks,
    (times, incidents): (Times, Vec<Incident>),
) -> ObservationReport {
    let bound = hop_bound(clocks, &pipeline);
    counts.negative_hops = recording.negative_hops(&bound);
    let observed = Recording::path(&recording.all, &bound);
    let tables = recording.tables.iter();
    let tables: BTreeMap<_, _> = tables
        .map(|(name, statistics)| (name.to_string(), Recording::path(statistics, &bound)))
        .collect();
    let objectives = recording.objectives(request);
    let is_met = counts.missing == 0 && objectives.iter().all(|objective| objective.met);
    ObservationReport {
        schema: SCHEMA.to_owned(),
        run: ObservationInfo {
            id: id.to_string(),
            kind: OBSERVE.to_owned(),
            started_at: times.started_at.to_string(),
            finished_at: times.finished_at.to_string(),
            duration_s: times.duration_s,
        },
        pipeline,
        missing: counts.missing,
        duplicates: counts.duplicates,
        filtered: counts.filtered,
        sampled_share: share(&counts),
        counts,
        diagnosis: ObservedDiagnosis::of(&observed),
        paths: BTreeMap::from([(OBSERVED.to_owned(), observed)]),
        tables,
        clocks: clocks.report(),
        incidents,
        objectives,
        verdict: if is_met { Verdict::Pass } else { Verdict::Fail },
        canary: None,
        application: None,
        transactions: None,
        cost: None,
    }
}

/// The share of the captured changes that were followed.
#[allow(clippy::cast_precision_loss)] // a share
pub(super) fn share(counts: &ObservationCounts) -> f64 {
    let followed =
        counts.completed + counts.missing + counts.unread + counts.in_flight + counts.not_shown;
    if counts.captured == 0 {
        return 1.0;
    }
    (followed as f64 / counts.captured as f64).min(1.0)
}
