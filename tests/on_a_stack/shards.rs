//! An outbox of several tables, each with a slot and a connector of its own: what comes by them is one run.

use std::collections::BTreeSet;

use super::Test;
use super::stack::command::{ended, small_run, with};
use super::stack::{TestStack, open_folder};

pub const TESTS: &[Test] = &[
    (
        "the_events_of_several_tables_are_one_run_and_nothing_is_left",
        two_tables,
    ),
    (
        "shards_are_refused_where_they_cannot_be_before_anything_is_made",
        refused,
    ),
];

fn two_tables(stack: &TestStack) {
    let before = stack.resources();
    let results = open_folder();
    let args = [
        "--shards",
        "2",
        "--capture",
        "both",
        "--events",
        "200",
        "--rate",
        "100",
        // Of several rows, some in each table.
        "--insert-batch",
        "5",
    ];
    let report = ended(small_run(stack.kept(), results.path(), &args)).json();
    let mut slots = BTreeSet::new();
    for path in ["debezium", "wal"] {
        let of = &report["paths"][path];
        for place in ["inserted", "captured", "in_kafka", "consumed", "written"] {
            assert_eq!(of["counts"][place], 200, "{path}: {of:#}");
        }
        assert_eq!(of["verification"]["postgres_count"], 200, "{path}: {of:#}");
        assert_eq!(of["verification"]["match_percent"], 100.0, "{path}: {of:#}");
        let shards = of["shards"].as_array().unwrap();
        assert_eq!(shards.len(), 2, "{path}: {of:#}");
        let captured = shards
            .iter()
            .map(|shard| shard["captured"].as_u64().unwrap());
        assert!(captured.clone().all(|rows| rows > 20), "{shards:#?}");
        assert_eq!(captured.sum::<u64>(), 200, "{shards:#?}");
        for (shard, table) in shards.iter().zip(["event_outbox", "event_outbox_2"]) {
            assert_eq!(shard["table"], format!("activity.{table}"));
            let topic = shard["topic"].as_str().unwrap();
            assert!(topic.ends_with(&format!(".activity.{table}")), "{topic}");
            assert_eq!(shard["connector"].is_string(), path == "debezium");
            assert!(shard["walsender_cpu_s"].as_f64().unwrap() > 0.0, "{shard}");
            assert!(slots.insert(shard["slot"].as_str().unwrap()), "{shard}");
        }
        // A partition of each topic.
        let partitions = of["partitions"].as_array().unwrap();
        let numbers: Vec<_> = partitions.iter().map(|of| &of["partition"]).collect();
        assert_eq!(numbers, [0, 1], "{partitions:#?}");
        assert_eq!(
            partitions
                .iter()
                .map(|of| &of["records"])
                .collect::<Vec<_>>(),
            shards.iter().map(|of| &of["captured"]).collect::<Vec<_>>()
        );
    }
    let id = report["run"]["id"].as_str().unwrap();
    let tables = stack.sql(&format!(
        "SELECT tableoid::regclass || ' ' || count(*) || ' ' || count(DISTINCT aggregate_id) \
         FROM activity.event_outbox WHERE run_id = '{id}' GROUP BY tableoid ORDER BY 1"
    ));
    assert_eq!(tables.len(), 2, "{tables:?}");
    let split = stack.sql(&format!(
        "SELECT aggregate_id FROM activity.event_outbox WHERE run_id = '{id}' \
         GROUP BY aggregate_id HAVING count(DISTINCT tableoid) > 1"
    ));
    assert_eq!(split, [""; 0], "aggregates in several tables");
    stack.assert_nothing_left("a run with several shards");
    ended(with(stack.kept(), &["cleanup"])).refused(0, &[]);
    let left: Vec<_> = stack.resources().difference(&before).cloned().collect();
    assert_eq!(left, [""; 0], "left after cleanup");
}

fn refused(stack: &TestStack) {
    let results = open_folder();
    let before = stack.resources();
    for (args, words) in [
        (
            &["--shards", "2", "--capture", "embedded"][..],
            "on the path embedded",
        ),
        (&["--shards", "0"], "1 to 16"),
        (&["--shards", "17"], "1 to 16"),
        (
            &["--shards", "2", "--connector", "shop"],
            "cannot be used with",
        ),
        (
            &["--shards", "2", "--fault", "kill:connect@30%"],
            "cannot be used with",
        ),
        (
            &["--shards", "2", "--interleave", "--capture", "both"],
            "cannot be used with",
        ),
        (
            &["--shards", "2", "--workers", "2", "--test", "t"],
            "cannot be used with",
        ),
    ] {
        let end = ended(small_run(stack.kept(), results.path(), args));
        end.refused(2, &[words]);
    }
    assert_eq!(std::fs::read_dir(results.path()).unwrap().count(), 0);
    // A table of its name that is somebody's is left as it is.
    stack.sql("CREATE SCHEMA IF NOT EXISTS activity");
    stack.sql("CREATE TABLE activity.event_outbox_2 (n int)");
    let args = ["--shards", "2", "--capture", "wal", "--events", "10"];
    let end = ended(small_run(stack.kept(), results.path(), &args));
    end.refused(
        2,
        &["activity.event_outbox_2 exists", "it is left as it is"],
    );
    assert_eq!(
        stack.sql("SELECT count(*) FROM activity.event_outbox_2"),
        ["0"]
    );
    stack.sql("DROP TABLE activity.event_outbox_2");
    // A publication of all tables gives each slot what is to be spread.
    stack.sql("CREATE PUBLICATION cdc_bench FOR ALL TABLES");
    let end = ended(small_run(stack.kept(), results.path(), &args));
    end.refused(2, &["publishes the tables of several shards"]);
    stack.sql("DROP PUBLICATION cdc_bench");
    ended(with(stack.kept(), &["cleanup"])).refused(0, &[]);
    stack.sql("DROP SCHEMA IF EXISTS activity");
    let left: Vec<_> = stack.resources().difference(&before).cloned().collect();
    assert_eq!(left, [""; 0], "left after the refusals");
}
