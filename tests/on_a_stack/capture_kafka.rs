//! `capture --output kafka`.

use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use serde_json::Value;

use super::Test;
use super::capture::{capture, drop_all, publications};
use super::stack::command::{ended, with};
use super::stack::processes::{id, signal};
use super::stack::{TestStack, open_folder, until};

pub const TESTS: &[Test] = &[
    ("capture_into_kafka_loses_nothing", into_kafka),
    (
        "capture_of_a_row_that_kafka_does_not_take_says_which_and_repeats_none_before_it",
        too_large,
    ),
    (
        "capture_whose_last_record_is_refused_ends_though_its_tables_are_idle",
        refused_when_idle,
    ),
    (
        "capture_makes_a_topic_when_a_table_is_first_seen",
        tables_that_appear,
    ),
    (
        "capture_checks_the_properties_of_kafkas_client_and_prints_no_value",
        properties,
    ),
];

/// The command, with output to Kafka.
fn to_kafka(stack: &TestStack, args: &[&str]) -> Command {
    let mut command = capture(stack, args);
    command.args(["--output", "kafka", "--topic-prefix", "captured"]);
    command.env(
        "KAFKA_BOOTSTRAP_SERVERS",
        &stack.env["KAFKA_BOOTSTRAP_SERVERS"],
    );
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn create_topic(stack: &TestStack, name: &str, setting: (&str, &str)) {
    let admin: AdminClient<_> = stack.kafka().create().unwrap();
    let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1)).set(setting.0, setting.1);
    let options = AdminOptions::new();
    let created = stack.block_on(admin.create_topics([&topic], &options));
    created.unwrap().pop().unwrap().unwrap();
}

fn ids_in(stack: &TestStack, topic: &str) -> Vec<i64> {
    let records = stack.records(topic);
    let id = |(_, value): &(Value, Value)| value["after"]["id"].as_i64().unwrap();
    records.iter().map(id).collect()
}

fn too_large(stack: &TestStack) {
    stack.sql("CREATE TABLE t (id int PRIMARY KEY, doc text)");
    create_topic(
        stack,
        "captured.public.t",
        ("max.message.bytes", "10000000"),
    );
    let args = ["t", "--slot", "mine", "--until", "now"];
    ended(to_kafka(stack, &args)).refused(0, &[]);
    stack.sql("INSERT INTO t VALUES (1, 'a')");
    stack.sql("INSERT INTO t VALUES (2, 'b')");
    stack.sql("INSERT INTO t VALUES (3, repeat('c', 1500000))");
    stack.sql("INSERT INTO t VALUES (4, 'd')");
    for _ in 0..2 {
        let failed = ended(to_kafka(stack, &args));
        failed.refused(
            3,
            &[
                "table public.t at ",
                "key {\"id\":3}",
                "15004",
                "topic \"captured.public.t\"",
                "--kafka-config message.max.bytes=3145728",
                "max.message.bytes",
            ],
        );
        assert_eq!(failed.err.lines().count(), 1, "{}", failed.err);
        assert_eq!(ids_in(stack, "captured.public.t"), [1, 2], "each once");
    }
    let enough = [&args[..], &["--kafka-config", "message.max.bytes=3145728"]].concat();
    ended(to_kafka(stack, &enough)).refused(0, &[]);
    assert_eq!(ids_in(stack, "captured.public.t"), [1, 2, 3, 4]);
    stack.delete_topics(&["captured.public.t"]);
    // The client lets it pass, and the topic does not.
    create_topic(stack, "captured.public.t", ("max.message.bytes", "100000"));
    stack.sql("INSERT INTO t VALUES (5, repeat('e', 200000))");
    ended(to_kafka(stack, &args)).refused(3, &["key {\"id\":5}", "max.message.bytes of the topic"]);
    stack.delete_topics(&["captured.public.t"]);
    drop_all(stack, "t");
}

fn refused_when_idle(stack: &TestStack) {
    stack.sql("CREATE TABLE t (id int); ALTER TABLE t REPLICA IDENTITY FULL");
    create_topic(stack, "captured.public.t", ("cleanup.policy", "compact"));
    let running = to_kafka(stack, &["t", "--slot", "mine"]).spawn().unwrap();
    until("the slot to be active", || {
        stack.sql("SELECT active FROM pg_replication_slots") == ["t"]
    });
    stack.sql("INSERT INTO t VALUES (1)");
    // Nothing follows, and it ends nevertheless.
    let began = std::time::Instant::now();
    let end: super::stack::command::Ended = running.wait_with_output().unwrap().into();
    assert!(began.elapsed().as_secs() < 15, "{:?}", began.elapsed());
    end.refused(3, &["table public.t at ", "no key", "compacted"]);
    stack.delete_topics(&["captured.public.t"]);
    drop_all(stack, "t");
}

