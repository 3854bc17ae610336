//! `observe` with topics downstream as the sink: a program that makes other records of the connector's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, ThreadedProducer};
use serde_json::{Value, json};

use super::super::stack::TestStack;
use super::super::stack::command::{ended, with};
use super::observed::{Observing, observe};
use super::pipeline::PREFIX;
use super::shop::Shop;

/// A faithful copy, and a table of the newest values by keys of its own.
const TOPICS: [(&str, &str); 2] = [("orders", "orders-copy"), ("customers", "tiers")];
/// Values alone, without a key; what they are of is in headers.
const BY_HEADER: (&str, &str) = ("orders", "totals");

/// A program that reads one of the connector's topics, on a thread of its own.
pub struct Program {
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Program {
    /// Hands key and value of every record on.
    pub fn begin(
        stack: &TestStack,
        table: &str,
        name: &str,
        mut handle: impl FnMut(&[u8], Option<&[u8]>) + Send + 'static,
    ) -> Self {
        let mut config = stack.kafka();
        let config = config
            .set("group.id", name)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = config.create().unwrap();
        let from = format!("{PREFIX}.public.{table}");
        consumer.subscribe(&[&from]).unwrap();
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                if let Some(message) = consumer.poll(Duration::from_millis(20)) {
                    let message = message.unwrap().detach();
                    handle(message.key().unwrap(), message.payload());
                }
            }
        });
        Self { stopping, thread }
    }

    pub fn end(self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

/// What a converter with schemas wrapped.
pub fn payload(bytes: &[u8]) -> Value {
    serde_json::from_slice::<Value>(bytes).unwrap()["payload"].clone()
}

/// The program that writes into this topic, which it makes.
fn writing(stack: &TestStack, (table, to): (&str, &'static str)) -> Program {
    let admin: AdminClient<_> = stack.kafka().create().unwrap();
    let topic = NewTopic::new(to, 2, TopicReplication::Fixed(1));
    let topic = topic.set("message.timestamp.type", "LogAppendTime");
    let made = stack.block_on(admin.create_topics([&topic], &AdminOptions::new()));
    made.unwrap().remove(0).unwrap();
    let producer: ThreadedProducer<DefaultProducerContext> =
        stack.kafka().set("linger.ms", "0").create().unwrap();
    Program::begin(stack, table, to, move |key, value| {
        let (new_key, value) = if to == "tiers" {
            tier(key, value)
        } else {
            (key.to_vec(), value.map(<[u8]>::to_vec))
        };
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(to);
        record = if to == BY_HEADER.1 {
            record.partition(0).headers(names(key))
        } else {
            record.key(&new_key)
        };
        if let Some(value) = &value {
            record = record.payload(value);
        }
        let sent: Result<(), _> = producer.send(record).map_err(|(error, _)| error);
        sent.unwrap();
    })
}

/// `k-7` and `{"customer": {"id": 7}, "tier": 1}` of a customer's event.
fn tier(key: &[u8], value: Option<&[u8]>) -> (Vec<u8>, Option<Vec<u8>>) {
    let id = &payload(key)["id"];
    let value = value.map(|value| {
        let tier = &payload(value)["after"]["tier"];
        let value = json!({ "customer": { "id": id }, "tier": tier });
        value.to_string().into_bytes()
    });
    (format!("k-{id}").into_bytes(), value)
}

/// The key's columns as headers.
fn names(key: &[u8]) -> OwnedHeaders {
    let key = payload(key);
    let (region, id) = (&key["region"], key["id"].to_string());
    let header = |key, value| Header {
        key,
        value: Some(value),
    };
    OwnedHeaders::new()
        .insert(header("region", region.as_str().unwrap()))
        .insert(header("order.id", &id))
}

pub fn followed(stack: &TestStack, shop: &Shop<'_>) {
    let programs = TOPICS.map(|topics| writing(stack, topics));
    let refused = |args: &[&str], says: &[&str]| {
        let mut command = with(observe(stack, None), &["--no-group"]);
        command.args(args);
        ended(command).refused(2, says);
    };
    refused(&["--sink", "kafka"], &["--sink-topic TABLE=TOPIC"]);
    refused(
        &["--sink-topic", "orders=absent"],
        &["\"absent\"", "does not exist"],
    );
    refused(
        &["--sink-topic", "orders=shop.public.orders"],
        &["shop.public.orders", "connector's own"],
    );
    refused(
        &["--sink-topic", "tiers"],
        &["several tables", "TABLE=tiers"],
    );
    refused(
        &["--sink-topic", "order=tiers"],
        &["table order", "public.orders"],
    );
    refused(
        &[
            "--sink-topic",
            "orders=tiers",
            "--sink-topic",
            "customers=tiers",
        ],
        &["public.orders", "public.customers", "told apart"],
    );
    refused(
        &["--sink", "mongodb", "--sink-topic", "orders=tiers"],
        &["--sink-topic", "--sink kafka"],
    );

    refused(
        &["--sink-topic", "orders=tiers", "--sink-key", "id"],
        &["--sink-key id", "several"],
    );
    refused(
        &[
            "--sink-topic",
            "orders=tiers",
            "--sink-key",
            "orders=key.id",
        ],
        &["region, id", "one path for each"],
    );
    refused(
        &[
            "--sink-topic",
            "customers=tiers",
            "--sink-key",
            "customers=id",
        ],
        &["key.id", "value.id", "header.id"],
    );

    shop.load(Duration::from_secs(2), 20);
    let args = TOPICS.map(|(table, topic)| format!("--sink-topic={table}={topic}"));
    let keys = [
        "--sink-key=customers=value.customer.id",
        "--sink-key=orders=key.region,key.id",
        "--no-group",
    ];
    let args: Vec<_> = args.iter().map(String::as_str).chain(keys).collect();
    let observing = Observing::of(stack, observe(stack, None), &args);
    let done = shop.load(Duration::from_secs(6), 80);
    std::thread::sleep(Duration::from_secs(2));
    let observed = observing.end();
    observed.assert_complete(done.changes);
    assert_eq!(observed.count("coalesced"), 0);
    assert_eq!(observed.count("sink_only"), 0);
    let mean = |hop: &str| observed.hop(hop, "mean");
    let sum = mean("debezium") + mean("produce") + mean("consume");
    assert!((sum - mean("total")).abs() <= 3, "{sum} {}", mean("total"));
    let changes = i64::try_from(done.changes).unwrap();
    assert_eq!(observed.hop("store", "count"), changes);
    for program in programs {
        program.end();
    }
    by_header(stack, shop);
}

fn by_header(stack: &TestStack, shop: &Shop<'_>) {
    let program = writing(stack, BY_HEADER);
    shop.load(Duration::from_secs(2), 20);
    let args = [
        "--table=orders",
        "--sink-topic=totals",
        "--sink-key=header.region,header.order.id",
        "--no-group",
    ];
    let observing = Observing::of(stack, observe(stack, None), &args);
    let done = shop.load(Duration::from_secs(4), 80);
    std::thread::sleep(Duration::from_secs(2));
    let observed = observing.end();
    let shown = observed.count("completed");
    assert!(shown > 0 && shown < done.changes, "{}", observed.errors);
    assert!(!observed.has_incident("sink_unreadable", ""));
    for nothing in ["missing", "not_shown", "sink_only"] {
        assert_eq!(observed.count(nothing), 0, "{nothing}: {}", observed.report);
    }
    program.end();
}
