//! What others have on the servers is as it was after every command: their groups, connectors, tables, publications, slots, topics
//! and collections.

use std::time::Duration;

use cdc_bench_model::event::Generator;
use mongodb::bson::{Document, doc};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::Test;
use super::inputs;
use super::postgres_rights::sql_in;
use super::stack::command::{Ended, assert_complete, ended, small_run, with};
use super::stack::{TestStack, open_folder, until};

pub const TESTS: &[Test] = &[
    ("a_group_of_others_is_never_written_to", groups),
    (
        "a_connector_of_others_is_told_by_what_it_captures_and_not_by_its_prefix",
        connectors,
    ),
    ("a_database_of_others_is_loaded_only_when_it_is_named", load),
    ("what_others_have_made_stays_as_it_is", resources),
];

const OUTBOX_SQL: &str = include_str!("../../sql/outbox.sql");

fn make_topic(stack: &TestStack, name: &str) {
    let admin: AdminClient<_> = stack.kafka().create().unwrap();
    let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1));
    let options = AdminOptions::new();
    let made = stack.block_on(admin.create_topics([&topic], &options));
    made.unwrap().remove(0).unwrap();
}

fn member(stack: &TestStack, group: &str) -> BaseConsumer {
    let mut config = stack.kafka();
    config.set("group.id", group).create().unwrap()
}

/// What a group has committed for a topic: offset and metadata.
fn committed(stack: &TestStack, group: &str, topic: &str) -> (Offset, String) {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, 0);
    let found = member(stack, group).committed_offsets(list, Duration::from_secs(20));
    let found = found.unwrap();
    let element = found.find_partition(topic, 0).unwrap();
    (element.offset(), element.metadata().to_owned())
}

