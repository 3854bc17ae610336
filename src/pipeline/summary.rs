//! Turns what a run has gathered into its report.

use std::collections::BTreeMap;

use super::RunRequest;
use super::capture::Capture;
use super::clocks::Measured;
use super::environment::Surroundings;
use crate::analysis::{
    Conditions, Finding, HopStatistics, Measured as Reached, PathStatistics, Severity, diagnose,
};
use crate::load::LoadSummary;
use crate::report::{
    Counts, EventsByType, PathReport, Recording, Report, RunInfo, SCHEMA, Verdict, Verification,
    seconds_between,
};
use crate::stack::StackKind;
use crate::timeline::{Hop, Nanos, Stamp, Tally};

/// Kafka's timestamps are whole milliseconds, truncated; taken at the middle they are half of one off at most.
const HALF_MILLISECOND: Nanos = Nanos(500_000);

/// Everything a run has gathered.
pub(crate) struct Facts<'a> {
    pub(crate) request: &'a RunRequest,
    pub(crate) path: &'static str,
    pub(crate) stack: StackKind,
    pub(crate) started_at: jiff::Timestamp,
    pub(crate) capture: &'a Capture,
    pub(crate) surroundings: Surroundings,
    pub(crate) tally: Tally,
    pub(crate) in_kafka: u64,
    pub(crate) dead_letters: u64,
    pub(crate) load: LoadSummary,
    pub(crate) finished: Stamp,
    /// Whether every event came through before the drain ended.
    pub(crate) drained: bool,
    pub(crate) connector_restarts: u64,
    /// Servers of ours that ended by themselves, and how often.
    pub(crate) server_restarts: Vec<(String, u32)>,
    pub(crate) recording: Recording,
    pub(crate) postgres_clock: Measured,
    pub(crate) broker_clock: Measured,
    pub(crate) connect_shares_clock: bool,
    pub(crate) verification: crate::store::Verification,
}