fn tables_that_appear(stack: &TestStack) {
    stack.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION every FOR ALL TABLES");
    let mut running = to_kafka(stack, &["--publication", "every", "--slot", "mine"])
        .spawn()
        .unwrap();
    until("the slot to be active", || {
        stack.sql("SELECT active FROM pg_replication_slots") == ["t"]
    });
    stack.sql(
        "CREATE TABLE \"Late ones\" (id int PRIMARY KEY); INSERT INTO \"Late ones\" VALUES (1)",
    );
    stack.sql("ALTER TABLE t RENAME TO renamed; INSERT INTO renamed VALUES (2)");
    for topic in ["captured.public.Late_ones", "captured.public.renamed"] {
        until(topic, || stack.topics().contains(topic));
        until("its record", || !stack.records(topic).is_empty());
    }
    signal(id(&running), Signal::SIGTERM);
    assert_eq!(running.wait().unwrap().code(), Some(130));
    // A topic that two tables would share.
    stack.sql("CREATE TABLE late_ones (id int PRIMARY KEY); CREATE TABLE \"late ones\" (id int PRIMARY KEY)");
    ended(to_kafka(stack, &["--publication", "every"]))
        .refused(3, &["public.\"late ones\"", "public.late_ones"]);
    assert_eq!(publications(stack), ["every"]);
    let topics = [
        "captured.public.Late_ones",
        "captured.public.renamed",
        "captured.public.t",
    ];
    stack.delete_topics(&topics);
    drop_all(stack, "renamed, \"Late ones\", late_ones, \"late ones\"");
}

fn properties(stack: &TestStack) {
    stack.sql("CREATE TABLE t (id int PRIMARY KEY)");
    for (property, words) in [
        ("mesage.max.bytes=topsecret", "no property mesage.max.bytes"),
        (
            "message.max.bytes=topsecret",
            "does not accept this value of message.max.bytes",
        ),
        ("acks=0", "acks cannot be set"),
        ("message.max.bytes", "KEY=VALUE"),
    ] {
        let refused = ended(to_kafka(stack, &["t", "--kafka-config", property]));
        refused.refused(2, &[words]);
        assert!(!refused.err.contains("topsecret"), "{}", refused.err);
    }
    assert!(publications(stack).is_empty());
    stack.sql("DROP TABLE t");
}

fn into_kafka(stack: &TestStack) {
    stack.sql("CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a')");
    let folder = open_folder();
    let file = folder.path().join("t.progress").display().to_string();
    let args = [
        "t",
        "--slot",
        "mine",
        "--from",
        "snapshot",
        "--checkpoint",
        &file,
        "--output",
        "kafka",
        "--topic-prefix",
        "captured",
        "--transaction-metadata",
    ];
    let start = || {
        let mut command = capture(stack, &args);
        command.env(
            "KAFKA_BOOTSTRAP_SERVERS",
            &stack.env["KAFKA_BOOTSTRAP_SERVERS"],
        );
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    };
    // Killed repeatedly while rows are inserted: unacknowledged records are sent again.
    let mut next = 2;
    for round in 0..4 {
        let mut running = start().spawn().unwrap();
        until("the slot to be active", || {
            stack.sql("SELECT active FROM pg_replication_slots WHERE slot_name = 'mine'") == ["t"]
        });
        for _ in 0..20 {
            stack.sql(&format!(
                "INSERT INTO t SELECT n, 'x' FROM generate_series({next}, {}) n",
                next + 49
            ));
            next += 50;
        }
        let last = if round == 3 {
            Signal::SIGTERM
        } else {
            Signal::SIGKILL
        };
        signal(id(&running), last);
        running.wait().unwrap();
        until("the slot to be free", || {
            stack.sql("SELECT active FROM pg_replication_slots WHERE slot_name = 'mine'") == ["f"]
        });
    }
    stack.sql("DELETE FROM t WHERE id = 1");
    let mut rest = start();
    rest.args(["--until", "now"]);
    let rest = ended(rest);
    assert_eq!(rest.code, 0, "{}", rest.err);
    let records = stack.records("captured.public.t");
    let seen: Vec<_> = records
        .iter()
        .map(|(key, _)| key["id"].as_i64().unwrap())
        .collect();
    let distinct: std::collections::BTreeSet<_> = seen.iter().copied().collect();
    assert_eq!(
        distinct,
        (1..next).collect(),
        "every row, in {} records",
        seen.len()
    );
    assert_eq!(records[0].1["op"], "r");
    // In order, counting the first delivery of each.
    let mut highest = 0;
    for id in &seen[..seen.len() - 2] {
        assert!(*id <= highest + 1, "{id} after {highest}");
        highest = highest.max(*id);
    }
    let [(_, deleted), (_, tombstone)] = &records[records.len() - 2..] else {
        panic!("{records:?}");
    };
    assert_eq!((&deleted["op"], tombstone), (&"d".into(), &Value::Null));
    let of_it = stack.records("captured.transaction");
    let end = &of_it.last().unwrap().1;
    assert_eq!(end["status"], "END");
    assert_eq!(
        end["id"].as_str().unwrap().split(':').next().unwrap(),
        deleted["transaction"]["id"]
            .as_str()
            .unwrap()
            .split(':')
            .next()
            .unwrap()
    );
    stack.delete_topics(&["captured.public.t", "captured.transaction"]);
    // Those that were killed had topics of theirs on record.
    let cleaned = ended(with(stack.kept(), &["cleanup", "--orphans"]));
    assert_eq!(cleaned.code, 0, "{}", cleaned.err);
    drop_all(stack, "t");
}
