//! Whether consumers of one group cost an event the same however many they are: 1, 2 and 4 on a topic of four partitions, into a store
//! that takes everything at once, beside as many consumers of rdkafka alone.
//!
//! A real broker. The members join before the topic is filled: joining and what a rebalance reads twice are not timed. Cores that are
//! fewer than the members do not make them faster; what counts is the processor time of an event.
//!
//! ```sh
//! cargo bench --bench group --features bench-stack
//! cargo bench --bench group --features bench-stack -- --events 100000 --rounds 1   # a first look
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
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cdc_bench::broker::{KafkaSource, KafkaSourceConfig, MemberSession, fetch_settings};
use cdc_bench::consumer::{ConsumerStage, DeadLetters, StageConfig, StageObserver};
use cdc_bench::records::Topics;
use cdc_bench_model::timeline::Clock;
use clap::Parser;
use filled::cpu;
use futures_util::future::join_all;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use sinks::{Counted, Nowhere};
use spread::Spread;
use stack::TestStack;
use tokio_util::sync::CancellationToken;

const PARTITIONS: i32 = 4;

/// What is asked of the bench.
#[derive(Parser)]
struct Options {
    /// Events in the topic.
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// Times that the contenders take their turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Members of the group; repeatable.
    #[arg(long, default_values_t = [1, 2, 4], value_parser = clap::value_parser!(i32).range(1..=4))]
    members: Vec<i32>,
    /// Cargo's own.
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

/// What one drain took.
#[derive(Clone, Copy)]
struct Drain {
    per_s: f64,
    /// Processor time of an event, microseconds.
    cpu_us: f64,
}

impl Drain {
    fn of(events: usize, took: Duration, cpu_s: f64) -> Self {
        Self {
            per_s: events as f64 / took.as_secs_f64(),
            cpu_us: cpu_s / events as f64 * 1e6,
        }
    }
}

fn main() {
    let options = Options::parse();
    let stack = TestStack::up();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut drains: BTreeMap<i32, [Vec<Drain>; 2]> = BTreeMap::new();
    for round in 0..=options.rounds {
        for members in &options.members {
            let topic = format!("group-{round}-{members}");
            filled::make(&stack, &runtime, &topic, PARTITIONS);
            let ours = runtime.block_on(ours(&stack, &topic, *members, options.events));
            let bare = bare(&stack, &topic, *members, options.events);
            stack.delete_topics(&[&topic]);
            // In the round before the first the broker's JVM still compiles, and takes a core for it.
            if round > 0 {
                let [all_ours, all_bare] = drains.entry(*members).or_default();
                all_ours.push(ours);
                all_bare.push(bare);
            }
        }
    }
    println!(
        "\n{} events in {PARTITIONS} partitions; median of {} rounds after one to warm up (least to most)",
        options.events, options.rounds
    );
    println!(
        "{:<8} {:>31} {:>24} {:>31} {:>24} {:>10}",
        "members",
        "events/s",
        "CPU us an event",
        "rdkafka alone, events/s",
        "CPU us an event",
        "CPU ratio"
    );
    let of = |drains: &[Drain], value: fn(&Drain) -> f64| Spread::of(drains.iter().map(value));
    let mut medians = Vec::new();
    for (members, [ours, bare]) in &drains {
        let (cpu, bare_cpu) = (of(ours, |of| of.cpu_us), of(bare, |of| of.cpu_us));
        println!(
            "{members:<8} {:>31} {cpu:>24.2} {:>31} {bare_cpu:>24.2} {:>10.2}",
            of(ours, |of| of.per_s),
            of(bare, |of| of.per_s),
            cpu.median / bare_cpu.median
        );
        medians.push(cpu.median);
    }
    let first = medians[0];
    let ratios: Vec<_> = medians
        .iter()
        .map(|median| format!("{:.2}", median / first))
        .collect();
    println!(
        "\nprocessor time of an event, to that of the first line: {}",
        ratios.join(", ")
    );
}

/// The members of a group, each the whole consumer but for the store.
async fn ours(stack: &TestStack, topic: &str, members: i32, events: usize) -> Drain {
    let clock = Clock::start();
    let group = format!("group-{}", uuid::Uuid::now_v7());
    let mut sources = Vec::new();
    for _ in 0..members {
        let config = KafkaSourceConfig {
            topics: Topics::one(topic),
            group: group.clone(),
            from_end: false,
            fetch: fetch_settings(&BTreeMap::new()),
            session: MemberSession::Short,
        };
        sources.push(
            KafkaSource::subscribe(&stack.kafka(), config, clock)
                .await
                .unwrap(),
        );
    }
    let share = usize::try_from(PARTITIONS / members).unwrap();
    let joined = Instant::now();
    let has_share = |source: &KafkaSource| {
        source
            .backlog()
            .partitions()
            .is_some_and(|of| of.len() == share)
    };
    while !sources.iter().all(has_share) {
        assert!(
            joined.elapsed() < Duration::from_secs(60),
            "the group does not settle"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let events_there =
        tokio::task::block_in_place(|| filled::fill(stack, topic, PARTITIONS, events));
    assert!(events_there > 0);
    let observer = Arc::new(Counted::default());
    let (used, began, stop) = (cpu(), Instant::now(), CancellationToken::new());
    let stages: Vec<_> = sources
        .into_iter()
        .map(|source| {
            let config = StageConfig {
                topics: Topics::one(topic),
                batch_size: 100,
                writes_in_flight: 2,
                workers: 1,
                store_outage: Duration::from_secs(1),
            };
            let letters = DeadLetters::at(std::env::temp_dir().join("cdc-bench-no-letters"));
            let seen = Arc::clone(&observer) as Arc<dyn StageObserver>;
            let stage = ConsumerStage::new(source, Nowhere, seen, letters, config, clock);
            tokio::spawn(stage.run(stop.clone()))
        })
        .collect();
    let all = events as u64;
    while observer.written.load(Ordering::Relaxed) < all {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let drain = Drain::of(events, began.elapsed(), cpu() - used);
    stop.cancel();
    for ended in join_all(stages).await {
        let (source, end) = ended.unwrap();
        end.unwrap();
        source.close().await;
    }
    assert_eq!(
        observer.written.load(Ordering::Relaxed),
        all,
        "none came twice"
    );
    drain
}

/// As many consumers of rdkafka's, each with its share of the partitions, set up as our consumer sets them up.
fn bare(stack: &TestStack, topic: &str, members: i32, events: usize) -> Drain {
    let consumers: Vec<BaseConsumer> = (0..members)
        .map(|member| {
            let consumer: BaseConsumer = stack
                .kafka()
                .set("group.id", "bare")
                .set("enable.auto.commit", "false")
                .set("fetch.queue.backoff.ms", "5")
                .create()
                .unwrap();
            let mut assignment = TopicPartitionList::new();
            for partition in (0..PARTITIONS).filter(|of| of % members == member) {
                let added = assignment.add_partition_offset(topic, partition, Offset::Beginning);
                added.unwrap();
            }
            consumer.assign(&assignment).unwrap();
            consumer
        })
        .collect();
    let (count, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    let (used, began) = (cpu(), Instant::now());
    std::thread::scope(|scope| {
        for consumer in &consumers {
            scope.spawn(|| {
                while count.load(Ordering::Relaxed) < events as u64 {
                    let Some(message) = consumer.poll(Duration::from_millis(5)) else {
                        continue;
                    };
                    let message = message.unwrap();
                    let length = message.payload().map_or(0, <[u8]>::len) as u64;
                    bytes.fetch_add(length, Ordering::Relaxed);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert!(bytes.into_inner() > 0);
    Drain::of(events, began.elapsed(), cpu() - used)
}
