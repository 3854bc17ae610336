//! Debezium and our reader on the same changes, and what they write.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pgcdc::{
    Event, Reader, ReaderConfig, ReaderHandle, Slot, SlotName, SnapshotConfig, SteadyClock,
    TimeSource,
};
use pgcdc_debezium::{EnvelopeConfig, Envelopes, Record};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use serde_json::{Value, json};

use crate::stack::{TestStack, until};

/// A connector of the test, deleted when it is dropped.
struct Connector<'a> {
    stack: &'a TestStack,
    name: String,
}

impl<'a> Connector<'a> {
    /// Registers Debezium for these tables and waits until it runs.
    fn register(stack: &'a TestStack, name: &str, tables: &str, settings: &[(&str, &str)]) -> Self {
        let mut config: BTreeMap<String, String> = [
            (
                "connector.class",
                "io.debezium.connector.postgresql.PostgresConnector",
            ),
            ("plugin.name", "pgoutput"),
            ("database.hostname", "127.0.0.1"),
            ("database.port", &*stack.env["POSTGRES_PORT"]),
            ("database.user", &*stack.env["POSTGRES_USER"]),
            ("database.password", &*stack.env["POSTGRES_PASSWORD"]),
            ("database.dbname", &*stack.env["POSTGRES_DB"]),
            ("topic.prefix", name),
            ("table.include.list", tables),
            ("publication.name", name),
            ("publication.autocreate.mode", "disabled"),
            ("slot.name", name),
            ("snapshot.mode", "no_data"),
            ("poll.interval.ms", "1"),
            ("skipped.operations", "none"),
            ("topic.creation.enable", "true"),
            ("topic.creation.default.replication.factor", "1"),
            ("topic.creation.default.partitions", "1"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        config.extend(
            settings
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
        );
        let connector = Self {
            stack,
            name: name.to_owned(),
        };
        let put = connector.url("config");
        stack.block_on(async {
            let client = cdc_bench_stack::http_client().build().unwrap();
            let answer = client.put(put).json(&config).send().await.unwrap();
            assert!(answer.status().is_success(), "{:?}", answer.text().await);
        });
        until("the connector to run", || {
            let status = connector.get("status");
            let task = &status["tasks"][0];
            assert_ne!(task["state"], "FAILED", "{task}");
            task["state"] == "RUNNING"
        });
        // Connect reports RUNNING before the connector streams.
        until("its slot to be active", || {
            let active =
                format!("SELECT active FROM pg_replication_slots WHERE slot_name = '{name}'");
            stack.sql(&active) == ["t"]
        });
        connector
    }

    fn url(&self, what: &str) -> String {
        format!(
            "{}/connectors/{}/{what}",
            self.stack.env["CONNECT_URL"], self.name
        )
    }

    fn get(&self, what: &str) -> Value {
        let url = self.url(what);
        self.stack.block_on(async {
            let client = cdc_bench_stack::http_client().build().unwrap();
            client.get(url).send().await.unwrap().json().await.unwrap()
        })
    }

    /// The first records of its topics, each with topic, key and value.
    fn records(&self, count: usize) -> Vec<(String, Value, Value)> {
        let consumer: BaseConsumer = self
            .stack
            .kafka()
            .set("group.id", &self.name)
            .set("auto.offset.reset", "earliest")
            .set("topic.metadata.refresh.interval.ms", "200")
            .create()
            .unwrap();
        consumer
            .subscribe(&[&format!("^{}\\.", self.name)])
            .unwrap();
        let began = Instant::now();
        let mut records = Vec::new();
        while records.len() < count {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "{} of {count} records came",
                records.len()
            );
            if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                // A topic that matches may be on its way.
                if let Err(KafkaError::MessageConsumption(
                    RDKafkaErrorCode::UnknownTopicOrPartition,
                )) = message
                {
                    continue;
                }
                let message = message.unwrap();
                let json = |bytes: Option<&[u8]>| {
                    bytes.map_or(Value::Null, |bytes| serde_json::from_slice(bytes).unwrap())
                };
                records.push((
                    message.topic().to_owned(),
                    json(message.key()),
                    json(message.payload()),
                ));
            }
        }
        records
    }
}

impl Drop for Connector<'_> {
    fn drop(&mut self) {
        let url = format!("{}/connectors/{}", self.stack.env["CONNECT_URL"], self.name);
        self.stack.block_on(async {
            let client = cdc_bench_stack::http_client().build().unwrap();
            drop(client.delete(url).send().await);
        });
        let drop_slot = format!(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{}' AND NOT active",
            self.name
        );
        until("its slot to be dropped", || {
            self.stack.sql(&drop_slot);
            self.stack
                .sql(&format!(
                    "SELECT 1 FROM pg_replication_slots WHERE slot_name = '{}'",
                    self.name
                ))
                .is_empty()
        });
        let topics: Vec<_> = self
            .stack
            .topics()
            .into_iter()
            .filter(|topic| topic.starts_with(&format!("{}.", self.name)))
            .collect();
        let names: Vec<_> = topics.iter().map(String::as_str).collect();
        if !names.is_empty() {
            self.stack.delete_topics(&names);
        }
    }
}

/// Our reader on the same changes, with Debezium's format.
struct Ours {
    reader: ReaderHandle,
    records: Arc<Mutex<Vec<(String, Value, Value)>>>,
}

