//! Local clusters: brokers that are killed while they lead, Connect workers that take each other's work over, and a kept stack of
//! several of each.

use serde_json::Value;

use super::Test;
use super::random_cuts::{assert_once_in_kafka, assert_sound, run};
use super::stack::command::{ended, small_run, with};
use super::stack::{TestStack, open_folder};

pub const TESTS: &[Test] = &[(
    "a_cluster_is_refused_where_it_cannot_be_before_anything_is_made",
    refused,
)];

/// Each takes a minute or two, on servers of its own.
pub const LONG_TESTS: &[Test] = &[
    (
        "cluster_brokers_that_lead_are_killed_and_nothing_is_lost_doubled_or_reordered",
        killed_leaders,
    ),
    (
        "cluster_a_connect_worker_takes_over_from_one_that_is_away",
        killed_worker,
    ),
    ("cluster_that_is_kept_is_used_by_runs", kept),
];

fn refused(stack: &TestStack) {
    let results = open_folder();
    for (args, words) in [
        (&["--brokers", "2"][..], "possible values: 1, 3"),
        (&["--brokers", "3"], "cdc-bench stack down"),
        (&["--connect-workers", "2"], "another size"),
        (
            &["--fault", "kill:kafka-2@1s"],
            "this stack has no process kafka-2",
        ),
    ] {
        let end = ended(small_run(stack.kept(), results.path(), args));
        end.refused(2, &[words]);
    }
    let args = ["--brokers", "3"];
    let end = ended(small_run(stack.external(), results.path(), &args));
    end.refused(2, &["the size of a local stack"]);
    // What the stack is may be asked for.
    let args = ["--brokers", "1", "--connect-workers", "1", "--events", "5"];
    let report = ended(small_run(stack.kept(), results.path(), &args)).json();
    let kafka = &report["environment"]["kafka"];
    assert_eq!(
        (&kafka["brokers"], &kafka["replicas"]),
        (&1.into(), &1.into())
    );
    stack.assert_nothing_left("a run of a size");
}

/// The process that each fault took away.
fn taken(report: &Value) -> Vec<&str> {
    let faults = report["faults"].as_array().unwrap().iter();
    faults
        .map(|fault| fault["process"].as_str().unwrap())
        .collect()
}

/// Each of these brokers leads a partition, and one of them is away for longer than its session.
fn killed_leaders(_: &TestStack) {
    let faults = [
        "kill:kafka@20%",
        "kill:kafka@45%,for=8s",
        "pause:kafka@75%,for=6s",
    ];
    let args = [
        "--brokers",
        "3",
        "--partitions",
        "3",
        "--capture",
        "both",
        "--events",
        "4000",
        "--rate",
        "80",
        "--warmup",
        "100",
        "--drain-timeout",
        "90",
    ];
    let report = run(&args, &faults.map(str::to_owned));
    eprintln!("{:#}", report["faults"]);
    assert_sound(&report);
    let taken = taken(&report);
    assert!(
        taken.iter().all(|process| process.starts_with("kafka-")),
        "{taken:?}"
    );
    // Our producer is idempotent.
    assert_once_in_kafka(&report, "wal");
    let kafka = &report["environment"]["kafka"];
    assert_eq!(
        (&kafka["brokers"], &kafka["replicas"]),
        (&3.into(), &3.into())
    );
    assert_eq!(
        report["paths"]["wal"]["partitions"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

/// The worker with the connector's task is away for longer than the other needs to take it over.
fn killed_worker(_: &TestStack) {
    let faults = ["kill:connect@25%,for=25s"];
    let args = [
        "--connect-workers",
        "2",
        "--events",
        "2400",
        "--rate",
        "60",
        "--warmup",
        "100",
        "--drain-timeout",
        "90",
    ];
    let report = run(&args, &faults.map(str::to_owned));
    let fault = &report["faults"][0];
    eprintln!("{fault:#}");
    assert_sound(&report);
    let taken = taken(&report);
    assert!(taken[0].starts_with("connect-"), "{taken:?}");
    let first = fault["paths"]["debezium"]["first_event"].as_i64().unwrap();
    assert!(first < 22_000_000, "nobody took over: {fault:#}");
    assert_eq!(report["environment"]["debezium"]["connect_workers"], 2);
}

fn kept(_: &TestStack) {
    let args = ["--brokers", "3", "--connect-workers", "2"];
    let stack = TestStack::with_quick_jvms(&args);
    let status = ended(with(stack.kept(), &["stack", "status", "--json"])).json();
    let servers = status["servers"].as_array().unwrap();
    let names: Vec<_> = servers
        .iter()
        .map(|server| server["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "postgres",
            "kafka-1",
            "kafka-2",
            "kafka-3",
            "connect-1",
            "connect-2",
            "store"
        ]
    );
    assert!(
        servers.iter().all(|server| server["answers"] == true),
        "{status:#}"
    );
    let logs = ended(with(stack.kept(), &["stack", "logs", "kafka-2"]));
    assert_eq!(logs.code, 0, "{}", logs.err);
    let results = open_folder();
    let end = ended(small_run(stack.kept(), results.path(), &["--brokers", "1"]));
    end.refused(2, &["another size (brokers: 3, Connect workers: 2)"]);
    // A follower that is away slows nobody down for long.
    let args = [
        "--capture",
        "both",
        "--partitions",
        "4",
        "--events",
        "1500",
        "--rate",
        "100",
        "--fault",
        "kill:kafka-3@30%",
        "--fault",
        "restart:connect-1@60%",
    ];
    let report = ended(small_run(stack.kept(), results.path(), &args)).json();
    eprintln!("{:#}", report["faults"]);
    assert_sound(&report);
    assert_eq!(taken(&report), ["kafka-3", "connect-1"]);
    stack.assert_nothing_left("a run on a cluster");
}
