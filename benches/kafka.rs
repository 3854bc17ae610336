//! How fast a topic is drained: the whole consumer into a store that takes everything at once, beside rdkafka alone.
//!
//! A real broker, a topic that was filled before, the contenders in turn. What is timed is from the first record to the
//! last one dealt with: joining the group is not.
//!
//! ```sh
//! cargo bench --bench kafka --features bench-stack
//! cargo bench --bench kafka --features bench-stack -- --events 100000 --rounds 1   # a first look
//! ```

// Helpers of benches are benches.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss)]

#[path = "inputs/filled.rs"]
mod filled;
mod inputs;
#[path = "inputs/sinks.rs"]
mod sinks;
#[path = "inputs/spread.rs"]
mod spread;
#[path = "../tests/on_a_stack/stack.rs"]
#[allow(dead_code)]
mod stack;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cdc_bench::broker::{KafkaSource, KafkaSourceConfig, MemberSession, fetch_settings};
use cdc_bench::consumer::{ConsumerStage, DeadLetters, StageConfig};
use cdc_bench::records::{RecordBatch, RecordSource, Topics};
use cdc_bench_model::timeline::Clock;
use clap::Parser;
use filled::cpu;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use sinks::{Counted, Nowhere};
use spread::Spread;
use stack::TestStack;
use tokio_util::sync::CancellationToken;

/// What is asked of the bench.
#[derive(Parser)]
struct Options {
    /// Events in the topic.
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Times that the contenders take their turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// A setting of the consumer's over its own, such as fetch.message.max.bytes=262144.
    #[arg(long = "fetch", value_name = "NAME=VALUE", value_parser = setting)]
    fetch: Vec<(String, String)>,
    /// Cargo's own.
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Who drains, and how.
#[derive(Clone, Copy)]
enum Contender {
    /// rdkafka's `BaseConsumer`, each message looked at and dropped.
    Bare,
    /// The consumer with so many workers.
    Stage { workers: usize },
}

/// What one drain took.
#[derive(Clone, Copy)]
struct Drain {
    per_s: f64,
    /// Processor time of this process, seconds.
    cpu: f64,
    /// Most memory above what it had before, bytes.
    memory: u64,
}

fn main() {
    let options = Options::parse();
    let stack = TestStack::up();
    let bench = Bench {
        stack: &stack,
        runtime: tokio::runtime::Runtime::new().unwrap(),
        fetch: fetch_settings(&options.fetch.iter().cloned().collect()),
    };
    let mut ratios = Vec::new();
    for partitions in [1, 2] {
        let topic = format!("drain-{partitions}");
        filled::make(&stack, &bench.runtime, &topic, partitions);
        let bytes = filled::fill(&stack, &topic, partitions, options.events);
        println!(
            "\n{} events of {bytes} bytes in {partitions} partition{}; median of {} rounds after one to warm up (least to most)",
            options.events,
            if partitions == 1 { "" } else { "s" },
            options.rounds
        );
        println!(
            "{:<28} {:>31} {:>14} {:>9}",
            "", "events/s", "CPU s/M events", "peak MB"
        );
        let contenders = [
            ("rdkafka alone", Contender::Bare),
            ("consumer, 1 worker", Contender::Stage { workers: 1 }),
            ("consumer, 2 workers", Contender::Stage { workers: 2 }),
        ];
        let mut drains = contenders.map(|_| Vec::new());
        for round in 0..=options.rounds {
            for ((_, contender), drains) in contenders.iter().zip(&mut drains) {
                let drain = bench.drain(&topic, partitions, *contender, options.events);
                // In the round before the first the broker's JVM still compiles, and takes a core for it.
                if round > 0 {
                    drains.push(drain);
                }
            }
        }
        for ((name, _), drains) in contenders.iter().zip(&drains) {
            print(name, drains, options.events);
        }
        let [bare, one, two] = &drains;
        ratios.push(Ratios {
            one_worker: Spread::of(ratios_of(one, bare)),
            two_workers: Spread::of(ratios_of(two, bare)),
            two_workers_rate: Spread::of(two.iter().map(|drain| drain.per_s)).median,
        });
        stack.delete_topics(&[&topic]);
    }
    bench.flatness(options.events);
    let ([one, two], [first, second]) = (["1", "2"], &ratios[..]) else {
        unreachable!("two topics");
    };
    println!("\neach round's own ratios: median (least to most)");
    println!(
        "kafka partitions={one} workers_1_to_bare={:.2} workers_2_to_bare={:.2}",
        first.one_worker, first.two_workers
    );
    println!(
        "kafka partitions={two} workers_1_to_bare={:.2} workers_2_to_bare={:.2} to_one_partition={:.2}",
        second.one_worker,
        second.two_workers,
        second.two_workers_rate / first.two_workers_rate
    );
}

/// Of one topic: the consumer beside rdkafka alone.
struct Ratios {
    one_worker: Spread,
    two_workers: Spread,
    /// Events a second.
    two_workers_rate: f64,
}

/// The two of a round drain within seconds of each other: what the machine does meanwhile is much the same for both.
fn ratios_of(ours: &[Drain], peers: &[Drain]) -> impl Iterator<Item = f64> {
    let pairs = ours.iter().zip(peers);
    pairs.map(|(ours, peer)| ours.per_s / peer.per_s)
}

fn print(name: &str, drains: &[Drain], events: usize) {
    let of = |value: fn(&Drain) -> f64| Spread::of(drains.iter().map(value));
    println!(
        "{name:<28} {:>31} {:>14.2} {:>9.1}",
        of(|drain| drain.per_s),
        of(|drain| drain.cpu).median / events as f64 * 1e6,
        of(|drain| drain.memory as f64).median / 1e6
    );
}

struct Bench<'a> {
    stack: &'a TestStack,
    runtime: tokio::runtime::Runtime,
    fetch: BTreeMap<String, String>,
}