impl Ours {
    fn start(stack: &TestStack, name: &str, envelopes: EnvelopeConfig, with_rows: bool) -> Self {
        let slot = Slot::Temporary(SlotName::new(&format!("{name}_ours")).unwrap());
        let mut config = ReaderConfig::new(crate::reader::server(stack), slot, [name]);
        config.describe = true;
        // One table at a time, as Debezium copies them.
        config.snapshot = with_rows.then_some(SnapshotConfig {
            connections: 1,
            ..SnapshotConfig::default()
        });
        let records = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&records);
        let mut envelopes = Envelopes::new(envelopes);
        let clock = SteadyClock::start();
        let reader = stack.block_on(Reader::spawn(config, move |event| {
            let json = |bytes: Option<&[u8]>| {
                bytes.map_or(Value::Null, |bytes| {
                    serde_json::from_slice(bytes)
                        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(bytes)))
                })
            };
            let keep = |topic: &str, record: Record<'_>| {
                let record = (topic.to_owned(), json(record.key), json(record.value));
                kept.lock().unwrap().push(record);
            };
            let transactions = envelopes.transaction_topic();
            match &event {
                Event::Change(change) => {
                    if let Some(begin) = envelopes.begin(change) {
                        keep(&transactions, begin);
                    }
                    let topic = envelopes.topic(change.relation);
                    let now = clock.now();
                    let written = envelopes.write(change, now, |record| keep(&topic, record));
                    written.unwrap();
                }
                Event::Message(message) => {
                    if let Some(begin) = envelopes.begin_with_message(message) {
                        keep(&transactions, begin);
                    }
                    let topic = envelopes.message_topic();
                    keep(&topic, envelopes.message(message, clock.now()));
                }
                Event::Commit(commit) => {
                    if let Some(end) = envelopes.end(commit) {
                        keep(&transactions, end);
                    }
                }
                _ => {}
            }
            ControlFlow::Continue(())
        }));
        Self {
            reader: reader.unwrap(),
            records,
        }
    }

    fn records(&self, count: usize) -> Vec<(String, Value, Value)> {
        until("our records", || {
            assert_eq!(self.reader.error().map(|e| e.to_string()), None);
            self.records.lock().unwrap().len() >= count
        });
        self.records.lock().unwrap().clone()
    }
}

/// Removes what may differ: the version, and the time at which the event was made.
fn comparable(mut record: (String, Value, Value)) -> (String, Value, Value) {
    if let Some(event) = record.2.as_object_mut()
        && event.contains_key("op")
    {
        let times: &[_] = match event["op"].as_str() {
            Some("m") => &["ts_ms"],
            _ => &["ts_ms", "ts_us", "ts_ns"],
        };
        for name in times {
            assert!(event.remove(*name).unwrap().is_i64());
        }
        let source = event["source"].as_object_mut().unwrap();
        assert!(source.remove("version").unwrap().is_string());
        if event["op"] == "r" {
            // Each has a snapshot of its own.
            let source = event["source"].as_object_mut().unwrap();
            for name in ["ts_ms", "ts_us", "ts_ns", "lsn", "txId"] {
                assert!(source.remove(name).unwrap().as_i64().unwrap() > 0, "{name}");
            }
            let sequence = source.remove("sequence").unwrap();
            let sequence: [Option<String>; 2] =
                serde_json::from_str(sequence.as_str().unwrap()).unwrap();
            assert!(sequence[0].is_none() && sequence[1].is_some());
        }
    }
    if let Some(tables) = record.2["data_collections"].as_array_mut() {
        // Debezium's order of these is random.
        tables.sort_by_key(|table| table["data_collection"].to_string());
    }
    record
}

/// The differences between two events, field by field.
fn differences(path: &str, theirs: &Value, ours: &Value, found: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            let names: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for name in names {
                let missing = json!("(not there)");
                differences(
                    &format!("{path}.{name}"),
                    a.get(name).unwrap_or(&missing),
                    b.get(name).unwrap_or(&missing),
                    found,
                );
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(format!("{path}: Debezium {a}, ours {b}")),
    }
}

/// Runs the statements while both read, and compares what they write.
pub fn compare(
    stack: &TestStack,
    name: &str,
    tables: &str,
    (settings, envelopes): (&[(&str, &str)], EnvelopeConfig),
    statements: &[&str],
    records: usize,
) -> Vec<String> {
    let with_rows = settings.contains(&("snapshot.mode", "initial"));
    let connector = Connector::register(stack, name, tables, settings);
    let ours = Ours::start(stack, name, envelopes, with_rows);
    if with_rows {
        ours.records(records - statements.len());
    }
    for statement in statements {
        stack.sql(statement);
    }
    let theirs = connector.records(records);
    // By table: topics are consumed concurrently, and only the records of one topic are in order.
    let by_topic = |records: Vec<(String, Value, Value)>| {
        let mut topics: BTreeMap<String, Vec<(String, Value, Value)>> = BTreeMap::new();
        for record in records {
            topics
                .entry(record.0.clone())
                .or_default()
                .push(comparable(record));
        }
        topics
    };
    let (theirs, ours) = (by_topic(theirs), by_topic(ours.records(records)));
    assert_eq!(
        theirs.keys().collect::<Vec<_>>(),
        ours.keys().collect::<Vec<_>>()
    );
    let mut found = Vec::new();
    for (topic, theirs) in &theirs {
        let shape = |records: &[(String, Value, Value)]| -> Vec<String> {
            let shape = |(_, key, value): &(String, Value, Value)| format!("{} {key}", value["op"]);
            records.iter().map(shape).collect()
        };
        assert_eq!(shape(theirs), shape(&ours[topic]), "{topic}");
        for (number, (a, b)) in theirs.iter().zip(&ours[topic]).enumerate() {
            let at = format!("{topic}[{number}]");
            differences(&format!("{at}.key"), &a.1, &b.1, &mut found);
            differences(&format!("{at}.value"), &a.2, &b.2, &mut found);
        }
    }
    found
}
