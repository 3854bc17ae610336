//! Faults that a run makes itself, and what its report says of them: nothing lost, nothing doubled in the store, order kept, and a server
//! that stood still told from a slow one.

use serde_json::Value;

use super::Test;
use super::stack::command::{Ended, ended, small_run};
use super::stack::{TestStack, open_folder};

pub const TESTS: &[Test] = &[
    (
        "a_store_that_stood_still_is_told_from_a_slow_one",
        store_stands_still,
    ),
    (
        "faults_of_our_own_consumer_and_reader_lose_nothing",
        own_workers,
    ),
    (
        "a_fault_that_cannot_be_made_is_refused_before_anything_is_made",
        refused,
    ),
];

/// Each takes up to a minute.
pub const LONG_TESTS: &[Test] = &[
    (
        "the_matrix_of_faults_loses_nothing_doubles_nothing_and_keeps_order",
        matrix,
    ),
    ("a_spoilt_link_loses_nothing", spoilt_links),
    (
        "each_server_that_stood_still_is_named",
        each_server_stands_still,
    ),
];

fn run(stack: &TestStack, args: &[&str]) -> Ended {
    ended(small_run(stack.kept(), open_folder().path(), args))
}

/// Every path has all events once and in order, and each fault was made.
fn assert_sound(report: &Value, faults: usize) {
    let made = report["faults"].as_array().unwrap();
    assert_eq!(made.len(), faults, "{report:#}");
    for (path, of_path) in report["paths"].as_object().unwrap() {
        let (counts, found) = (&of_path["counts"], &of_path["verification"]);
        assert_eq!(counts["written"], counts["inserted"], "{path}: {counts}");
        for (of, name) in [
            (counts, "lost"),
            (found, "missing"),
            (found, "extra"),
            (found, "differing"),
        ] {
            assert_eq!(of[name], 0, "{path} {name}: {of}");
        }
        for fault in made {
            let effect = &fault["paths"][path];
            assert_eq!(
                (&effect["lost"], &effect["reordered"]),
                (&0.into(), &0.into()),
                "{fault:#}"
            );
            assert!(effect["first_event"].is_i64(), "{fault:#}");
        }
    }
}