/// The report.
pub(crate) fn report(facts: Facts<'_>) -> Report {
    let path = &facts.recording.path;
    let hops: BTreeMap<String, HopStatistics> = Hop::ALL
        .into_iter()
        .filter_map(|hop| {
            Some((
                hop.as_str().to_owned(),
                path.hop(hop)?.statistics(error_bound(hop, &facts)),
            ))
        })
        .collect();
    let counts = counts(&facts, path);
    let throughput = facts.recording.throughput.throughput();
    let verification = Verification {
        postgres_count: facts.verification.postgres_count,
        store_count: facts.verification.store_count,
        missing: facts.verification.missing,
        extra: facts.verification.extra,
        differing: facts.verification.differing,
        match_percent: facts.verification.match_percent,
    };
    let reached = Reached {
        total: hops.get(Hop::Total.as_str()),
        throughput,
        success_percent: success_percent(&counts),
        match_percent: Some(verification.match_percent),
    };
    let objectives = facts.request.targets.judge(&reached);
    let environment = facts.surroundings.environment.clone();
    let conditions = Conditions {
        connector: environment
            .debezium
            .connector
            .as_ref()
            .map(|c| c.config.clone())
            .unwrap_or_default(),
        postgres: environment.postgres.settings.clone(),
        store: format!("{} {}", environment.store.name, environment.store.version),
        write_concern: environment.store.write_concern.clone(),
        log_append_time: facts.capture.log_append_time,
        rate_per_s: facts.request.rate.per_second(),
    };
    let mut diagnosis = diagnose(path, &hops, &conditions);
    diagnosis
        .findings
        .splice(0..0, disturbances(&facts, &counts));
    let clean =
        counts.lost == 0 && verification.missing + verification.extra + verification.differing == 0;
    let verdict = if clean && objectives.iter().all(|o| o.met) {
        Verdict::Pass
    } else {
        Verdict::Fail
    };
    let request = facts.request;
    let [users, activities, participants] = facts.recording.by_type;
    Report {
        schema: SCHEMA.to_owned(),
        run: RunInfo {
            id: request.id.to_string(),
            started_at: facts.started_at.to_string(),
            finished_at: jiff::Timestamp::now().to_string(),
            capture: facts.path.to_owned(),
            stack: facts.stack.to_string(),
            events: counts.inserted,
            warmup_events: request.warmup,
            rate_per_s: request.rate.per_second(),
            insert_batch: to_u64(request.insert_batch),
            connections: to_u64(request.connections),
            seed: request.seed,
            batch_size: to_u64(request.settings.batch_size),
            duration_s: facts.load.first_t0.map_or(0.0, |first| seconds_between(first, facts.finished)),
        },
        environment,
        counts,
        events_by_type: EventsByType { UserCreated: users, ActivityCreated: activities, ParticipantJoined: participants },
        throughput,
        paths: BTreeMap::from([(
            facts.path.to_owned(),
            PathReport { hops, total_from_schedule: Some(path.from_schedule().statistics(Some(Nanos(0)))) },
        )]),
        clocks: vec![
            facts.postgres_clock.report("postgres", "round trips to clock_timestamp(), intersected"),
            facts.broker_clock.report("kafka", "probe records' LogAppendTime between send and delivery report, intersected; whole milliseconds"),
        ],
        incidents: Vec::new(),
        diagnosis,
        objectives,
        verification: Some(verification),
        verdict,
    }
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn counts(facts: &Facts<'_>, path: &PathStatistics) -> Counts {
    let tally = facts.tally;
    let (negative_hops, negative_within_error) = path.negatives(|hop| error_bound(hop, facts));
    Counts {
        inserted: tally.inserted,
        captured: tally.captured,
        in_kafka: facts.in_kafka,
        consumed: tally.consumed,
        written: tally.written,
        errors: tally.insert_errors + facts.dead_letters,
        dead_letters: facts.dead_letters,
        duplicates: tally.duplicates,
        // A dead letter is kept, with its reason; it is an error, not a loss.
        lost: tally
            .inserted
            .saturating_sub(tally.written + facts.dead_letters),
        negative_hops,
        negative_within_error,
        observer_late: path.observer_late,
        lsn_mismatches: tally.lsn_mismatches,
    }
}

/// (processed - errors) / processed, percent. What was lost was processed without success.
#[allow(clippy::cast_precision_loss)] // event counts far below 2^53
fn success_percent(counts: &Counts) -> f64 {
    let processed = counts.written + counts.errors + counts.lost;
    if processed == 0 {
        return 0.0;
    }
    counts.written as f64 / processed as f64 * 100.0
}

/// How far the figures of a hop may be off; zero where both ends are on our clock, `None` where a clock is unknown.
fn error_bound(hop: Hop, facts: &Facts<'_>) -> Option<Nanos> {
    let broker = facts.broker_clock.error_bound() + HALF_MILLISECOND;
    let connect = facts
        .connect_shares_clock
        .then(|| facts.postgres_clock.error_bound());
    match hop {
        Hop::KafkaDelivery | Hop::ConsumerLag => facts
            .capture
            .log_append_time
            .then_some(broker)
            .or_else(|| Some(connect? + HALF_MILLISECOND)),
        Hop::Debezium => connect,
        Hop::Produce => Some(connect? + broker),
        Hop::Capture
        | Hop::Processing
        | Hop::Total
        | Hop::Commit
        | Hop::WalDelivery
        | Hop::Transform
        | Hop::Write
        | Hop::ScheduleLag => Some(Nanos(0)),
    }
}

/// What happened to the run besides its latency.
fn disturbances(facts: &Facts<'_>, counts: &Counts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |evidence: String, advice: &str| {
        findings.push(Finding {
            hop: None,
            severity: Severity::Critical,
            evidence,
            advice: advice.to_owned(),
        });
    };
    if counts.lost > 0 {
        add(
            format!(
                "{} of {} events are not in the store{}",
                counts.lost,
                counts.inserted,
                if facts.drained {
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
    for (server, times) in &facts.server_restarts {
        add(
            format!("{server} ended by itself and was started again {times} times"),
            "the latencies hold these outages; run.log says when",
        );
    }
    if facts.connector_restarts > 0 {
        add(
            format!(
                "the connector's task failed and was restarted {} times",
                facts.connector_restarts
            ),
            "the latencies hold these outages; run.log has the reasons",
        );
    }
    findings
}