fn groups(stack: &TestStack) {
    stack.clear();
    let results = open_folder();
    let run = |group: &str, args: &[&str]| {
        let args = [&["--events", "20"], args].concat();
        let mut command = small_run(stack.external(), results.path(), &args);
        command.env("KAFKA_GROUP_ID", group);
        ended(command)
    };
    let consume = |group: &str, args: &[&str]| {
        let mut command = with(stack.external(), &["consume", "--json"]);
        command.args(args);
        command
            .env("KAFKA_GROUP_ID", group)
            .env("KAFKA_TOPIC", "orders");
        ended(command)
    };
    make_topic(stack, "orders");
    let producer: BaseProducer = stack.kafka().create().unwrap();
    for row in Generator::new(7, jiff::Timestamp::UNIX_EPOCH).take(3) {
        let record = inputs::record(&row);
        let record = BaseRecord::<(), _>::to("orders").payload(&record);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(20)).unwrap();

    // An application that is idle: it has committed, for whatever topic, and nobody is in its group.
    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset("orders", 0, Offset::Offset(1))
        .unwrap();
    for group in ["billing", "mine-wal"] {
        member(stack, group)
            .commit(&offsets, CommitMode::Sync)
            .unwrap();
    }
    let idle = [
        "\"billing\"",
        "committed offsets for orders",
        "KAFKA_GROUP_ID",
    ];
    run("billing", &[]).refused(2, &idle);
    consume("billing", &["--idle-timeout", "1"]).refused(2, &idle);
    run("mine", &["--capture", "both"]).refused(2, &["\"mine-wal\""]);
    // One that is there, and has committed nothing.
    let working = member(stack, "working");
    working.subscribe(&["orders"]).unwrap();
    until("the application to be in its group", || {
        drop(working.poll(Duration::from_millis(10)));
        !working.assignment().unwrap().elements().is_empty()
    });
    run("working", &[]).refused(2, &["\"working\"", "1 member(s)"]);
    consume("working", &["--idle-timeout", "1"]).refused(2, &["\"working\"", "1 member(s)"]);
    drop(working);
    // One of Kafka's newer protocol: the broker lists no member of it.
    let newer: BaseConsumer = stack
        .kafka()
        .set("group.id", "newer")
        .set("group.protocol", "consumer")
        .create()
        .unwrap();
    newer.subscribe(&["orders"]).unwrap();
    until("the application to be in its newer group", || {
        drop(newer.poll(Duration::from_millis(10)));
        !newer.assignment().unwrap().elements().is_empty()
    });
    let protocol = ["\"newer\"", "group.protocol=consumer"];
    run("newer", &[]).refused(2, &protocol);
    consume("newer", &["--idle-timeout", "1"]).refused(2, &protocol);
    drop(newer);
    stack.delete_group("newer");
    for group in ["billing", "mine-wal"] {
        assert_eq!(
            committed(stack, group, "orders"),
            (Offset::Offset(1), String::new())
        );
    }
    assert_eq!(stack.topics().into_iter().collect::<Vec<_>>(), ["orders"]);
    assert_eq!(stack.sql("SELECT pubname FROM pg_publication"), [""; 0]);
    assert_eq!(stack.connectors(), [""; 0]);

    // Our own: consume continues where it was, and a run does not move what consume has not read yet.
    assert_eq!(consume("ours", &["--max", "2"]).json()["written"], 2);
    assert_eq!(
        committed(stack, "ours", "orders"),
        (Offset::Offset(2), "cdc-bench".to_owned())
    );
    run("ours", &[]).refused(2, &["\"ours\"", "offsets that cdc-bench has committed"]);
    assert_eq!(
        consume("ours", &["--idle-timeout", "2"]).json()["written"],
        1
    );
    assert_eq!(
        consume("ours", &["--idle-timeout", "1"]).json()["written"],
        0
    );

    // One of a run is removed with the run, so that the next may have it, too.
    for _ in 0..2 {
        assert_complete(&run("fresh", &["--capture", "wal"]).json(), 20);
        let list = member(stack, "any").fetch_group_list(Some("fresh"), Duration::from_secs(20));
        assert!(list.unwrap().groups().is_empty());
    }
    for group in ["billing", "mine-wal", "ours"] {
        stack.delete_group(group);
    }
    stack.delete_topics(&["orders"]);
    assert_eq!(ended(with(stack.external(), &["cleanup"])).code, 0);
}

