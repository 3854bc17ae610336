//! Builds the report of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use cdc_bench_model::analysis::{
    Conditions, Diagnosis, Finding, HopStatistics, PathStatistics, RunFigures as Reached, Severity,
    diagnose, times as in_words, violations,
};
use cdc_bench_model::report::{
    Environment, EventCounts, EventsByType, PathNames, PathReport, Report, RoundReport, RunInfo,
    SCHEMA, Verdict, Verification, seconds_between,
};
use cdc_bench_model::timeline::{CapturePath, Hop, Nanos};

use crate::broker::fetch_settings;
use crate::pipeline::monitor::cpu::Used;
use crate::pipeline::outcome::facts::{PathFacts, RunFacts};
use crate::pipeline::outcome::incidents;

/// The report of a run.
pub(crate) fn report(facts: RunFacts<'_>) -> Report {
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
    let objectives = request.targets.judge(&reached);
    let mut diagnosis = first.diagnosis.clone().unwrap_or_default();
    diagnosis
        .findings
        .splice(0..0, disturbances(&facts, &counts));
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
            batch_size: to_u64(request.settings.batch_size),
            writes_in_flight: Some(to_u64(request.settings.writes_in_flight)),
            duration_s: facts
                .load
                .first_t0
                .map_or(0.0, |first| seconds_between(first, facts.finished)),
        },
        environment: environment(&facts),
        counts,
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
        incidents: incidents::of(&facts),
        diagnosis,
        objectives,
        verification,
        verdict,
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

fn path_report(path: &PathFacts, facts: &RunFacts<'_>) -> PathReport {
    let statistics = path.recording.statistics();
    let hops = hops(&statistics, path, facts);
    let counts = counts(path, &statistics, facts);
    let found = &path.verification;
    let diagnosis = diagnosis(path, &statistics, &hops, facts);
    let route = &path.outcome.route;
    let kafka = route.kafka.as_ref();
    let rounds = path.recording.rounds.iter().zip(0..);
    let is_interleaved = facts.request.rounds.is_some();
    let captured_bound = match route.path {
        CapturePath::Debezium => error_bound(Hop::Debezium, path, facts),
        CapturePath::Wal | CapturePath::Embedded => Some(Nanos(0)),
    };
    let until_captured = statistics.until_captured();
    PathReport {
        total_from_schedule: Some(statistics.from_schedule().statistics(Some(Nanos(0)))),
        until_captured: (until_captured.count() > 0)
            .then(|| until_captured.statistics(captured_bound)),
        cpu_s_per_million: per_million(&path.outcome.used, counts.written),
        counts,
        throughput: path.recording.throughput(),
        verification: Some(Verification {
            postgres_count: found.postgres_count,
            store_count: found.store_count,
            missing: found.missing,
            extra: found.extra,
            differing: found.differing,
            match_percent: found.match_percent,
        }),
        causality: violations(&statistics, |hop| error_bound(hop, path, facts)),
        diagnosis: Some(diagnosis),
        names: PathNames {
            run_id: facts.request.names_of(route.path).measured,
            slot: route.slot.clone(),
            topic: kafka.map(|kafka| kafka.topic.clone()),
            group: kafka.map(|kafka| kafka.group.clone()),
            collection: route.store.collection().to_owned(),
        },
        rounds: rounds
            .filter(|_| is_interleaved)
            .map(|(recorded, round)| RoundReport {
                round,
                hops: self::hops(&recorded.statistics, path, facts),
                throughput: recorded.throughput.throughput(),
            })
            .collect(),
        hops,
    }
}

fn hops(
    statistics: &PathStatistics,
    path: &PathFacts,
    facts: &RunFacts<'_>,
) -> BTreeMap<String, HopStatistics> {
    let figures = |hop: Hop| {
        let spans = statistics.hop(hop)?;
        let bound = error_bound(hop, path, facts);
        Some((hop.as_str().to_owned(), spans.statistics(bound)))
    };
    Hop::ALL.into_iter().filter_map(figures).collect()
}

fn diagnosis(
    path: &PathFacts,
    statistics: &PathStatistics,
    hops: &BTreeMap<String, HopStatistics>,
    facts: &RunFacts<'_>,
) -> Diagnosis {
    let environment = &facts.environment;
    let route = &path.outcome.route;
    let kafka = route.kafka.as_ref();
    let (outcome, resource_usage) = (&path.outcome, &facts.resource_usage);
    // Our processor time: what the paths share, or all of it if the trial had one path.
    let ours = facts.shared.get("cdc-bench");
    let ours = ours.or_else(|| outcome.used.get("cdc-bench"));
    let conditions = Conditions {
        connector: route
            .connector
            .as_ref()
            .map(|connector| connector.config.clone())
            .unwrap_or_default(),
        snapshot_running: outcome.in_snapshot,
        connector_restarts: u64::try_from(outcome.connector_restarts.len()).unwrap_or(u64::MAX),
        postgres: environment.postgres.settings.clone(),
        checkpoints: resource_usage.checkpoints,
        slot_lag_bytes: outcome.slot_lag,
        log_append_time: kafka.is_some_and(|kafka| kafka.log_append_time),
        partitions: kafka.map_or(0, |kafka| kafka.partitions),
        consumer: kafka
            .map(|_| fetch_settings(&facts.request.settings.fetch))
            .unwrap_or_default(),
        rebalances: to_u64(outcome.rebalances.len()),
        store: format!("{} {}", environment.store.name, environment.store.version),
        write_concern: environment.store.write_concern.clone(),
        batch_size: to_u64(facts.request.settings.batch_size),
        rate_per_s: facts.request.rate.per_second(),
        throughput_per_s: path.recording.throughput().average_per_s,
        host_busy: resource_usage.busy(),
        compiling_cores: resource_usage.compiling_cores(),
        our_cores: ours
            .map(|used| used.as_secs_f64() / resource_usage.span.as_secs_f64().max(1e-3)),
        cores: environment.host.cores,
    };
    diagnose(statistics, hops, &conditions)
}

