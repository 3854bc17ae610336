//! `capture` of messages in the WAL, of names that Kafka does not allow, and of types that are not known.

use std::process::Command;

use serde_json::{Value, json};

use super::Test;
use super::envelopes::extensions::{SHELL_TYPES_AWAY, shell_types};
use super::stack::TestStack;
use super::stack::command::{ended, with};

pub const TESTS: &[Test] = &[
    (
        "capture_writes_messages_of_the_wal_in_every_format",
        every_format,
    ),
    (
        "capture_of_messages_into_kafka_goes_to_debeziums_topic",
        into_kafka,
    ),
    (
        "capture_of_a_type_that_is_not_known_writes_text_and_warns_once",
        unknown_type,
    ),
];

fn capture(stack: &TestStack, args: &[&str]) -> Command {
    let mut command = with(stack.external(), &["capture"]);
    command.args(args);
    command
}

fn lines(stack: &TestStack, args: &[&str]) -> Vec<Value> {
    let end = ended(capture(stack, args));
    assert_eq!(end.code, 0, "{}", end.err);
    let lines = end.out.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The last statement is there for its commit: a message alone does not reach the disk at once.
const MESSAGES: &str = "BEGIN; SELECT pg_logical_emit_message(true, 'outbox', 'ü \"1\"'::text); INSERT INTO noted VALUES (1); COMMIT;
    SELECT pg_logical_emit_message(false, 'alone', '\\x00ff'::bytea); SELECT txid_current()";

fn slot(stack: &TestStack, name: &str) {
    stack.sql(&format!(
        "SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')"
    ));
}

fn every_format(stack: &TestStack) {
    stack.sql("CREATE TABLE noted (id int PRIMARY KEY); CREATE PUBLICATION noted FOR TABLE noted");
    for name in ["flat", "debezium", "debezium_records"] {
        slot(stack, name);
    }
    stack.sql(MESSAGES);
    let format = |name: &str| {
        let format = name.replace('_', "-");
        let args = [
            "--publication",
            "noted",
            "--slot",
            name,
            "--until",
            "now",
            "--format",
            &format,
        ];
        let captured = lines(stack, &args);
        // It is acknowledged, the message after the last commit too.
        assert_eq!(lines(stack, &args), [Value::Null; 0]);
        captured
    };
    let flat = format("flat");
    let content = flat.iter().map(|line| {
        let fields = ["op", "prefix", "content", "content_base64", "index"];
        fields.map(|field| line[field].clone())
    });
    let null = Value::Null;
    assert_eq!(
        content.collect::<Vec<_>>(),
        [
            [
                json!("message"),
                json!("outbox"),
                json!("ü \"1\""),
                null.clone(),
                json!(0)
            ],
            [
                json!("insert"),
                null.clone(),
                null.clone(),
                null.clone(),
                json!(1)
            ],
            [
                json!("message"),
                json!("alone"),
                null.clone(),
                json!("AP8="),
                null
            ],
        ]
    );
    let values = format("debezium");
    let message = |prefix: &str, content: &str| json!({"prefix": prefix, "content": content});
    let ops: Vec<_> = values.iter().map(|value| &value["op"]).collect();
    assert_eq!(ops, ["m", "c", "m"]);
    assert_eq!(values[0]["message"], message("outbox", "w7wgIjEi"));
    assert_eq!(values[2]["message"], message("alone", "AP8="));
    assert_eq!(values[2]["source"]["txId"], Value::Null);
    let records = format("debezium_records");
    let topics: Vec<_> = records.iter().map(|record| &record["topic"]).collect();
    assert_eq!(
        topics,
        [
            "postgres.message",
            "postgres.public.noted",
            "postgres.message"
        ]
    );
    assert_eq!(records[0]["key"], json!({"prefix": "outbox"}));
    assert_eq!(records[0]["value"]["message"], values[0]["message"]);
    stack.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots; DROP PUBLICATION noted; DROP TABLE noted");
}

fn into_kafka(stack: &TestStack) {
    stack.sql("CREATE TABLE noted (id int PRIMARY KEY); CREATE PUBLICATION noted FOR TABLE noted");
    slot(stack, "noted");
    stack.sql(MESSAGES);
    let args = [
        "--publication",
        "noted",
        "--slot",
        "noted",
        "--until",
        "now",
        "--output",
        "kafka",
        "--topic-prefix",
        "odd",
        "--transaction-metadata",
    ];
    assert_eq!(lines(stack, &args), [Value::Null; 0]);
    let read = |topic: &str| {
        let records = stack.records(topic).into_iter();
        records.map(|(_, value)| value).collect::<Vec<_>>()
    };
    let messages = read("odd.message");
    let orders: Vec<_> = messages
        .iter()
        .map(|value| {
            (
                &value["message"]["prefix"],
                &value["transaction"]["total_order"],
            )
        })
        .collect();
    assert_eq!(
        orders,
        [
            (&json!("outbox"), &json!(1)),
            (&json!("alone"), &Value::Null)
        ]
    );
    assert_eq!(read("odd.public.noted")[0]["transaction"]["total_order"], 2);
    stack.delete_topics(&["odd.message", "odd.public.noted", "odd.transaction"]);
    stack.sql("SELECT pg_drop_replication_slot('noted'); DROP PUBLICATION noted; DROP TABLE noted");
}

fn unknown_type(stack: &TestStack) {
    stack.sql(&shell_types());
    stack.sql("CREATE TABLE known (id int PRIMARY KEY, s semver, e vector); CREATE PUBLICATION known FOR TABLE known");
    slot(stack, "known");
    stack.sql("INSERT INTO known VALUES (1, '1.2.3', '[1,2]')");
    stack.sql("ALTER TABLE known ADD x int; INSERT INTO known VALUES (2, '1.2.4', '[3]', 5)");
    let args = [
        "--publication",
        "known",
        "--slot",
        "known",
        "--until",
        "now",
    ];
    let end = ended(capture(stack, &args));
    assert_eq!(end.code, 0, "{}", end.err);
    let rows: Vec<_> = end
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["after"].clone())
        .collect();
    assert_eq!(
        rows,
        [
            json!({"id": 1, "s": "1.2.3", "e": [1.0, 2.0]}),
            json!({"id": 2, "s": "1.2.4", "e": [3.0], "x": 5}),
        ]
    );
    let warnings = end.err.matches("delivered as text").count();
    assert_eq!(warnings, 1, "{}", end.err);
    assert!(end.err.contains("public.known"), "{}", end.err);
    stack.sql(&format!(
        "SELECT pg_drop_replication_slot('known'); DROP PUBLICATION known; DROP TABLE known; {SHELL_TYPES_AWAY}"
    ));
}
