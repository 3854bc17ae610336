//! Several capture paths in one run: on the same inserts, or interleaved.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mongodb::bson::{Document, doc};
use serde_json::Value;

use super::Test;
use super::outages::during_run;
use super::stack::command::{ended, result_folder, small_run, with};
use super::stack::{TestStack, open_folder};

pub const TESTS: &[Test] = &[
    ("every_path_follows_the_same_inserts", same_inserts),
    ("interleaved_paths_have_rounds_of_their_own", turns),
    (
        "our_own_path_loses_nothing_when_its_walsender_dies",
        walsender_dies,
    ),
    (
        "our_own_path_loses_nothing_when_the_broker_crashes",
        broker_crashes,
    ),
    ("what_any_path_loses_fails_the_run", any_loss),
    ("a_run_without_its_observer_is_complete", unobserved),
];

pub const LONG_TESTS: &[Test] = &[(
    "the_observer_costs_less_than_two_equal_runs_differ_by",
    observer_cost,
)];

fn events(results: &Path) -> Vec<Value> {
    let file = result_folder(results).unwrap().join("events.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Asserts that a path has processed every event.
#[track_caller]
fn assert_path_complete(report: &Value, path: &str, events: u64) {
    let of = &report["paths"][path];
    let kafka = if path == "embedded" { 0 } else { events };
    for (place, expected) in [
        ("inserted", events),
        ("captured", events),
        ("in_kafka", kafka),
        ("consumed", events),
        ("written", events),
        ("lost", 0),
        ("errors", 0),
        ("lsn_mismatches", 0),
        ("negative_hops", 0),
    ] {
        assert_eq!(
            of["counts"][place], expected,
            "{path} {place}: {}",
            of["counts"]
        );
    }
    assert_eq!(of["verification"]["match_percent"], 100.0, "{path}");
    assert_eq!(of["verification"]["store_count"], events, "{path}");
}

fn same_inserts(stack: &TestStack) {
    let results = open_folder();
    let args = [
        "--capture",
        "debezium,wal,embedded",
        "--events",
        "300",
        "--rate",
        "150",
    ];
    let report = ended(small_run(stack.kept(), results.path(), &args)).json();
    assert_eq!(report["run"]["capture"], "debezium,wal,embedded");
    let mut starts: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for line in events(results.path()) {
        let stamp = |name: &str| line["stamps"][name].as_i64();
        let path = line["path"].as_str().unwrap().to_owned();
        let id = line["id"].as_str().unwrap().to_owned();
        starts.entry(id).or_default().insert(stamp("t0").unwrap());
        if path == "embedded" {
            assert_eq!(stamp("t1"), stamp("t2"));
        }
        assert_eq!(stamp("td").is_some(), path == "debezium");
        assert_eq!(line["round"], 0);
        *seen.entry(path).or_default() += 1;
    }
    assert_eq!(starts.len(), 300);
    assert!(
        starts.values().all(|t0| t0.len() == 1),
        "the same INSERT for all paths"
    );
    let mut names = BTreeSet::new();
    for path in ["debezium", "wal", "embedded"] {
        assert_path_complete(&report, path, 300);
        assert_eq!(seen[path], 300);
        let of = &report["paths"][path]["names"];
        for name in ["slot", "topic", "group", "collection"] {
            if let Some(value) = of[name].as_str() {
                assert!(
                    names.insert(format!("{name} {value}")),
                    "{path} shares its {name}"
                );
            }
        }
        let cpu = report["paths"][path]["cpu_s_per_million"]
            .as_object()
            .unwrap();
        assert!(cpu["walsender"].as_f64().unwrap() > 0.0, "{path}: {cpu:?}");
        let reader = if path == "debezium" {
            "observer_reader"
        } else {
            "reader"
        };
        assert!(cpu[reader].as_f64().unwrap() > 0.0, "{path}: {cpu:?}");
        assert_eq!(cpu.contains_key("connect"), path == "debezium");
        assert_eq!(cpu.contains_key("producer"), path == "wal");
    }
    assert!(
        report["shared_cpu_s_per_million"]["kafka"]
            .as_f64()
            .unwrap()
            > 0.0
    );
    stack.assert_nothing_left("a run of three paths");
    let text = ended(with(
        stack.kept(),
        &["verify", report["run"]["id"].as_str().unwrap()],
    ));
    assert_eq!(
        text.code, 0,
        "the first path writes where verify looks: {}",
        text.out
    );
    assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
    assert!(!stack.resources().contains("collection events_wal"));
}

fn turns(stack: &TestStack) {
    let results = open_folder();
    let args = [
        "--capture",
        "both",
        "--interleave",
        "--rounds",
        "2",
        "--events",
        "101",
        "--rate",
        "100",
    ];
    let report = ended(small_run(stack.kept(), results.path(), &args)).json();
    let run = &report["run"];
    assert_eq!(
        (&run["rounds"], &run["interleaved"]),
        (&2.into(), &true.into())
    );
    let mut ids = BTreeSet::new();
    let mut counts: BTreeMap<(String, u64), u64> = BTreeMap::new();
    let mut spans: BTreeMap<(String, u64), (i64, i64)> = BTreeMap::new();
    for line in events(results.path()) {
        let (path, round) = (
            line["path"].as_str().unwrap(),
            line["round"].as_u64().unwrap(),
        );
        let key = (path.to_owned(), round);
        assert!(
            ids.insert(line["id"].as_str().unwrap().to_owned()),
            "no path has another's events"
        );
        let at = |name: &str| line["stamps"][name].as_i64().unwrap();
        let span = spans.entry(key.clone()).or_insert((i64::MAX, 0));
        *span = (span.0.min(at("t0")), span.1.max(at("t5")));
        *counts.entry(key).or_default() += 1;
    }
    for path in ["debezium", "wal"] {
        assert_path_complete(&report, path, 101);
        let of = &report["paths"][path];
        for (round, events) in [(0, 51), (1, 50)] {
            assert_eq!(counts[&(path.to_owned(), round)], events);
            let reported = &of["rounds"][usize::try_from(round).unwrap()];
            assert_eq!(reported["hops"]["total"]["count"], events);
        }
        assert!(
            of["cpu_s_per_million"]["kafka"].as_f64().unwrap() > 0.0,
            "it was alone"
        );
    }
    let mut spans: Vec<_> = spans.into_values().collect();
    spans.sort_unstable();
    assert!(
        spans.windows(2).all(|pair| pair[0].1 < pair[1].0),
        "one after the other"
    );
    stack.assert_nothing_left("a run of turns");
    assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
}

fn walsender_dies(stack: &TestStack) {
    let results = open_folder();
    let args = [
        "--capture",
        "wal,embedded",
        "--events",
        "600",
        "--rate",
        "200",
    ];
    let end = during_run(stack, results.path(), &args, || {
        std::thread::sleep(std::time::Duration::from_millis(700));
        let killed = stack
            .sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active");
        assert_eq!(killed, ["t", "t"]);
    });
    let report = end.json();
    for path in ["wal", "embedded"] {
        assert_path_complete(&report, path, 600);
    }
    stack.assert_nothing_left("a run whose walsenders died");
    assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
}

fn broker_crashes(stack: &TestStack) {
    let results = open_folder();
    let args = [
        "--capture",
        "wal",
        "--events",
        "1000",
        "--rate",
        "200",
        "--drain-timeout",
        "60",
    ];
    let end = during_run(stack, results.path(), &args, || {
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        stack.crash("kafka");
    });
    let report = end.json();
    let counts = &report["paths"]["wal"]["counts"];
    assert_eq!(
        (&counts["written"], &counts["lost"]),
        (&1000.into(), &0.into()),
        "{counts}"
    );
    assert_eq!(
        counts["in_kafka"], 1000,
        "an idempotent producer doubles nothing: {counts}"
    );
    stack.wait_until_healthy();
    stack.assert_nothing_left("a run of ours with an outage");
    assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
}

fn any_loss(stack: &TestStack) {
    // The second path's collection accepts only one event of a type.
    let index = mongodb::IndexModel::builder()
        .keys(doc! { "run_id": 1, "event_type": 1 })
        .options(
            mongodb::options::IndexOptions::builder()
                .unique(true)
                .build(),
        )
        .build();
    let second = stack.store().collection::<Document>("events_embedded");
    stack.block_on(second.create_index(index)).unwrap();
    let results = open_folder();
    let args = [
        "--capture",
        "wal,embedded",
        "--events",
        "100",
        "--rate",
        "200",
        "--warmup",
        "0",
    ];
    let end = ended(small_run(stack.kept(), results.path(), &args));
    assert_eq!(end.code, 4, "{}", end.err);
    let report: Value = serde_json::from_str(&end.out).unwrap();
    assert_path_complete(&report, "wal", 100);
    let refused = report["paths"]["embedded"]["counts"]["dead_letters"]
        .as_u64()
        .unwrap();
    assert!(refused > 0);
    assert_eq!(
        report["counts"]["dead_letters"], refused,
        "troubles are those of all paths"
    );
    assert_eq!(report["verdict"], "fail");
    stack.block_on(second.drop()).unwrap();
    assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
}

fn unobserved(stack: &TestStack) {
    let results = open_folder();
    let args = ["--observer", "off", "--events", "100", "--rate", "100"];
    let report = ended(small_run(stack.kept(), results.path(), &args)).json();
    let path = &report["paths"]["debezium"];
    let counts = &path["counts"];
    assert_eq!(
        (&counts["captured"], &counts["written"]),
        (&0.into(), &100.into())
    );
    assert_eq!(path["hops"]["kafka_delivery"]["max"], 0);
    assert!(path["cpu_s_per_million"]["observer_reader"].is_null());
    assert!(
        report["diagnosis"]["findings"][0]["evidence"]
            .as_str()
            .unwrap()
            .contains("did not look on")
    );
    assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
}

/// The median of the total in five runs with the observer and five without, alternating.
fn observer_cost(stack: &TestStack) {
    let mut totals = [Vec::new(), Vec::new()];
    for _ in 0..5 {
        for (observer, totals) in ["on", "off"].iter().zip(&mut totals) {
            let results = open_folder();
            let args = [
                "--observer",
                observer,
                "--events",
                "1500",
                "--rate",
                "167",
                "--warmup",
                "300",
            ];
            let report = ended(small_run(stack.kept(), results.path(), &args)).json();
            let total = &report["paths"]["debezium"]["hops"]["total"]["p50"];
            totals.push(total.as_i64().unwrap());
        }
    }
    println!(
        "total p50, us: looking on {:?}, not {:?}",
        totals[0], totals[1]
    );
    totals.iter_mut().for_each(|totals| totals.sort_unstable());
    let cost = totals[0][2] - totals[1][2];
    let spread = totals
        .iter()
        .map(|totals| totals[4] - totals[0])
        .max()
        .unwrap();
    assert!(
        cost < spread,
        "looking on costs {cost} us; runs of the same differ by {spread} us"
    );
    assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
}