impl Bench<'_> {
    fn drain(&self, topic: &str, partitions: i32, contender: Contender, events: usize) -> Drain {
        // Forgets the most memory so far.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        let (before, used) = (memory("VmRSS:"), cpu());
        let took = match contender {
            Contender::Bare => self.bare(topic, partitions, events),
            Contender::Stage { workers } => self.stage(topic, workers, events),
        };
        Drain {
            per_s: events as f64 / took.as_secs_f64(),
            cpu: cpu() - used,
            memory: memory("VmHWM:").saturating_sub(before),
        }
    }

    /// rdkafka alone, set up as our consumer sets it up.
    fn bare(&self, topic: &str, partitions: i32, events: usize) -> Duration {
        let consumer: BaseConsumer = self
            .stack
            .kafka()
            .set("group.id", "bare")
            .set("enable.auto.commit", "false")
            .set("fetch.queue.backoff.ms", "5")
            .create()
            .unwrap();
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions {
            let beginning = assignment.add_partition_offset(topic, partition, Offset::Beginning);
            beginning.unwrap();
        }
        consumer.assign(&assignment).unwrap();
        let mut began = None;
        let (mut count, mut bytes) = (0, 0);
        while count < events {
            let Some(message) = consumer.poll(Duration::from_secs(10)) else {
                panic!("only {count} of {events} came");
            };
            began.get_or_insert_with(Instant::now);
            count += 1;
            bytes += message.unwrap().payload().map_or(0, <[u8]>::len);
        }
        assert!(bytes > 0);
        began.unwrap().elapsed()
    }

    /// The whole consumer but for the store.
    fn stage(&self, topic: &str, workers: usize, events: usize) -> Duration {
        self.runtime.block_on(async {
            let clock = Clock::start();
            let config = KafkaSourceConfig {
                topics: Topics::one(topic),
                group: format!("drain-{}", uuid::Uuid::now_v7()),
                from_end: false,
                fetch: self.fetch.clone(),
                session: MemberSession::Short,
            };
            let kafka = self.stack.kafka();
            let records = KafkaSource::subscribe(&kafka, config, clock).await;
            let source = Finite {
                inner: records.unwrap(),
                left: events,
            };
            let config = StageConfig {
                topics: Topics::one(topic),
                batch_size: 100,
                writes_in_flight: 2,
                workers,
                store_outage: Duration::from_secs(1),
            };
            let observer = Arc::new(Counted::default());
            let letters = DeadLetters::at(std::env::temp_dir().join("cdc-bench-no-letters"));
            let seen = Arc::clone(&observer);
            let stage = ConsumerStage::new(source, Nowhere, seen, letters, config, clock);
            // As every command runs it: a task of its own.
            let ended = tokio::spawn(stage.run(CancellationToken::new())).await;
            let took = observer.began().unwrap().elapsed();
            let (source, end) = ended.unwrap();
            end.unwrap();
            assert_eq!(
                observer.written.load(Ordering::Relaxed),
                events as u64,
                "written"
            );
            source.inner.close().await;
            took
        })
    }

    /// Memory by the number of events.
    fn flatness(&self, events: usize) {
        let topic = "drain-flat";
        let most = 2 * events;
        filled::make(self.stack, &self.runtime, topic, 1);
        filled::fill(self.stack, topic, 1, most);
        println!("\npeak memory of the consumer, 2 workers, by the number of events");
        for count in [most / 200, most / 20, most] {
            let drain = self.drain(topic, 1, Contender::Stage { workers: 2 }, count);
            println!("{count:>9} {:>9.1} MB", drain.memory as f64 / 1e6);
        }
        self.stack.delete_topics(&[topic]);
    }
}

/// A source that ends after so many records.
struct Finite {
    inner: KafkaSource,
    left: usize,
}

impl RecordSource for Finite {
    async fn recv(&mut self) -> Option<RecordBatch> {
        if self.left == 0 {
            return None;
        }
        let mut batch = self.inner.recv().await?;
        batch.truncate(self.left);
        self.left -= batch.len();
        Some(batch)
    }

    fn written(&mut self, partition: i32, offset: i64) {
        self.inner.written(partition, offset);
    }
}

/// A field of the process's status, bytes.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}
