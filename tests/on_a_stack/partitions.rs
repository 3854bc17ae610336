//! Topics of several partitions: the paths agree on where an aggregate is, its order holds, and the report has each partition.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::Test;
use super::stack::command::{cdc_bench_with_servers, ended, result_folder, small_run, with};
use super::stack::{TestStack, open_folder};

pub const TESTS: &[Test] = &[
    (
        "an_aggregate_is_in_one_partition_and_in_order_on_every_path",
        order_holds,
    ),
    (
        "partitions_are_refused_where_they_cannot_be_before_anything_is_made",
        refused,
    ),
];

/// A minute, on servers of its own.
pub const LONG_TESTS: &[Test] = &[(
    "partitions_that_are_too_few_are_told_and_more_of_them_help",
    too_few,
)];

/// Partition by event, of each path.
fn partitions_of(results: &Path) -> BTreeMap<String, BTreeMap<String, i64>> {
    let file = result_folder(results).unwrap().join("events.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    let mut by_path: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        let partition = line["partition"].as_i64().unwrap();
        let of_path = by_path.entry(text("path")).or_default();
        of_path.insert(text("id"), partition);
    }
    by_path
}

fn order_holds(stack: &TestStack) {
    const EVENTS: u64 = 600;
    let results = open_folder();
    // A consumer that leaves and one that is gone: partitions are given up and taken again with records under way.
    let args = [
        "--capture",
        "both",
        "--partitions",
        "4",
        "--events",
        "600",
        "--rate",
        "150",
        "--warmup",
        "50",
        "--fault",
        "restart:consumer@30%",
        "--fault",
        "kill:consumer@60%",
    ];
    let report = ended(small_run(stack.kept(), results.path(), &args)).json();
    for path in ["debezium", "wal"] {
        let of = &report["paths"][path];
        assert_eq!(of["counts"]["written"], EVENTS, "{path}: {of:#}");
        assert_eq!(of["counts"]["in_kafka"], EVENTS, "{path}: {of:#}");
        assert_eq!(of["counts"]["lost"], 0, "{path}: {of:#}");
        assert_eq!(of["verification"]["match_percent"], 100.0, "{path}: {of:#}");
        let partitions = of["partitions"].as_array().unwrap();
        assert_eq!(partitions.len(), 4, "{path}: {partitions:#?}");
        let records = partitions.iter().map(|p| p["records"].as_u64().unwrap());
        assert_eq!(records.sum::<u64>(), EVENTS, "{path}: {partitions:#?}");
        let shares = partitions.iter().map(|p| p["share"].as_f64().unwrap());
        assert!(shares.clone().all(|share| share > 0.1), "{partitions:#?}");
        assert!((shares.sum::<f64>() - 1.0).abs() < 1e-6);
        for partition in partitions {
            // While the consumer was away, records waited.
            assert!(partition["most_lag"].as_i64().unwrap() > 0, "{partition}");
            let lag = &partition["consumer_lag"];
            assert_eq!(lag["count"], partition["records"], "{partition}");
        }
        for fault in report["faults"].as_array().unwrap() {
            assert_eq!(fault["paths"][path]["reordered"], 0, "{fault:#}");
        }
    }
    // Debezium's producer and ours take the same partition for an aggregate.
    let by_path = partitions_of(results.path());
    assert_eq!(by_path["debezium"].len(), 600);
    assert_eq!(by_path["debezium"], by_path["wal"]);
    let connector = &report["environment"]["debezium"]["connector"]["config"];
    assert_eq!(
        connector["message.key.columns"],
        "activity.event_outbox:aggregate_id"
    );
    assert_eq!(report["environment"]["kafka"]["partitions"], 4);
    stack.assert_nothing_left("a run with several partitions");
}

fn refused(stack: &TestStack) {
    let results = open_folder();
    for (args, words) in [
        (
            &["--partitions", "4", "--capture", "embedded"][..],
            "no capture path of this run has one",
        ),
        (
            &["--partitions", "4", "--connector", "shop"],
            "cannot be used with",
        ),
        (&["--partitions", "0"], "--partitions"),
    ] {
        let end = ended(small_run(stack.kept(), results.path(), args));
        end.refused(2, &[words]);
    }
    assert_eq!(std::fs::read_dir(results.path()).unwrap().count(), 0);
    // A topic of other partitions is left as it is.
    let set_up = |partitions: &str| {
        let args = ["setup", "--json", "--partitions", partitions];
        ended(with(stack.kept(), &args))
    };
    let made = set_up("3").json();
    assert_eq!(made["partitions"], 3, "{made}");
    set_up("5").refused(2, &["another number of partitions (3)", "(5)"]);
    assert_eq!(set_up("3").json()["partitions"], 3);
    let end = ended(with(stack.kept(), &["cleanup"]));
    assert_eq!(end.code, 0, "{}", end.err);
    stack.assert_nothing_left("a setup with several partitions");
}

/// A fetch brings 8,000 bytes of each partition, and takes a fifth of a second: of one partition that is too little.
fn too_few(_: &TestStack) {
    let run = |partitions: &str, hot_share: &str| {
        let args = [
            "--capture",
            "wal",
            "--partitions",
            partitions,
            "--events",
            "1500",
            "--rate",
            "150",
            "--warmup",
            "50",
            "--consumer-config",
            "max.partition.fetch.bytes=8000",
            "--hot-share",
            hot_share,
            "--fault",
            "delay:consumer-kafka@0s,by=100ms,for=60s",
        ];
        let results = open_folder();
        let report = ended(small_run(cdc_bench_with_servers(), results.path(), &args)).json();
        assert_eq!(report["counts"]["written"], 1_500, "{report:#}");
        report
    };
    let is_found = |report: &Value, words: &str| {
        let found = &report["paths"]["wal"]["diagnosis"]["findings"];
        let found = found.as_array().unwrap();
        let evidence = found.iter().map(|finding| finding["evidence"].as_str());
        evidence.flatten().any(|text| text.contains(words))
    };
    let too_few = |report: &Value| {
        is_found(
            report,
            "a fetch brings 8000 bytes of each partition at most",
        )
    };
    let (one, many, skewed) = (run("1", "0"), run("8", "0"), run("8", "70"));
    let rate = |report: &Value| report["throughput"]["average_per_s"].as_f64().unwrap();
    eprintln!(
        "one partition {}/s, eight {}/s, one of eight hot {}/s",
        rate(&one),
        rate(&many),
        rate(&skewed)
    );
    assert!(too_few(&one), "{:#}", one["paths"]["wal"]["diagnosis"]);
    assert!(!too_few(&many), "{:#}", many["paths"]["wal"]["diagnosis"]);
    assert!(rate(&many) > 1.5 * rate(&one));
    // With most events about one aggregate, more partitions do not help, and that is what is said.
    let path = &skewed["paths"]["wal"];
    let partitions = path["partitions"].as_array().unwrap();
    let share = |partition: &&Value| partition["share"].as_f64().unwrap();
    let hot = partitions
        .iter()
        .max_by(|a, b| share(a).total_cmp(&share(b)))
        .unwrap();
    assert!(share(&hot) > 0.65, "{partitions:#?}");
    assert!(hot["most_lag_records"].as_u64() > Some(100), "{hot}");
    let words = format!("partition {} has ", hot["partition"]);
    assert!(is_found(&skewed, &words), "{:#}", path["diagnosis"]);
    assert!(!too_few(&skewed), "{:#}", path["diagnosis"]);
}
