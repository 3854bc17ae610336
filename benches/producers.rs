//! What a producer takes that sends one record at a time, and one that sends none: ours beside rdkafka's `ThreadedProducer`.
//!
//! A real broker. Both send the same records with the same settings, and are told of each delivery.
//!
//! ```sh
//! cargo bench --bench producers --features bench-stack
//! cargo bench --bench producers --features bench-stack -- --rate 5000 --burst 50   # as with 50 rows a transaction
//! cargo bench --bench producers --features bench-stack -- --seconds 2 --rounds 1   # a first look
//! ```

// Helpers of benches are benches.
#![allow(clippy::unwrap_used)]

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

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cdc_bench::broker::Publisher;
use cdc_bench_model::timeline::Clock;
use clap::Parser;
use filled::cpu;
use paced::Paced;
use rdkafka::ClientContext;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use spread::Spread;
use stack::TestStack;

const TOPIC: &str = "producers";

/// What is asked of the bench.
#[derive(Parser)]
struct Options {
    /// Records that are sent at once, as those of one transaction are.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    burst: u32,
    #[command(flatten)]
    paced: Paced,
}

/// What a producer took in a round.
#[derive(Clone, Copy)]
struct Took {
    /// Milliseconds of processor time in a second without records.
    idle_ms: f64,
    /// Microseconds of a record.
    record_us: f64,
}

fn main() {
    let options = Options::parse();
    let stack = TestStack::up();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    filled::make(&stack, &runtime, TOPIC, 1);
    let (mut all_ours, mut all_theirs) = (Vec::new(), Vec::new());
    for round in 0..=options.paced.rounds {
        let (ours, theirs) = (ours(&stack, &options), theirs(&stack, &options));
        // In the round before the first the broker's JVM still compiles.
        if round > 0 {
            all_ours.push(ours);
            all_theirs.push(theirs);
        }
    }
    println!(
        "\nmedian of {} rounds after one to warm up (least to most)",
        options.paced.rounds
    );
    println!(
        "{:<18} {:>28} {:>32}",
        "",
        "idle, CPU ms a second",
        format!("at {}/s, CPU us a record", options.paced.rate)
    );
    let of = |took: &[Took], value: fn(&Took) -> f64| Spread::of(took.iter().map(value));
    let mut medians = Vec::new();
    for (name, took) in [("ours", &all_ours), ("ThreadedProducer", &all_theirs)] {
        let (idle, record) = (
            of(took, |took| took.idle_ms),
            of(took, |took| took.record_us),
        );
        println!("{name:<18} {idle:>28.2} {record:>32.1}");
        medians.push((idle.median, record.median));
    }
    let [ours, theirs] = medians[..] else { return };
    println!(
        "{:<18} {:>28.2} {:>32.2}",
        "ratio",
        ours.0 / theirs.0,
        ours.1 / theirs.1
    );
}

fn ours(stack: &TestStack, options: &Options) -> Took {
    let delivered = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&delivered);
    let delivered_one = Box::new(move |(), _| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let producer = Publisher::new(&stack.kafka(), Clock::start(), delivered_one).unwrap();
    let send = |value: &[u8]| producer.send(TOPIC, None, Some(value), ()).unwrap();
    let took = measure(options, &delivered, send);
    producer.flush().unwrap();
    took
}

fn theirs(stack: &TestStack, options: &Options) -> Took {
    let counted = Counted::default();
    let delivered = Arc::clone(&counted.0);
    let mut config = stack.kafka();
    // Those that ours has.
    for (name, value) in [
        ("linger.ms", "0"),
        ("partitioner", "murmur2_random"),
        ("socket.nagle.disable", "true"),
        ("acks", "all"),
        ("enable.idempotence", "true"),
    ] {
        config.set(name, value);
    }
    let producer: ThreadedProducer<Counted> = config.create_with_context(counted).unwrap();
    let send = |value: &[u8]| {
        let record = BaseRecord::<(), [u8]>::to(TOPIC).payload(value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    };
    let took = measure(options, &delivered, send);
    producer.flush(Duration::from_secs(10)).unwrap();
    took
}

/// Counts deliveries.
#[derive(Default)]
struct Counted(Arc<AtomicU64>);

impl ClientContext for Counted {}

impl ProducerContext for Counted {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        assert!(result.is_ok());
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Some records to connect by; then none for a while, and then one after the other at the rate.
fn measure(options: &Options, delivered: &AtomicU64, send: impl Fn(&[u8])) -> Took {
    let value = [b'x'; 900];
    let wait_for = |count: u64| {
        while delivered.load(Ordering::Relaxed) < count {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    (0..10).for_each(|_| send(&value));
    wait_for(10);
    let paced = &options.paced;
    let before = cpu();
    std::thread::sleep(Duration::from_secs(u64::from(paced.seconds)));
    let idle = cpu() - before;
    let records = u64::from(paced.rate * paced.seconds);
    let send = |_| send(&value);
    Took {
        idle_ms: idle / f64::from(paced.seconds) * 1e3,
        record_us: paced.measure(options.burst, send, || wait_for(records + 10)),
    }
}
