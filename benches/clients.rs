//! What an event takes in the clients alone: an INSERT by tokio-postgres, a record by rdkafka's producer and its consumer, a document by
//! the driver of MongoDB, each by itself, one at a time, at the rate of a run. Beside it the whole of a run with our producer.
//!
//! Real servers. A thread that only sleeps at that rate is measured too, and taken off each of them.
//!
//! ```sh
//! cargo bench --bench clients --features bench-stack
//! cargo bench --bench clients --features bench-stack -- --seconds 2 --rounds 1   # a first look
//! ```

// Helpers of benches are benches.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss)]

#[path = "inputs/filled.rs"]
#[allow(dead_code)]
mod filled;
mod inputs;
#[path = "inputs/paced.rs"]
mod paced;
#[path = "inputs/spread.rs"]
mod spread;
#[path = "../tests/on_a_stack/stack.rs"]
#[allow(dead_code)]
mod stack;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser;
use mongodb::bson::doc;
use mongodb::options::{CollectionOptions, WriteConcern};
use paced::Paced;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use serde_json::Value;
use spread::Spread;
use stack::TestStack;
use stack::command::{ended, with};
use tokio::runtime::{Builder, Runtime};

const TOPIC: &str = "clients";
/// A payload of the usual size.
const PAYLOAD: &str = "x";
const PAYLOAD_BYTES: usize = 900;

/// What is asked of the bench.
#[derive(Parser)]
struct Options {
    #[command(flatten)]
    paced: Paced,
}

impl Options {
    /// Works at the rate; microseconds of processor time an event.
    fn measure(&self, mut work: impl FnMut(u32)) -> f64 {
        // Connections, and what is done once.
        (0..10).for_each(&mut work);
        self.paced.measure(1, |number| work(number + 10), || {})
    }
}

/// What is measured in a round, in this order.
const PARTS: [&str; 6] = [
    "a sleep",
    "tokio-postgres, INSERT",
    "rdkafka, produced",
    "rdkafka, consumed",
    "mongodb, inserted",
    "a run (wal)",
];

fn main() {
    let options = Options::parse();
    let stack = TestStack::up();
    let payload = PAYLOAD.repeat(PAYLOAD_BYTES);
    stack.sql("CREATE TABLE bench_clients (id bigserial PRIMARY KEY, payload text)");
    filled::make(&stack, &Runtime::new().unwrap(), TOPIC, 1);
    let mut rounds = Vec::new();
    for round in 0..=options.paced.rounds {
        let slept = options.measure(|_| {});
        let inserted = insert(&stack, &options, &payload) - slept;
        let produced = produce(&stack, &options, &payload) - slept;
        let consumed = produce_and_consume(&stack, &options, &payload) - slept - produced;
        let stored = store(&stack, &options, &payload) - slept;
        let run = run(&stack, &options);
        // In the round before the first the servers warm up.
        if round > 0 {
            rounds.push([slept, inserted, produced, consumed, stored, run]);
        }
    }
    stack.sql("DROP TABLE bench_clients");
    println!(
        "\nprocessor time of an event at {}/s, us; median of {} rounds after one to warm up (least to most)",
        options.paced.rate, options.paced.rounds
    );
    for (part, name) in PARTS.iter().enumerate() {
        let spread = Spread::of(rounds.iter().map(|round| round[part]));
        println!("{name:<24} {spread:>28.0}");
    }
    let clients = |round: &[f64; 6]| round[1..5].iter().sum::<f64>() + round[0];
    let sums = Spread::of(rounds.iter().map(clients));
    let ratios = Spread::of(rounds.iter().map(|round| round[5] / clients(round)));
    println!("{:<24} {sums:>28.0}", "clients and a sleep");
    println!("{:<24} {ratios:>28.2}", "a run, to that");
}

fn on_one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn insert(stack: &TestStack, options: &Options, payload: &str) -> f64 {
    let runtime = on_one_thread();
    let text = "INSERT INTO bench_clients (payload) VALUES ($1)";
    let (client, insert) = runtime.block_on(async {
        let client = stack.connect().await;
        let insert = client.prepare(text).await.unwrap();
        (client, insert)
    });
    options.measure(|_| {
        let inserted = runtime.block_on(client.execute(&insert, &[&payload]));
        assert_eq!(inserted.unwrap(), 1);
    })
}

fn producer(stack: &TestStack) -> ThreadedProducer<DefaultProducerContext> {
    let mut config = stack.kafka();
    config.set("linger.ms", "0").set("acks", "all");
    config.set("enable.idempotence", "true").create().unwrap()
}

fn produce(stack: &TestStack, options: &Options, payload: &str) -> f64 {
    let producer = producer(stack);
    let took = options.measure(|_| {
        let record = BaseRecord::<(), str>::to(TOPIC).payload(payload);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    });
    producer.flush(Duration::from_secs(10)).unwrap();
    took
}

fn produce_and_consume(stack: &TestStack, options: &Options, payload: &str) -> f64 {
    let mut config = stack.kafka();
    config.set("group.id", format!("clients-{}", uuid::Uuid::now_v7()));
    let consumer: BaseConsumer = config.set("fetch.min.bytes", "1").create().unwrap();
    let mut end = rdkafka::TopicPartitionList::new();
    let offset = rdkafka::Offset::End;
    end.add_partition_offset(TOPIC, 0, offset).unwrap();
    consumer.assign(&end).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                if let Some(record) = consumer.poll(Duration::from_millis(100)) {
                    record.unwrap();
                }
            }
        });
        let took = produce(stack, options, payload);
        is_over.store(true, Ordering::Relaxed);
        took
    })
}

fn store(stack: &TestStack, options: &Options, payload: &str) -> f64 {
    let runtime = on_one_thread();
    let concern = WriteConcern::builder()
        .w(mongodb::options::Acknowledgment::Majority)
        .journal(true)
        .build();
    let with_concern = CollectionOptions::builder().write_concern(concern).build();
    let documents = runtime.block_on(async {
        let uri = stack.unjournaled_uri();
        let client = mongodb::Client::with_uri_str(uri).await.unwrap();
        let database = client.database("bench_clients");
        database.collection_with_options("documents", with_concern)
    });
    let took = options.measure(|number| {
        let document = doc! { "_id": i64::from(number), "payload": payload };
        let inserted = runtime.block_on(documents.insert_one(document).into_future());
        inserted.unwrap();
    });
    runtime.block_on(documents.drop().into_future()).unwrap();
    took
}

/// A run's whole process, while its events were under way.
fn run(stack: &TestStack, options: &Options) -> f64 {
    let (rate, seconds) = (
        options.paced.rate.to_string(),
        options.paced.seconds.to_string(),
    );
    let folder = stack::open_folder();
    let mut command = stack.kept();
    command.args(["run", "--json", "--capture", "wal", "--rate", &rate]);
    command.args(["--duration", &seconds, "--warmup", "200", "--results-dir"]);
    let report: Value = ended(with(command, &[folder.path().to_str().unwrap()])).json();
    report["paths"]["wal"]["cpu_s_per_million"]["cdc-bench"]
        .as_f64()
        .unwrap()
}
