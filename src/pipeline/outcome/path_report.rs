//! The report of one capture path: hops, counts, diagnosis.

use std::collections::BTreeMap;
use std::time::Duration;

use cdc_bench_model::analysis::{
    Conditions, Diagnosis, HopStatistics, PathStatistics, StallEvidence, diagnose, violations,
};
use cdc_bench_model::event::SCHEMA;
use cdc_bench_model::report::{
    EventCounts, PartitionReport, PathNames, PathReport, RoundReport, ShardReport, Verification,
};
use cdc_bench_model::timeline::{CapturePath, Hop, Nanos};

use crate::broker::fetch_settings;
use crate::pipeline::monitor::cpu::Used;
use crate::pipeline::outcome::facts::{PathFacts, RunFacts};
use crate::pipeline::outcome::stalls::{path_stalls, stall_report};
use crate::pipeline::provision::route::RouteSource;
use crate::pipeline::run::trial_outcome::ShardOutcome;

/// The report of one capture path.
pub(super) fn path_report(path: &PathFacts, facts: &RunFacts<'_>) -> PathReport {
    let statistics = path.recording.statistics();
    let hops = hops(&statistics, path, facts);
    let counts = counts(path, &statistics, facts);
    let found = &path.verification;
    let stalls = path_stalls(path, &hops, facts);
    let reported_stalls = stalls.iter().map(stall_report).collect();
    let diagnosis = diagnosis(path, &statistics, (&hops, stalls), facts);
    let route = &path.outcome.route;
    let kafka = route.kafka();
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
        dead_letters_by_reason: path.outcome.dead_letters_by_reason.clone(),
        throughput: path.recording.throughput(),
        verification: found.as_ref().map(|found| Verification {
            postgres_count: found.postgres_count,
            store_count: found.store_count,
            missing: found.missing,
            extra: found.extra,
            differing: found.differing,
            match_percent: found.match_percent,
        }),
        causality: violations(&statistics, |hop| error_bound(hop, path, facts)),
        diagnosis: Some(diagnosis),
        stalls: reported_stalls,
        partitions: partitions(&statistics, path, facts),
        shards: shards(path),
        names: PathNames {
            run_id: facts.request.names_for(route.path).measured,
            slot: route.slots().next().cloned(),
            topic: kafka.map(|kafka| kafka.topic.clone()),
            group: kafka.map(|kafka| kafka.group.clone()),
            collection: route.store.collection().to_owned(),
            dead_letter_topic: path
                .outcome
                .dead_letter_topic
                .clone()
                .filter(|_| counts.dead_letters > 0),
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

/// Figures of each hop that has spans.
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

/// The partitions of the path's topics, where it has several.
#[allow(clippy::cast_precision_loss)] // event counts far below 2^53
fn partitions(
    statistics: &PathStatistics,
    path: &PathFacts,
    facts: &RunFacts<'_>,
) -> Vec<PartitionReport> {
    let count = path.outcome.route.partitions();
    let by_partition = statistics.partitions();
    let events = by_partition.events();
    let bound = error_bound(Hop::ConsumerLag, path, facts);
    let report = |partition: i32| {
        let spans = by_partition.get(partition).cloned().unwrap_or_default();
        let consumer_lag = spans.statistics(bound);
        PartitionReport {
            partition,
            records: spans.count(),
            share: spans.count() as f64 / events.max(1) as f64,
            most_lag_records: path.outcome.most_lag.get(&partition).copied(),
            most_lag: consumer_lag.max.max(0),
            consumer_lag,
        }
    };
    (0..count).filter(|_| count > 1).map(report).collect()
}

/// The tables of the outbox, where it has several.
fn shards(path: &PathFacts) -> Vec<ShardReport> {
    let sources = &path.outcome.route.sources;
    let all = sources.iter().zip(&path.outcome.shards);
    let report = |(source, outcome): (&RouteSource, &ShardOutcome)| ShardReport {
        shard: source.shard.number(),
        table: format!("{SCHEMA}.{}", source.shard.table()),
        slot: source.slot.clone(),
        topic: source.kafka.as_ref().map(|kafka| kafka.topic.clone()),
        connector: source.connector.as_ref().map(|ours| ours.name.clone()),
        captured: outcome.captured,
        walsender_cpu_s: outcome.walsender.map(|used| used.as_secs_f64()),
        most_wal_held: outcome.most_wal_held,
    };
    all.filter(|_| sources.len() > 1).map(report).collect()
}

/// Finds the slowest hop and its causes, from the statistics and the conditions of the run.
fn diagnosis(
    path: &PathFacts,
    statistics: &PathStatistics,
    (hops, stalls): (&BTreeMap<String, HopStatistics>, Vec<StallEvidence>),
    facts: &RunFacts<'_>,
) -> Diagnosis {
    let environment = &facts.environment;
    let route = &path.outcome.route;
    let kafka = route.kafka();
    let (outcome, resource_usage) = (&path.outcome, &facts.resource_usage);
    // Our processor time: what the paths share, or all of it if the trial had one path.
    let ours = facts.shared.get("cdc-bench");
    let ours = ours.or_else(|| outcome.used.get("cdc-bench"));
    let conditions = Conditions {
        connector: route
            .connectors()
            .next()
            .map(|connector| connector.config.clone())
            .unwrap_or_default(),
        snapshot_running: outcome.in_snapshot,
        connector_restarts: u64::try_from(outcome.connector_restarts.len()).unwrap_or(u64::MAX),
        postgres: environment.postgres.settings.clone(),
        checkpoints: resource_usage.checkpoints,
        slot_lag_bytes: outcome.slot_lag,
        log_append_time: kafka.is_some_and(|kafka| kafka.log_append_time),
        partitions: route.partitions(),
        most_lag_records: outcome.most_lag.values().max().copied(),
        writes_in_flight: to_u64(facts.request.settings.writes_in_flight),
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
        stalls,
    };
    diagnose(statistics, hops, &conditions)
}

/// Processor seconds per million events.
#[allow(clippy::cast_precision_loss)] // event counts far below 2^53
pub(super) fn per_million(used: &Used, events: u64) -> BTreeMap<String, f64> {
    let per_million = |used: &Duration| {
        let seconds = used.as_secs_f64() / events.max(1) as f64 * 1e6;
        (seconds * 10.0).round() / 10.0
    };
    used.iter()
        .map(|(name, used)| (name.clone(), per_million(used)))
        .collect()
}

/// A count as the report has it.
pub(super) fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The counts of the path by stage.
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

/// Error bound of a hop; zero if both ends are on our clock, `None` if a clock is unknown.
fn error_bound(hop: Hop, path: &PathFacts, facts: &RunFacts<'_>) -> Option<Nanos> {
    let kafka = path.outcome.route.kafka();
    let log_append_time = kafka.is_some_and(|kafka| kafka.log_append_time);
    let in_kafka = path.recording.path.in_kafka(log_append_time);
    in_kafka.error_bound(hop, facts.clocks.bounds())
}
