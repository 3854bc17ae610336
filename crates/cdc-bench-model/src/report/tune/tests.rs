use super::*;
use crate::report::sample;

fn trial(name: &str, p99_ms: i64, cpu: f64) -> TuneTrial {
    let mut configuration = Configuration::default();
    if name != "stock" {
        for (key, value) in [
            ("poll.interval.ms", "1"),
            ("producer.override.linger.ms", "0"),
        ] {
            let connector = &mut configuration.connector;
            connector.insert(key.to_owned(), value.to_owned());
        }
        let store = &mut configuration.store;
        store.insert("batch_size".to_owned(), "500".to_owned());
    }
    TuneTrial {
        name: name.to_owned(),
        configuration,
        measured: vec![TrialRun {
            events: 600,
            p50: p99_ms * 400,
            p95: p99_ms * 800,
            p99: p99_ms * 1_000,
            cpu_s_per_million: Some(cpu),
            is_clean: true,
            run: format!("run-of-{name}"),
            folder: format!("{name}-2"),
        }],
        refused: None,
    }
}

fn tune() -> TuneReport {
    let mut tune = TuneReport {
        schema: SCHEMA,
        id: "20261124-101500-7f3a9c".to_owned(),
        started_at: "2026-11-24T10:15:00Z".to_owned(),
        finished_at: "2026-11-24T10:21:00Z".to_owned(),
        stack: "local".to_owned(),
        rate_per_s: Some(167.0),
        seed: 42,
        environment: Some(sample::report().environment),
        trials: vec![
            trial("stock", 920, 1_100.0),
            trial("low-latency", 20, 3_600.0),
            trial("3", 24, 2_000.0),
            trial("4", 30, 2_400.0),
            trial("5", 12, 900.0),
            TuneTrial {
                refused: Some("the connector failed".to_owned()),
                measured: Vec::new(),
                ..trial("6", 1, 1.0)
            },
        ],
        frontier: Vec::new(),
        recommended: None,
        head_to_head: None,
        ended_early: Some("interrupted".to_owned()),
    };
    // What loses events is on no frontier.
    tune.trials[4].measured[0].is_clean = false;
    tune.find_frontier();
    tune
}

#[test]
fn the_frontier_is_in_order_and_without_what_lost_events() {
    assert_eq!(tune().frontier, ["low-latency", "3", "stock"]);
}

#[test]
fn runs_of_other_lengths_are_not_held_against_each_other() {
    let mut tune = tune();
    for trial in &mut tune.trials[1..3] {
        let longer = trial.measured[0].clone();
        trial.measured.push(longer);
    }
    tune.find_frontier();
    assert_eq!(tune.frontier, ["low-latency", "3"]);
}

#[test]
fn what_is_pasted_has_no_secret_and_no_name_of_the_run() {
    let config = [
        ("name", "cdc-bench-run-x"),
        ("slot.name", "cdc_bench_debezium_x"),
        ("topic.prefix", "cdc_bench_x"),
        ("database.password", "********"),
        ("poll.interval.ms", "1"),
    ];
    let config = config.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let pasted = serde_json::to_string(&RecommendedConnector::to_paste(&config)).unwrap();
    assert!(pasted.contains(r#""poll.interval.ms":"1""#), "{pasted}");
    assert!(
        !pasted.contains("cdc") && !pasted.contains("***"),
        "{pasted}"
    );
}

#[test]
fn the_terminal_shows_what_was_tried_and_what_to_set() {
    let mut tune = tune();
    let config = &sample::report()
        .environment
        .debezium
        .connector
        .unwrap()
        .config;
    tune.recommended = Some(Recommended {
        name: "3".to_owned(),
        why: "a word",
        configuration: tune.trials[2].configuration.clone(),
        connector: RecommendedConnector::to_paste(config),
    });
    let text = render_tune(&tune);
    insta::assert_snapshot!(console::strip_ansi_codes(&text));
}
