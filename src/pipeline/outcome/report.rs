//! Builds the report of a run.

use std::collections::BTreeMap;

use cdc_bench_model::analysis::{MATCH_PERCENT, RunFigures as Reached};
use cdc_bench_model::report::{
    Environment, EventCounts, EventsByType, PathReport, RUN, Report, ResumedRun, RunInfo, SCHEMA,
    Verdict, seconds_between,
};
use cdc_bench_model::timeline::{CapturePath, Hop};

use crate::broker::fetch_settings;
use crate::pipeline::outcome::facts::RunFacts;
use crate::pipeline::outcome::faults::fault_reports;
use crate::pipeline::outcome::incidents::{self, to_timestamp};
use crate::pipeline::outcome::path_report::{path_report, per_million, to_u64};
use crate::pipeline::outcome::run_findings::run_findings;
use crate::pipeline::request::resumption::Resumption;

/// The report of a run.
pub(crate) fn build_report(facts: RunFacts<'_>) -> Report {
    let request = facts.request;
    let reports: Vec<PathReport> = facts
        .paths
        .iter()
        .map(|path| path_report(path, &facts))
        .collect();
    let first = reports.first().cloned().unwrap_or_default();
    let counts = overall(&reports);
    let verification = first.verification;
    let reached = Reached {
        total: first.hops.get(Hop::Total.as_str()),
        throughput: first.throughput,
        success_percent: success_percent(&counts),
        match_percent: reports
            .iter()
            .filter_map(|path| Some(path.verification?.match_percent))
            .min_by(f64::total_cmp),
    };
    let mut objectives = request.targets.judge(&reached);
    if request.resumption.is_some() && counts.inserted == 0 {
        // Its load was over before: there was nothing to measure, only to write and to verify.
        objectives.retain(|objective| objective.name == MATCH_PERCENT);
    }
    let mut diagnosis = first.diagnosis.clone().unwrap_or_default();
    diagnosis
        .findings
        .splice(0..0, run_findings(&facts, &counts));
    let incidents = incidents::collect_incidents(&facts, &reports);
    let is_clean = reports.iter().all(PathReport::is_clean);
    let verdict = if is_clean && objectives.iter().all(|o| o.met) {
        Verdict::Pass
    } else {
        Verdict::Fail
    };
    let by_type = facts.paths.first().map(|path| path.recording.by_type);
    let [users, activities, participants] = by_type.unwrap_or_default();
    Report {
        schema: SCHEMA.to_owned(),
        run: RunInfo {
            id: request.id.to_string(),
            kind: RUN.to_owned(),
            started_at: facts.started_at.to_string(),
            finished_at: jiff::Timestamp::now().to_string(),
            capture: capture(&request.paths),
            paths: request.paths.clone(),
            rounds: request.rounds.unwrap_or(1),
            interleaved: request.rounds.is_some(),
            stack: facts.stack.to_string(),
            events: first.counts.inserted,
            warmup_events: facts.warmup_events,
            warmup_settles: request.warmup.settles,
            rate_per_s: request.rate.per_second(),
            insert_batch: to_u64(request.insert_batch),
            connections: to_u64(request.connections),
            seed: request.seed,
            hot_share: request.hot_share,
            shards: request.shards.count().into(),
            batch_size: to_u64(request.settings.batch_size),
            writes_in_flight: Some(to_u64(request.settings.writes_in_flight)),
            duration_s: facts
                .load
                .first_t0
                .map_or(0.0, |first| seconds_between(first, facts.finished)),
            resumed: request
                .resumption
                .as_ref()
                .map(|again| resumed(again, &facts)),
        },
        environment: environment(&facts),
        counts,
        dead_letters_by_reason: dead_letters_by_reason(&reports),
        events_by_type: EventsByType {
            UserCreated: users,
            ActivityCreated: activities,
            ParticipantJoined: participants,
        },
        throughput: first.throughput,
        shared_cpu_s_per_million: per_million(&facts.shared, first.counts.written),
        paths: facts
            .paths
            .iter()
            .map(|path| path.recording.path.to_string())
            .zip(reports)
            .collect(),
        clocks: facts
            .clocks
            .report(request.paths.contains(&CapturePath::Debezium)),
        incidents,
        faults: fault_reports(&facts),
        workers: facts.workers,
        footprint: facts.footprint.samples().to_vec(),
        diagnosis,
        objectives,
        verification,
        verdict,
    }
}

/// The break of a run that was taken up again: from the last commit before it to the first INSERT after it.
fn resumed(again: &Resumption, facts: &RunFacts<'_>) -> ResumedRun {
    let went_on = facts.load.first_t0.map(to_timestamp);
    let break_s = again.last_commit.zip(went_on);
    ResumedRun {
        part: again.part,
        events_before: again.events_before,
        last_commit: again.last_commit,
        break_s: break_s.map(|(from, to)| to.duration_since(from).as_secs_f64()),
    }
}

/// The environment, with our fetch settings if there was a topic.
fn environment(facts: &RunFacts<'_>) -> Environment {
    let mut environment = facts.environment.clone();
    if !environment.kafka.topic.is_empty() {
        environment.kafka.consumer = fetch_settings(&facts.request.settings.fetch);
    }
    environment
}

/// The capture paths as one word.
fn capture(paths: &[CapturePath]) -> String {
    if paths == [CapturePath::Debezium, CapturePath::Wal] {
        return "both".to_owned();
    }
    let names: Vec<_> = paths.iter().map(|path| path.as_str()).collect();
    names.join(",")
}

/// The first path's counts, with the problems of all paths.
fn overall(reports: &[PathReport]) -> EventCounts {
    let mut all = reports.iter().map(|path| path.counts);
    let first = all.next().unwrap_or_default();
    all.fold(first, |sum, path| EventCounts {
        errors: sum.errors + path.errors,
        dead_letters: sum.dead_letters + path.dead_letters,
        duplicates: sum.duplicates + path.duplicates,
        lost: sum.lost + path.lost,
        negative_hops: sum.negative_hops + path.negative_hops,
        negative_within_error: sum.negative_within_error + path.negative_within_error,
        observer_late: sum.observer_late + path.observer_late,
        acknowledged_late: sum.acknowledged_late + path.acknowledged_late,
        lsn_mismatches: sum.lsn_mismatches + path.lsn_mismatches,
        ..sum
    })
}

/// The dead letters of all paths by reason.
fn dead_letters_by_reason(reports: &[PathReport]) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for (reason, count) in reports.iter().flat_map(|path| &path.dead_letters_by_reason) {
        *all.entry(reason.clone()).or_default() += count;
    }
    all
}

/// (processed - errors) / processed, percent. A lost event was processed without success.
#[allow(clippy::cast_precision_loss)] // event counts far below 2^53
fn success_percent(counts: &EventCounts) -> f64 {
    let processed = counts.written + counts.errors + counts.lost;
    if processed == 0 {
        return 0.0;
    }
    counts.written as f64 / processed as f64 * 100.0
}