/// Processor seconds per million events.
#[allow(clippy::cast_precision_loss)] // event counts far below 2^53
fn per_million(used: &Used, events: u64) -> BTreeMap<String, f64> {
    let per_million = |used: &Duration| {
        let seconds = used.as_secs_f64() / events.max(1) as f64 * 1e6;
        (seconds * 10.0).round() / 10.0
    };
    used.iter()
        .map(|(name, used)| (name.clone(), per_million(used)))
        .collect()
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn counts(path: &PathFacts, statistics: &PathStatistics, facts: &RunFacts<'_>) -> EventCounts {
    let outcome = &path.outcome;
    let (tally, dead_letters) = (outcome.tally, outcome.dead_letters);
    let (negative_hops, negative_within_error) =
        statistics.negatives(|hop| error_bound(hop, path, facts));
    EventCounts {
        inserted: tally.inserted,
        captured: tally.captured,
        in_kafka: outcome.in_kafka,
        consumed: tally.consumed,
        written: tally.written,
        errors: tally.insert_errors + dead_letters,
        dead_letters,
        duplicates: tally.duplicates,
        // A dead letter is stored with its reason: an error, not a loss.
        lost: tally.inserted.saturating_sub(tally.written + dead_letters),
        negative_hops,
        negative_within_error,
        observer_late: statistics.observer_late(),
        acknowledged_late: statistics.acknowledged_late(),
        lsn_mismatches: tally.lsn_mismatches,
    }
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

/// (processed - errors) / processed, percent. A lost event was processed without success.
#[allow(clippy::cast_precision_loss)] // event counts far below 2^53
fn success_percent(counts: &EventCounts) -> f64 {
    let processed = counts.written + counts.errors + counts.lost;
    if processed == 0 {
        return 0.0;
    }
    counts.written as f64 / processed as f64 * 100.0
}

/// Error bound of a hop; zero if both ends are on our clock, `None` if a clock is unknown.
fn error_bound(hop: Hop, path: &PathFacts, facts: &RunFacts<'_>) -> Option<Nanos> {
    let kafka = path.outcome.route.kafka.as_ref();
    let log_append_time = kafka.is_some_and(|kafka| kafka.log_append_time);
    let in_kafka = path.recording.path.in_kafka(log_append_time);
    in_kafka.error_bound(hop, facts.clocks.bounds())
}

/// Findings about the run that are not about a hop.
fn disturbances(facts: &RunFacts<'_>, counts: &EventCounts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |evidence: String, advice: &str| {
        findings.push(Finding::new(None, Severity::Critical, evidence, advice));
    };
    if counts.lost > 0 {
        add(
            format!(
                "{} of {} events are not in the store{}",
                counts.lost,
                counts.inserted,
                if facts.paths.iter().all(|path| path.outcome.drained) {
                    ""
                } else {
                    ", and none came any more when the drain ended"
                }
            ),
            "see run.log for what failed; counts say how far they came: captured from the WAL, in Kafka, consumed",
        );
    }
    if counts.lsn_mismatches > 0 {
        add(
            format!(
                "{} events carry another LSN or transaction in Debezium's envelope than in the WAL",
                counts.lsn_mismatches
            ),
            "the joined stamps may belong to different rows: please report this with events.jsonl",
        );
    }
    if counts.negative_hops > 0 {
        add(
            format!(
                "{} spans are below zero by more than the clocks' measured error",
                counts.negative_hops
            ),
            "a clock was stepped in the run, or a stamp is wrong: do not trust the hops between clocks (kafka_delivery, consumer_lag)",
        );
    }
    if !facts.request.observer {
        add(
            "our reader did not look on beside Debezium: T1 is taken to be T2, so that capture holds the whole way to Kafka"
                .to_owned(),
            "leave out --observer off, unless this is to see what looking on costs",
        );
    }
    let mut times: BTreeMap<&str, u64> = BTreeMap::new();
    for (server, _) in &facts.server_restarts {
        *times.entry(server).or_default() += 1;
    }
    for (server, times) in times {
        add(
            format!(
                "{server} ended by itself and was started again {}",
                in_words(times)
            ),
            "the latencies hold these outages; the report's incidents say when",
        );
    }
    let steered = incidents::steered(&facts.steered);
    if !steered.is_empty() {
        let what: Vec<_> = steered.into_iter().map(|incident| incident.what).collect();
        findings.push(Finding::new(
            None,
            Severity::Warning,
            what.join("; "),
            "throughput and latencies are of all that together: compare with nothing but runs that were left alone",
        ));
    }
    findings
}
