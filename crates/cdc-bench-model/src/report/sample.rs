//! A result made by hand, for tests of how results are written.

use std::collections::BTreeMap;

use super::*;
use crate::analysis::{Diagnosis, Finding, HopStatistics, Objective, Severity, Throughput};
use crate::timeline::{CapturePath, Hop};

/// Quantiles that are all different, so that a mixed-up column shows.
pub(super) fn statistics(p50: i64, error_bound: Option<i64>) -> HopStatistics {
    HopStatistics {
        count: 10_000,
        min: p50 / 3,
        mean: p50 + 17,
        p50,
        p90: p50 * 3 / 2 + 1,
        p95: p50 * 2 + 3,
        p99: p50 * 3 + 7,
        p999: p50 * 5 + 11,
        max: p50 * 20 + 13,
        error_bound,
    }
}

fn path(factor: i64) -> PathReport {
    let spans = [
        (Hop::Capture, 581, Some(0)),
        (Hop::KafkaDelivery, 2_431, Some(920)),
        (Hop::ConsumerLag, 33, Some(920)),
        (Hop::Processing, 1_254, Some(0)),
        (Hop::Total, 4_917, Some(0)),
        (Hop::Commit, 512, Some(0)),
        (Hop::WalDelivery, 69, Some(0)),
        (Hop::Debezium, 1_202, None),
        (Hop::Produce, 1_229, Some(961)),
        (Hop::Transform, 41, Some(0)),
        (Hop::Write, 1_213, Some(0)),
        (Hop::ScheduleLag, 12, Some(0)),
    ];
    PathReport {
        hops: spans
            .into_iter()
            .map(|(hop, p50, bound)| (hop.as_str().to_owned(), statistics(p50 * factor, bound)))
            .collect(),
        total_from_schedule: Some(statistics(4_940 * factor, Some(0))),
        ..PathReport::default()
    }
}

fn owned(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// A run that missed an objective.
pub(super) fn report() -> Report {
    let objective = |name: &str, target: &str, measured: Option<f64>, met: bool| Objective {
        name: name.to_owned(),
        target: target.to_owned(),
        measured,
        met,
    };
    Report {
        schema: SCHEMA.to_owned(),
        run: RunInfo {
            id: "20261124-101500-7f3a9c".to_owned(),
            kind: RUN.to_owned(),
            started_at: "2026-11-24T10:15:00Z".to_owned(),
            finished_at: "2026-11-24T10:16:20Z".to_owned(),
            capture: "debezium".to_owned(),
            paths: vec![CapturePath::Debezium],
            rounds: 1,
            interleaved: false,
            stack: "local".to_owned(),
            events: 10_000,
            warmup_events: 500,
            warmup_settles: false,
            rate_per_s: Some(167.0),
            insert_batch: 1,
            connections: 8,
            seed: 42,
            hot_share: 0.0,
            shards: 1,
            batch_size: 100,
            writes_in_flight: Some(2),
            duration_s: 60.1,
            resumed: None,
        },
        environment: Environment {
            host: Host {
                os: "linux".to_owned(),
                arch: "x86_64".to_owned(),
                cores: 2,
                cpu: Some("A & B <fast>".to_owned()),
                memory_mib: Some(8_192),
            },
            build: owned(&[("profile", "release"), ("version", "0.1.0")]),
            program: Program::default(),
            postgres: PostgresReport {
                version: "18.3".to_owned(),
                settings: owned(&[("fsync", "on"), ("synchronous_commit", "on")]),
            },
            kafka: KafkaReport {
                version: Some("4.3.0".to_owned()),
                topic: "cdc_bench_x.activity.event_outbox".to_owned(),
                partitions: 1,
                replicas: Some(1),
                brokers: Some(1),
                timestamp_type: "LogAppendTime".to_owned(),
                group: "cdc-bench-x".to_owned(),
                consumer: owned(&[("fetch.min.bytes", "1")]),
            },
            debezium: DebeziumReport {
                version: Some("3.6.0.Final".to_owned()),
                connect_version: Some("4.3.0".to_owned()),
                connect_workers: Some(1),
                connector: Some(ConnectorReport {
                    name: "cdc-bench-x".to_owned(),
                    profile: Some("low-latency".to_owned()),
                    chosen: None,
                    config: owned(&[("poll.interval.ms", "1")]),
                }),
            },
            store: StoreReport {
                name: "MongoDB".to_owned(),
                version: "8.0.4".to_owned(),
                is_mongodb: true,
                write_concern: "majority, journaled".to_owned(),
                database: "activity_read".to_owned(),
            },
        },
        counts: EventCounts {
            inserted: 10_000,
            captured: 10_000,
            in_kafka: 10_000,
            consumed: 10_000,
            written: 10_000,
            observer_late: 31,
            ..EventCounts::default()
        },
        dead_letters_by_reason: BTreeMap::new(),
        events_by_type: EventsByType {
            UserCreated: 3_334,
            ActivityCreated: 3_333,
            ParticipantJoined: 3_333,
        },
        throughput: Throughput {
            average_per_s: 166.4,
            peak_per_s: 171.0,
            sustained_per_s: 166.4,
        },
        paths: BTreeMap::from([("debezium".to_owned(), path(1))]),
        shared_cpu_s_per_million: BTreeMap::new(),
        clocks: vec![ClockReport {
            server: "kafka".to_owned(),
            offset: -12,
            error_bound: 420,
            drift: Some(3),
            drift_ppm: Some(0.1),
            measurements: 4,
            method: "probe records".to_owned(),
        }],
        incidents: Vec::new(),
        faults: Vec::new(),
        footprint: Vec::new(),
        workers: Vec::new(),
        diagnosis: Diagnosis {
            slowest_hop: Some("kafka_delivery".to_owned()),
            share_of_total: 0.567,
            findings: vec![Finding::new(
                Some(Hop::KafkaDelivery),
                Severity::Warning,
                "a_b | 1 < 2 & <script>alert(1)</script>",
                "set *linger* to \"0\"",
            )],
            ..Diagnosis::default()
        },
        objectives: vec![
            objective("p50_ms", "< 30 ms", Some(4.917), true),
            objective("p95_ms", "< 5 ms", Some(9.837), false),
            objective("success_percent", "> 99.9 %", Some(100.0), true),
            objective("match_percent", "100 %", None, false),
        ],
        verification: Some(Verification {
            postgres_count: 10_000,
            store_count: 10_000,
            match_percent: 100.0,
            ..Verification::default()
        }),
        verdict: Verdict::Fail,
    }
}

/// The same with a second capture path, three times as slow.
pub(super) fn two_paths() -> Report {
    let mut report = report();
    report.paths.insert("wal".to_owned(), path(3));
    report.run.paths.push(CapturePath::Wal);
    report
}