/// Sends a request to Connect.
pub fn connect(stack: &TestStack, method: &str, path: &str, body: Option<&Value>) -> Value {
    let url = format!("{}/connectors/{path}", stack.env["CONNECT_URL"]);
    stack.block_on(async {
        let client = cdc_bench_stack::http_client().build().unwrap();
        let mut request = client.request(method.parse().unwrap(), url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        answer.json().await.unwrap_or_default()
    })
}

/// A connector of the user's, with these settings over the usual ones, once it runs.
pub fn register(stack: &TestStack, name: &str, settings: &[(&str, &str)]) {
    let mut config = json!({
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "plugin.name": "pgoutput",
        "database.hostname": stack.env["POSTGRES_HOST"],
        "database.port": stack.env["POSTGRES_PORT"],
        "database.user": stack.env["POSTGRES_USER"],
        "database.password": stack.env["POSTGRES_PASSWORD"],
        "database.dbname": stack.env["POSTGRES_DB"],
        "topic.prefix": "postgres",
        "table.include.list": "activity.event_outbox",
        "publication.name": name,
        "publication.autocreate.mode": "filtered",
        "slot.name": name,
        "snapshot.mode": "no_data",
        "topic.creation.enable": "true",
        "topic.creation.default.partitions": "1",
        "topic.creation.default.replication.factor": "1",
    });
    for (key, value) in settings {
        config[*key] = (*value).into();
    }
    connect(stack, "PUT", &format!("{name}/config"), Some(&config));
    until("the connector to run", || {
        let all = stack.connectors();
        all.iter().any(|known| known == name) && {
            let status = connect(stack, "GET", &format!("{name}/status"), None);
            assert_ne!(status["tasks"][0]["state"], "FAILED", "{status}");
            status["tasks"][0]["state"] == "RUNNING"
        }
    });
    // Its slot is made after it runs.
    let slot = config["slot.name"].as_str().unwrap();
    let slot = format!("SELECT 1 FROM pg_replication_slots WHERE slot_name = '{slot}'");
    until("its slot", || !stack.sql(&slot).is_empty());
}

pub fn remove_connector(stack: &TestStack, name: &str, slot: &str) {
    connect(stack, "DELETE", name, None);
    until("its slot to be free", || {
        let dropping = format!(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{slot}' AND NOT active"
        );
        !stack.try_sql(&dropping).unwrap_or_default().is_empty()
    });
}

fn connectors(stack: &TestStack) {
    stack.clear();
    let results = open_folder();
    let run = |command, args: &[&str]| {
        let args = [&["--events", "20"], args].concat();
        ended(small_run(command, results.path(), &args))
    };
    let of = |report: &Value| report["environment"]["debezium"]["connector"].clone();
    // Another database with the same table, and the prefix that is the default.
    stack.sql("CREATE DATABASE shop");
    sql_in(stack, "shop", OUTBOX_SQL);
    register(stack, "shop", &[("database.dbname", "shop")]);
    let before = connect(stack, "GET", "shop/config", None);
    let end = run(stack.external(), &[]);
    assert_complete(&end.json(), 20);
    assert!(
        of(&end.json())["profile"] == "low-latency",
        "{}",
        of(&end.json())
    );
    run(stack.external(), &["--connector", "shop"]).refused(2, &["\"shop\"", "database \"shop\""]);

    assert_eq!(connect(stack, "GET", "shop/config", None), before);
    // Two of one prefix wait a minute for each other's metrics.
    remove_connector(stack, "shop", "shop");

    // A user's that feeds the topic.
    ended(with(stack.external(), &["generate", "--events", "1"]));
    register(stack, "users", &[]);
    stack.sql("INSERT INTO activity.event_outbox SELECT gen_random_uuid(), 'x', 1, 'UserCreated', 'User', gen_random_uuid(), '{}'");
    let topic = "postgres.activity.event_outbox";
    until("its topic", || stack.topics().contains(topic));
    let end = run(stack.external(), &[]);
    assert_complete(&end.json(), 20);
    assert_eq!(of(&end.json())["name"], "users");
    let chosen = of(&end.json())["chosen"].as_str().unwrap().to_owned();
    assert!(
        chosen.contains("slot \"users\"") && chosen.contains(topic),
        "{chosen}"
    );
    // A run on the stack that is kept has its own.
    let end = run(stack.kept(), &[]);
    assert_complete(&end.json(), 20);
    assert_eq!(of(&end.json())["chosen"], Value::Null);

    // One whose publication has another table.
    stack.sql("CREATE TABLE theirs (id int); CREATE PUBLICATION theirs FOR TABLE theirs");
    let of_theirs = [
        ("topic.prefix", "elsewhere"),
        ("publication.name", "theirs"),
        ("publication.autocreate.mode", "disabled"),
    ];
    register(stack, "elsewhere", &of_theirs);
    let mut named = small_run(
        stack.external(),
        results.path(),
        &["--connector", "elsewhere"],
    );
    named.env("KAFKA_TOPIC", "elsewhere.activity.event_outbox");
    ended(named).refused(2, &["publication \"theirs\" does not have"]);
    remove_connector(stack, "elsewhere", "elsewhere");
    stack.sql("DROP PUBLICATION theirs; DROP TABLE theirs");

    // Two that could, and one that is paused.
    let routed = [
        ("topic.prefix", "twin"),
        ("transforms", "route"),
        (
            "transforms.route.type",
            "org.apache.kafka.connect.transforms.RegexRouter",
        ),
        ("transforms.route.regex", "twin[.](.*)"),
        ("transforms.route.replacement", "postgres.$1"),
        ("publication.name", "users"),
    ];
    register(stack, "twin", &routed);
    run(stack.external(), &[]).refused(2, &["\"users\"", "\"twin\"", "--connector NAME"]);
    connect(stack, "PUT", "users/pause", None);
    until("it to be paused", || {
        let status = connect(stack, "GET", "users/status", None);
        status["tasks"][0]["state"] == "PAUSED"
    });
    remove_connector(stack, "twin", "twin");
    run(stack.external(), &[]).refused(2, &["\"users\"", "is PAUSED"]);
    assert_eq!(stack.connectors(), ["users"]);
    remove_connector(stack, "users", "users");
    stack.sql("DROP DATABASE shop WITH (FORCE)");
    stack.sql("DROP PUBLICATION users");
    stack.delete_topics(&[topic]);
    assert_eq!(ended(with(stack.external(), &["cleanup"])).code, 0);
}

fn load(stack: &TestStack) {
    stack.clear();
    let results = open_folder();
    stack.sql("CREATE DATABASE app");
    sql_in(stack, "app", OUTBOX_SQL);
    let fill = "INSERT INTO activity.event_outbox SELECT gen_random_uuid(), 'app', n, 'UserCreated', 'User', gen_random_uuid(), '{}' FROM generate_series(1, 3) n";
    sql_in(stack, "app", "DROP INDEX activity.event_outbox_run");
    sql_in(stack, "app", fill);
    let app = |args: &[&str]| {
        let mut command = with(stack.external(), args);
        command.env("POSTGRES_DB", "app");
        command
    };
    let run = |args: &[&str]| {
        let args = [&["--events", "20", "--capture", "embedded"], args].concat();
        ended(small_run(app(&[]), results.path(), &args))
    };
    let asks = ["\"app\"", "127.0.0.1", "3 rows", "--yes-load app@127.0.0.1"];
    run(&[]).refused(2, &asks);
    // A role from which row security hides them.
    sql_in(
        stack,
        "app",
        "CREATE ROLE hidden LOGIN REPLICATION PASSWORD 'hidden'; GRANT CREATE ON DATABASE app TO hidden; \
         GRANT USAGE ON SCHEMA activity TO hidden; GRANT SELECT, INSERT ON activity.event_outbox TO hidden; \
         CREATE PUBLICATION cdc_bench FOR TABLE activity.event_outbox; \
         ALTER TABLE activity.event_outbox ENABLE ROW LEVEL SECURITY",
    );
    let mut hidden = small_run(app(&[]), results.path(), &["--capture", "embedded"]);
    hidden
        .env("POSTGRES_USER", "hidden")
        .env("POSTGRES_PASSWORD", "hidden");
    ended(hidden).refused(2, &["row security", "--yes-load app@127.0.0.1"]);
    sql_in(
        stack,
        "app",
        "DROP PUBLICATION cdc_bench; ALTER TABLE activity.event_outbox DISABLE ROW LEVEL SECURITY; \
         DROP OWNED BY hidden; DROP ROLE hidden",
    );
    ended(app(&["generate", "--events", "5"])).refused(2, &asks);
    let sweep = [
        "sweep",
        "--rates",
        "50,100",
        "--events",
        "20",
        "--results-dir",
    ];
    ended(with(app(&sweep), &[results.path().to_str().unwrap()])).refused(2, &asks);
    let wrong = ["--yes-load", "shop@127.0.0.1"];
    run(&wrong).refused(2, &["--yes-load app@127.0.0.1"]);
    assert_eq!(
        sql_in(stack, "app", "SELECT count(*) FROM activity.event_outbox"),
        ["3"]
    );
    assert_eq!(
        sql_in(
            stack,
            "app",
            "SELECT 1 FROM pg_namespace WHERE nspname = 'cdc_bench'"
        ),
        [""; 0]
    );

    let named = ["--yes-load", "app@127.0.0.1"];
    let end = run(&named);
    assert_eq!(end.json()["counts"]["written"], 20);
    assert!(
        end.err.contains("DELETE FROM activity.event_outbox"),
        "{}",
        end.err
    );
    let end = ended(app(&[
        "generate",
        "--events",
        "5",
        "--yes-load",
        "app@127.0.0.1",
    ]));
    assert_eq!(end.code, 0, "{}", end.err);
    assert_eq!(ended(app(&["cleanup"])).code, 0);
    // The table is as it was but for the rows, and theirs are there.
    assert_eq!(
        sql_in(
            stack,
            "app",
            "SELECT count(*) FROM activity.event_outbox WHERE run_id = 'app'"
        ),
        ["3"]
    );
    assert_eq!(
        sql_in(
            stack,
            "app",
            "SELECT count(*) FROM pg_indexes WHERE tablename = 'event_outbox'"
        ),
        ["1"]
    );
    // An empty one needs no word, and neither does one with the rows of earlier runs alone: those of a sweep's steps are such.
    sql_in(stack, "app", "TRUNCATE activity.event_outbox");
    for _ in 0..2 {
        assert_eq!(run(&[]).json()["counts"]["written"], 20);
    }
    let sweep = [&sweep[..], &[results.path().to_str().unwrap()]].concat();
    let swept = with(app(&sweep), &["--capture", "embedded", "--warmup", "20"]);
    let end = ended(swept);
    assert!(end.code <= 1, "{}", end.err);
    assert_eq!(ended(app(&["cleanup"])).code, 0);
    assert_eq!(run(&[]).json()["counts"]["written"], 20);
    assert_eq!(ended(app(&["cleanup"])).code, 0);
    stack.sql("DROP DATABASE app WITH (FORCE)");
}

/// A publication that has the outbox, and not every insert of it whole. What is advised is done.
fn publications_with_gaps(stack: &TestStack, run: &dyn Fn() -> Ended) {
    stack.sql(OUTBOX_SQL);
    for (publication, says) in [
        (
            "FOR TABLE activity.event_outbox WITH (publish = 'update, delete')",
            &["inserts", "SET (publish = 'insert, update, delete')"][..],
        ),
        (
            "FOR TABLE activity.event_outbox WHERE (seq < 10)",
            &["filters the rows", "seq < 10", "DROP TABLE"],
        ),
        (
            "FOR TABLE activity.event_outbox (id, run_id, seq)",
            &["payload", "DROP TABLE"],
        ),
    ] {
        stack.sql(&format!("CREATE PUBLICATION cdc_bench {publication}"));
        let end = run();
        end.refused(2, says);
        let doctor = ended(with(stack.external(), &["doctor"]));
        assert_eq!(doctor.code, 3, "{}", doctor.out);
        assert!(doctor.out.contains(says[0]), "{}", doctor.out);
        let (_, advice) = end.err.split_once("have its owner do ").unwrap();
        let advice = advice.lines().next().unwrap();
        stack.sql(&advice.replace(" and ", "; "));
        assert_eq!(run().json()["counts"]["written"], 20);
        stack.sql("DROP PUBLICATION cdc_bench");
    }
    stack.sql("DROP TABLE activity.event_outbox");
    // Their collection is ours to remove.
    assert_eq!(ended(with(stack.external(), &["cleanup"])).code, 0);
}

fn resources(stack: &TestStack) {
    stack.clear();
    let results = open_folder();
    let topic = "postgres.activity.event_outbox";
    stack.sql(
        "CREATE TABLE theirs (id int PRIMARY KEY); CREATE PUBLICATION cdc_bench FOR TABLE theirs",
    );
    let run = |topic: Option<&str>, args: &[&str]| {
        let args = [&["--events", "20"], args].concat();
        let mut command = small_run(stack.external(), results.path(), &args);
        command.envs(topic.map(|topic| ("KAFKA_TOPIC", topic)));
        ended(command)
    };
    let in_the_way = [
        "publication \"cdc_bench\"",
        "activity.event_outbox",
        "ADD TABLE",
    ];
    run(None, &[]).refused(2, &in_the_way);
    ended(with(stack.external(), &["setup"])).refused(2, &in_the_way);
    let published = "SELECT tablename FROM pg_publication_tables WHERE pubname = 'cdc_bench'";
    assert_eq!(stack.sql(published), ["theirs"]);
    assert_eq!(ended(with(stack.external(), &["cleanup"])).code, 0);
    assert_eq!(stack.sql(published), ["theirs"]);
    stack.sql("DROP PUBLICATION cdc_bench");
    publications_with_gaps(stack, &|| run(None, &["--capture", "embedded"]));

    // A topic that Debezium could not feed.
    let other = ["topic \"orders\"", "PREFIX.activity.event_outbox"];
    run(Some("orders"), &[]).refused(2, &other);
    ended(with(
        stack.external(),
        &["setup", "--kafka-topic", "orders"],
    ))
    .refused(2, &other);
    // A topic that is there, without a connector that is known to feed it.
    make_topic(stack, topic);
    run(Some(topic), &[]).refused(
        2,
        &["topic \"postgres.activity.event_outbox\"", "KAFKA_TOPIC"],
    );
    // A slot and a connector of the names that `setup` uses.
    stack.sql("SELECT pg_create_logical_replication_slot('cdc_bench_debezium', 'pgoutput')");
    ended(with(stack.external(), &["setup"])).refused(2, &["slot \"cdc_bench_debezium\""]);
    let of_theirs = [
        ("topic.prefix", "theirs"),
        ("table.include.list", "public.theirs"),
        ("publication.name", "theirs"),
        ("slot.name", "theirs"),
    ];
    register(stack, "cdc-bench", &of_theirs);
    let theirs = "cdc-bench/config";
    let before = connect(stack, "GET", theirs, None);
    ended(with(stack.external(), &["setup"])).refused(2, &["connector \"cdc-bench\""]);
    assert_eq!(connect(stack, "GET", theirs, None), before);

    // A collection with documents of theirs and no index but its own.
    let documents = stack.events();
    let theirs: Document = doc! { "_id": "theirs", "n": 1 };
    stack.block_on(documents.insert_one(&theirs)).unwrap();
    let end = run(None, &["--capture", "both"]);
    assert_complete(&end.json(), 20);
    let captured = ["capture", "--publication", "theirs", "--until", "now"];
    assert_eq!(ended(with(stack.external(), &captured)).code, 0);
    let sweep = ["sweep", "--rates", "50", "--events", "20", "--results-dir"];
    let swept = with(stack.external(), &sweep);
    let end = ended(with(swept, &[results.path().to_str().unwrap()]));
    assert!(end.code <= 1, "{}", end.err);
    assert_eq!(ended(with(stack.external(), &["cleanup"])).code, 0);
    let found = stack.block_on(documents.find_one(doc! { "_id": "theirs" }));
    assert_eq!(found.unwrap(), Some(theirs));
    assert_eq!(
        stack.block_on(documents.list_index_names()).unwrap(),
        ["_id_"]
    );
    assert!(stack.topics().contains(topic));
    let slots = "SELECT slot_name FROM pg_replication_slots ORDER BY 1";
    assert_eq!(stack.sql(slots), ["cdc_bench_debezium", "theirs"]);
    assert_eq!(stack.sql("SELECT pubname FROM pg_publication"), ["theirs"]);
    assert_eq!(stack.connectors(), ["cdc-bench"]);
    remove_connector(stack, "cdc-bench", "theirs");
    stack.sql("SELECT pg_drop_replication_slot('cdc_bench_debezium'); DROP PUBLICATION theirs; DROP TABLE theirs");
    let topics = stack.topics();
    stack.delete_topics(&topics.iter().map(String::as_str).collect::<Vec<_>>());
}
