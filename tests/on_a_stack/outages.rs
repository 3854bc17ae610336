//! A server that crashes during a run and is restarted, and records that cannot be written: the run continues, and its counts
//! are correct.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use mongodb::bson::doc;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::Value;

use super::Test;
use super::stack::command::{Ended, assert_complete, ended, result_folder, small_run, with};
use super::stack::{TestStack, open_folder, until};

pub const TESTS: &[Test] = &[
    (
        "a_broker_that_crashes_and_comes_back_loses_nothing",
        |stack| outage(stack, "kafka"),
    ),
    (
        "a_connect_that_crashes_and_comes_back_loses_nothing",
        |stack| outage(stack, "connect"),
    ),
    (
        "a_store_that_crashes_and_comes_back_loses_nothing",
        |stack| outage(stack, "store"),
    ),
    (
        "a_record_that_cannot_be_decoded_is_a_dead_letter",
        undecodable,
    ),
    (
        "a_document_that_the_store_refuses_is_a_dead_letter",
        refused_document,
    ),
];

/// Starts a run, calls `act` once its load has begun, and waits for its end.
pub fn during_run(stack: &TestStack, results: &Path, args: &[&str], act: impl FnOnce()) -> Ended {
    during_run_of(stack.external(), results, args, act)
}

/// Starts a run of this command, calls `act` once its load has begun, and waits for its end.
pub fn during_run_of(command: Command, results: &Path, args: &[&str], act: impl FnOnce()) -> Ended {
    during_load_of(small_run(command, results, args), results, act)
}

/// Calls `act` once the load of a run has begun, and waits for its end.
pub fn during_load_of(mut run: Command, results: &Path, act: impl FnOnce()) -> Ended {
    let run = run
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("the load to begin", || {
        result_folder(results)
            .and_then(|folder| std::fs::read_to_string(folder.join("run.log")).ok())
            .is_some_and(|log| log.contains("step=\"load\""))
    });
    act();
    run.wait_with_output().unwrap().into()
}

fn outage(stack: &TestStack, server: &str) {
    let results = open_folder();
    let args = ["--events", "1500", "--rate", "200", "--drain-timeout", "60"];
    let end = during_run(stack, results.path(), &args, || {
        std::thread::sleep(Duration::from_millis(1_500));
        stack.crash(server);
    });
    assert_complete(&end.json(), 1500);
    stack.wait_until_healthy();
    stack.assert_nothing_left("a run with an outage");
}

fn dead_letters(results: &Path) -> Vec<Value> {
    let file = result_folder(results).unwrap().join("dead-letters.jsonl");
    let text = std::fs::read_to_string(file).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn undecodable(stack: &TestStack) {
    ended(with(stack.kept(), &["setup"]));
    let results = open_folder();
    let topic = "postgres.activity.event_outbox";
    let end = during_run(
        stack,
        results.path(),
        &["--events", "400", "--rate", "200"],
        || {
            stack.block_on(async {
                let producer: FutureProducer = stack.kafka().create().unwrap();
                let record = FutureRecord::<(), _>::to(topic).payload("{\"no\": envelope");
                producer
                    .send(record, Duration::from_secs(10))
                    .await
                    .unwrap();
            });
        },
    );
    let report = end.json();
    let counts = &report["counts"];
    assert_eq!(
        (&counts["written"], &counts["lost"]),
        (&400.into(), &0.into()),
        "{counts}"
    );
    assert_eq!(
        (&counts["dead_letters"], &counts["errors"]),
        (&1.into(), &1.into()),
        "{counts}"
    );
    assert_eq!(end.code, 1, "one in 401 is more than 0.1 %");
    let dead_letters = dead_letters(results.path());
    assert_eq!(dead_letters.len(), 1);
    assert_eq!(
        (&dead_letters[0]["topic"], &dead_letters[0]["partition"]),
        (&topic.into(), &0.into())
    );
    assert!(dead_letters[0]["offset"].as_i64().unwrap() > 0);
    assert_eq!(dead_letters[0]["value"], "{\"no\": envelope");
    assert_eq!(dead_letters[0]["reason"], "unparsable");
    assert_eq!(
        report["dead_letters_by_reason"],
        serde_json::json!({ "unparsable": 1 })
    );
    // The run's topic of dead letters outlives it, until cleanup.
    let aside = report["paths"]["debezium"]["names"]["dead_letter_topic"].as_str();
    let aside = aside.unwrap();
    assert!(stack.topics().contains(aside), "{aside}");
    let list = ["dead-letters", "list", "--dead-letter-topic", aside];
    let listed = ended(with(stack.kept(), &list)).out;
    assert!(listed.contains("1 dead letters: 1 unparsable"), "{listed}");
    assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
    assert!(!stack.topics().contains(aside), "{aside}");
}

fn refused_document(stack: &TestStack) {
    ended(with(stack.kept(), &["setup"]));
    // Only one event of a type is accepted: each of the others is refused by itself.
    let index = mongodb::IndexModel::builder()
        .keys(doc! { "run_id": 1, "event_type": 1 })
        .options(
            mongodb::options::IndexOptions::builder()
                .unique(true)
                .build(),
        )
        .build();
    stack.block_on(stack.events().create_index(index)).unwrap();
    let results = open_folder();
    let args = ["--events", "300", "--rate", "300", "--warmup", "0"];
    let end = ended(small_run(stack.external(), results.path(), &args));
    assert_eq!(end.code, 4, "rows without a document: {}", end.err);
    let report: Value = serde_json::from_str(&end.out).unwrap();
    let counts = &report["counts"];
    let refused = counts["dead_letters"].as_u64().unwrap();
    assert!(refused > 0, "{counts}");
    assert_eq!(
        counts["written"].as_u64().unwrap() + refused,
        300,
        "{counts}"
    );
    assert_eq!(
        (&counts["lost"], &counts["errors"]),
        (&0.into(), &refused.into()),
        "{counts}"
    );
    assert_eq!(report["verification"]["missing"].as_u64().unwrap(), refused);
    let dead_letters = dead_letters(results.path());
    assert_eq!(dead_letters[0]["reason"], "refused_by_store");
    let message = dead_letters[0]["message"].as_str().unwrap();
    assert!(message.contains("refused by the store"), "{message}");
    assert!(
        dead_letters
            .iter()
            .all(|dead_letter| dead_letter["id"].is_string())
    );
    assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
}
