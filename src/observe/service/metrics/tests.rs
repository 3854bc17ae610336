use std::collections::BTreeSet;
use std::time::Duration;

use cdc_bench_model::observation::{ChangeId, ObservedStamps, Operation, RecordPosition};
use cdc_bench_model::timeline::Stamp;

use super::*;

fn at(ms: i64) -> Stamp {
    Stamp(0) + Nanos::from_millis(ms)
}

fn change(table: &str) -> ObservedChange {
    ObservedChange {
        id: ChangeId {
            table: table.into(),
            key: "{\"id\":1}".into(),
            lsn: Some(1),
            operation: Operation::Create,
        },
        position: RecordPosition {
            topic: 0,
            partition: 0,
            offset: 0,
        },
        stamps: ObservedStamps {
            t0: None,
            tc: at(0),
            t1: at(1),
            td: Some(at(2)),
            t2: at(4),
            t3: at(5),
            tg: None,
            tr: None,
            ts: None,
            t5: Some(at(20)),
        },
        weight: 1,
    }
}

/// Everything told once.
fn told() -> ObservedMetrics {
    let metrics = ObservedMetrics::default();
    metrics.name(&ObservedPipeline::default());
    metrics.record(&change("public.orders"));
    metrics.errors(|_| Some(Nanos(1)));
    let mut taps = TapStates::new((true, true), Duration::from_millis(100), &Arc::default());
    taps.cut("sink", "gone");
    metrics.tell(&Standing {
        counts: &ObservationCounts {
            captured: 7,
            missing: 2,
            ..ObservationCounts::default()
        },
        sampled_share: 0.5,
        debezium_lag: Nanos::from_millis(1_500),
        slot: Some((
            "debezium",
            Some(SlotState {
                is_active: true,
                retained_bytes: Some(4_096),
                unconfirmed_bytes: Some(1_024),
                behind: Some(Nanos::from_millis(2_000)),
            }),
        )),
        group: Some("sink"),
        lags: &[PartitionLag {
            topic: "orders".to_owned(),
            partition: Some(3),
            records: 12,
            behind: Nanos::from_millis(800),
        }],
        taps: &taps,
    });
    metrics
}

fn text(metrics: &ObservedMetrics) -> String {
    String::from_utf8(metrics.text()).unwrap()
}

/// Names of the metrics in a text, as Prometheus stores them.
fn names(text: &str) -> BTreeSet<String> {
    let word = |c: char| !(c.is_ascii_lowercase() || c == '_');
    let words = text.split(word);
    words
        .filter(|word| word.starts_with("cdc_bench_"))
        .map(|word| {
            let known = ["_bucket", "_sum", "_count"];
            let mut ends = known.into_iter().filter_map(|end| word.strip_suffix(end));
            ends.next().unwrap_or(word).to_owned()
        })
        .collect()
}

#[test]
fn every_metric_that_the_dashboard_and_the_alerts_use_is_exported() {
    let exported = names(&text(&told()));
    let deployed = [
        include_str!("../../../../deploy/grafana/cdc-bench-observe.json"),
        include_str!("../../../../deploy/prometheus/alerts.yml"),
    ];
    for file in deployed {
        let used = names(file);
        assert!(used.len() > 4, "{used:?}");
        let unknown: Vec<_> = used.difference(&exported).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
    let dashboard: serde_json::Value = serde_json::from_str(deployed[0]).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 8);
    // The table of the module, and that of the how-to, list exactly these metrics.
    let head = include_str!("../metrics.rs")
        .split("mod families;")
        .next()
        .unwrap();
    assert_eq!(names(head), exported);
    let page = include_str!("../../../../docs/how-to/observe-as-a-service.md");
    let missing: Vec<_> = exported.difference(&names(page)).cloned().collect();
    assert!(missing.is_empty(), "not documented: {missing:?}");
}

#[test]
fn counters_gauges_and_histograms_hold_what_was_told() {
    let metrics = told();
    let text = text(&metrics);
    for line in [
        "cdc_bench_observe_changes_total{place=\"captured\"} 7",
        "cdc_bench_observe_missing_total 2",
        "cdc_bench_observe_sampled_ratio 0.5",
        "cdc_bench_observe_debezium_lag_seconds 1.5",
        "cdc_bench_observe_slot_retained_bytes{slot=\"debezium\"} 4096",
        "cdc_bench_observe_group_lag_records{group=\"sink\",partition=\"3\",topic=\"orders\"} 12",
        "cdc_bench_observe_group_lag_seconds{group=\"sink\",partition=\"3\",topic=\"orders\"} 0.8",
        "cdc_bench_observe_tap_up{tap=\"sink\"} 0",
        "cdc_bench_observe_tap_up{tap=\"wal\"} 1",
        "cdc_bench_observe_hop_seconds_bucket{hop=\"total\",table=\"public.orders\",le=\"0.01\"} 0",
        "cdc_bench_observe_hop_seconds_bucket{hop=\"total\",table=\"public.orders\",le=\"0.025\"} 1",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line}: {text}");
    }
    let health = metrics.health().unwrap();
    assert!(
        !health.is_healthy && health.json.contains("gone"),
        "{}",
        health.json
    );
    let before = ObservedMetrics::default().health().unwrap();
    assert!(!before.is_healthy && before.json.contains("starting"));
}

#[test]
fn tables_beyond_the_bound_share_one_label() {
    let metrics = ObservedMetrics::default();
    for n in 0..100 {
        metrics.record(&change(&format!("public.t{n}")));
    }
    let text = text(&metrics);
    assert!(text.contains("table=\"public.t15\"") && !text.contains("table=\"public.t16\""));
    let others = "cdc_bench_observe_hop_seconds_count{hop=\"total\",table=\"(others)\"} 84\n";
    assert!(text.contains(others));
}

#[test]
fn a_change_of_a_sample_counts_for_those_that_it_stands_for() {
    let metrics = ObservedMetrics::default();
    metrics.record(&ObservedChange {
        weight: 4,
        ..change("public.orders")
    });
    let text = text(&metrics);
    for line in [
        "cdc_bench_observe_hop_seconds_count{hop=\"total\",table=\"public.orders\"} 4",
        "cdc_bench_observe_hop_seconds_sum{hop=\"total\",table=\"public.orders\"} 0.08",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line}: {text}");
    }
}