/// The evidence of every finding of a report.
fn evidence(report: &Value) -> Vec<String> {
    let of = |diagnosis: &Value| {
        let findings = diagnosis["findings"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        findings
            .iter()
            .map(|finding| finding["evidence"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let paths = report["paths"].as_object().unwrap().values();
    paths.flat_map(|path| of(&path["diagnosis"])).collect()
}

fn store_stands_still(stack: &TestStack) {
    let end = run(
        stack,
        &[
            "--events",
            "900",
            "--rate",
            "150",
            "--warmup",
            "50",
            "--fault",
            "pause:store@2s,for=2s",
        ],
    );
    let report = end.json();
    assert_sound(&report, 1);
    let stalls = report["paths"]["debezium"]["stalls"].as_array().unwrap();
    let stall = stalls.iter().find(|stall| stall["server"] == "store");
    let stall = stall.unwrap_or_else(|| panic!("{report:#}"));
    let (at, took) = (
        stall["at_s"].as_f64().unwrap(),
        stall["took"].as_i64().unwrap(),
    );
    // Beside other tests the machine may stand still by itself.
    assert!((1.5..4.0).contains(&at), "{stall}");
    assert!((1_200_000..5_000_000).contains(&took), "{stall}");
    assert!(stall["waited"].as_u64().unwrap() > 100, "{stall}");
    let evidence = evidence(&report);
    let found = evidence
        .iter()
        .find(|text| text.starts_with("the store answered nothing from second"));
    let found = found.unwrap_or_else(|| panic!("{evidence:#?}"));
    assert!(found.contains("events waited for it, and p95"), "{found}");
    let incidents = report["incidents"].as_array().unwrap();
    let kinds: Vec<_> = incidents.iter().map(|incident| &incident["kind"]).collect();
    assert!(
        kinds.contains(&&"fault".into()) && kinds.contains(&&"stall".into()),
        "{kinds:?}"
    );
    let effect = &report["faults"][0]["paths"]["debezium"];
    assert!(
        effect["noticed"].is_i64() && effect["backlog"].as_u64().unwrap() > 100,
        "{effect}"
    );
    stack.assert_nothing_left("a run with a fault");
}

fn own_workers(stack: &TestStack) {
    let faults = [
        "kill:consumer@15%",
        "kill:reader@35%",
        "restart:reader@55%",
        "pause:reader@75%,for=500ms",
    ];
    let mut args = vec![
        "--capture",
        "wal,embedded",
        "--events",
        "1200",
        "--rate",
        "150",
        "--warmup",
        "50",
    ];
    args.extend(faults.iter().flat_map(|fault| ["--fault", fault]));
    let report = run(stack, &args).json();
    assert_sound(&report, faults.len());
    stack.assert_nothing_left("a run with faults of its own workers");
}

fn refused(stack: &TestStack) {
    let results = open_folder();
    for (args, why) in [
        (
            &["--fault", "kill:kafka@1s"][..],
            "kafka is not ours to take away",
        ),
        (&["--fault", "kill:reader@1s"], "our reader only observes"),
        (&["--fault", "kill:kafka"], "kill:connect@30%"),
        (
            &["--fault", "kill:consumer@1s", "--interleave"],
            "--interleave",
        ),
    ] {
        let end = ended(small_run(stack.external(), results.path(), args));
        assert_eq!(end.code, 2, "{args:?}: {}", end.err);
        assert!(end.err.contains(why), "{args:?}: {}", end.err);
    }
    // The broker of a stack that is kept was started without a listener for it.
    for (args, link) in [
        (&["--fault", "cut:consumer-kafka@1s"][..], "consumer-kafka"),
        (
            &["--capture", "wal", "--fault", "cut:reader-kafka@1s"],
            "reader-kafka",
        ),
    ] {
        let end = ended(small_run(stack.kept(), results.path(), args));
        end.refused(2, &[link, "cdc-bench stack down"]);
    }
    let end = ended(small_run(
        stack.kept(),
        results.path(),
        &["--fault", "cut:reader-kafka@1s"],
    ));
    end.refused(2, &["no capture path of this run goes over reader-kafka"]);
    assert_eq!(std::fs::read_dir(results.path()).unwrap().count(), 0);
    stack.assert_nothing_left("a refused fault");
}

/// 6 processes, 3 faults, 3 moments, 2 paths.
fn matrix(stack: &TestStack) {
    for process in [
        "postgres", "kafka", "connect", "store", "consumer", "reader",
    ] {
        for (action, options) in [("kill", ""), ("pause", ",for=5s"), ("restart", "")] {
            let faults =
                ["10%", "40%", "70%"].map(|moment| format!("{action}:{process}@{moment}{options}"));
            let mut args = vec![
                "--capture",
                "both",
                "--events",
                "2400",
                "--rate",
                "50",
                "--warmup",
                "50",
                "--drain-timeout",
                "90",
            ];
            args.extend(faults.iter().flat_map(|fault| ["--fault", fault]));
            let end = run(stack, &args);
            let report = end.json();
            eprintln!("{}", summary(&report));
            assert_sound(&report, faults.len());
        }
    }
    stack.assert_nothing_left("the matrix of faults");
}

/// A line for each fault and path.
fn summary(report: &Value) -> String {
    let mut lines = Vec::new();
    for fault in report["faults"].as_array().unwrap() {
        for (path, effect) in fault["paths"].as_object().unwrap() {
            lines.push(format!("{} {path} {effect}", fault["fault"]));
        }
    }
    lines.join("\n")
}

fn spoilt_links(stack: &TestStack) {
    let faults = [
        "cut:consumer-store@10%,for=2s",
        "reset:reader-postgres@30%",
        "cut:connect-postgres@45%,for=1s",
        "delay:consumer-store@70%,by=40ms,for=2s",
        "throttle:reader-postgres@85%,to=20000,for=1s",
    ];
    let mut args = vec![
        "--capture",
        "both",
        "--events",
        "3000",
        "--rate",
        "60",
        "--warmup",
        "50",
        "--drain-timeout",
        "90",
    ];
    args.extend(faults.iter().flat_map(|fault| ["--fault", fault]));
    let report = run(stack, &args).json();
    eprintln!("{}", summary(&report));
    assert_sound(&report, faults.len());
    stack.assert_nothing_left("a run with spoilt links");
}

fn each_server_stands_still(stack: &TestStack) {
    for (server, words) in [
        ("postgres", "PostgreSQL committed nothing"),
        ("kafka", "Kafka"),
        ("connect", "Kafka Connect handed on nothing"),
        ("store", "the store answered nothing"),
    ] {
        let fault = format!("pause:{server}@4s,for=2s");
        let report = run(
            stack,
            &[
                "--events", "1200", "--rate", "120", "--warmup", "200", "--fault", &fault,
            ],
        )
        .json();
        assert_sound(&report, 1);
        let evidence = evidence(&report);
        let named = |text: &String| {
            text.starts_with(words) && text.contains(&format!("the run's own fault {fault}"))
        };
        assert!(evidence.iter().any(named), "{server}: {evidence:#?}");
    }
}
