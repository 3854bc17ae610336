//! Several consumers share a topic as one group: when one joins, leaves or is killed, no event is lost, doubled or written out of
//! order.

use std::collections::{BTreeMap, HashMap};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cdc_bench::broker::{KafkaSource, KafkaSourceConfig, MemberSession};
use cdc_bench::records::Topics;
use cdc_bench_model::event::{EventId, Generator, OutboxRow};
use cdc_bench_model::timeline::Clock;
use futures_util::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{Document, doc};
use nix::sys::signal::Signal;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use uuid::Uuid;

use super::Test;
use super::inputs;
use super::stack::command::Ended;
use super::stack::processes::{id, signal};
use super::stack::{TestStack, until};

pub const TESTS: &[Test] = &[
    (
        "a_consumer_that_joins_takes_its_share_and_nothing_is_written_twice",
        joins,
    ),
    (
        "a_consumer_that_is_killed_loses_nothing_and_keeps_the_order",
        killed,
    ),
    ("an_empty_group_is_joined_again_at_once", left_and_joined),
];

pub const LONG_TESTS: &[Test] = &[(
    "a_consumers_memory_does_not_grow_with_the_number_of_events",
    memory,
)];

const PARTITIONS: i32 = 4;
/// Events per second while consumers join and leave.
const PACE: f64 = 300.0;
/// Number of these events: eight seconds' worth.
const EVENTS: usize = 2_400;

/// A topic, a group and a database with one name.
struct Group<'a> {
    stack: &'a TestStack,
    name: &'static str,
    documents: Collection<Document>,
}

impl<'a> Group<'a> {
    fn new(stack: &'a TestStack, name: &'static str) -> Self {
        let admin: AdminClient<_> = stack.kafka().create().unwrap();
        let topic = NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1));
        let options = AdminOptions::new();
        let made = stack.block_on(admin.create_topics([&topic], &options));
        made.unwrap().into_iter().for_each(|topic| {
            topic.unwrap();
        });
        let client = mongodb::Client::with_uri_str(&stack.env["MONGODB_URI"]);
        let database = stack.block_on(client).unwrap().database(name);
        let documents = database.collection("events");
        Self {
            stack,
            name,
            documents,
        }
    }

    fn consume(&self, args: &[&str]) -> Consuming {
        let mut command = self.stack.unjournaled();
        command
            .env("KAFKA_TOPIC", self.name)
            .env("KAFKA_GROUP_ID", self.name)
            .env("MONGODB_DATABASE", self.name)
            .args(["consume", "--json"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Consuming(Some(command.spawn().unwrap()))
    }

    fn count(&self) -> u64 {
        // Asked often; the other count reads every document.
        let count = self.documents.estimated_document_count();
        self.stack.block_on(count).unwrap_or(0)
    }

    /// Appends the events in order, those of an aggregate to one partition; at a rate if one is given.
    fn produce(&self, events: impl Iterator<Item = OutboxRow>, pace: Option<f64>) {
        let producer: BaseProducer = self.stack.kafka().set("linger.ms", "1").create().unwrap();
        let began = Instant::now();
        for row in events {
            if let Some(pace) = pace {
                #[allow(clippy::cast_precision_loss)]
                let due = Duration::from_secs_f64(row.seq as f64 / pace);
                std::thread::sleep(due.saturating_sub(began.elapsed()));
            }
            let record = inputs::record(&row);
            let partitions = u128::from(PARTITIONS.unsigned_abs());
            let partition = i32::try_from(row.aggregate_id.as_u128() % partitions).unwrap();
            let mut message = BaseRecord::<(), _>::to(self.name)
                .payload(&record)
                .partition(partition);
            while let Err((_, back)) = producer.send(message) {
                producer.poll(Duration::from_millis(10));
                message = back;
            }
            producer.poll(Duration::ZERO);
        }
        producer.flush(Duration::from_secs(30)).unwrap();
    }

    /// Waits until all events are in the store, and a moment longer, for events that are written again.
    fn until_written(&self, events: &[OutboxRow]) {
        let mut written = self.count();
        while written < events.len() as u64 {
            until("more to be written", || self.count() > written);
            written = self.count();
        }
        std::thread::sleep(Duration::from_secs(1));
    }

    /// Asserts that the store holds exactly these events, those of an aggregate in the order of their first writes.
    fn assert_written(&self, events: &[OutboxRow]) {
        let found: Vec<Document> = self.stack.block_on(async {
            let natural = self.documents.find(doc! {}).sort(doc! { "$natural": 1 });
            natural.await.unwrap().try_collect().await.unwrap()
        });
        let order: Vec<i64> = found.iter().map(|d| d.get_i64("seq").unwrap()).collect();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        let all: Vec<i64> = (0..).take(events.len()).collect();
        assert!(sorted == all, "{} documents of {}", order.len(), all.len());
        assert_ne!(order, sorted, "the store tells no order of writing");
        let aggregates: HashMap<i64, Uuid> = (0..)
            .zip(events.iter().map(|row| row.aggregate_id))
            .collect();
        let mut last: HashMap<Uuid, i64> = HashMap::new();
        for seq in order {
            let before = last.insert(aggregates[&seq], seq);
            assert!(
                before.is_none_or(|before| before < seq),
                "{before:?} before {seq}"
            );
        }
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        self.stack.discard(self.name);
    }
}

/// A running consumer, killed when it is dropped.
struct Consuming(Option<Child>);

impl Consuming {
    fn id(&self) -> i32 {
        id(self.0.as_ref().unwrap())
    }

    fn ended(mut self) -> Ended {
        let child = self.0.take().unwrap();
        child.wait_with_output().unwrap().into()
    }

    /// Kills it, like a crash.
    fn killed(self) {
        drop(self);
    }

    /// Stops it, and returns its result.
    #[track_caller]
    fn stopped(self) -> Value {
        signal(self.id(), Signal::SIGINT);
        let end = self.ended();
        assert_eq!(end.code, 130, "{}", end.err);
        serde_json::from_str(&end.out).unwrap()
    }
}

impl Drop for Consuming {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Events whose ids do not ascend, so that the order of ids is not the order of writing.
fn events(count: usize) -> Vec<OutboxRow> {
    let scatter = |seq: u64| {
        let odd = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835_u128;
        EventId(Uuid::from_u128((u128::from(seq) + 1).wrapping_mul(odd)))
    };
    Generator::new(42, jiff::Timestamp::UNIX_EPOCH)
        .take(count)
        .map(|row| OutboxRow {
            id: scatter(row.seq),
            ..row
        })
        .collect()
}

fn joins(stack: &TestStack) {
    let group = Group::new(stack, "group-joins");
    let events = events(EVENTS);
    let shared = AtomicBool::new(false);
    let (first, second) = std::thread::scope(|scope| {
        // Half of them are consumed while the second joins; both consume the rest, however long that takes.
        let (half, shared) = (events.len() as u64 / 2, &shared);
        let waiting = events.iter().cloned().inspect(move |row| {
            if row.seq == half {
                until("both to share", || shared.load(Ordering::Relaxed));
            }
        });
        scope.spawn(|| group.produce(waiting, Some(PACE)));
        let first = group.consume(&[]);
        until("the first consumer to write", || group.count() > 200);
        let second = group.consume(&[]);
        until("both to have partitions", || {
            members_with_partitions(stack, group.name) == 2
        });
        shared.store(true, Ordering::Relaxed);
        group.until_written(&events);
        (first.stopped(), second.stopped())
    });
    let written = |one: &Value| one["written"].as_u64().unwrap();
    let (first, second) = (written(&first), written(&second));
    assert!(first > 0 && second > 0, "{first} and {second}");
    assert_eq!(first + second, events.len() as u64, "{first} and {second}");
    group.assert_written(&events);
}

fn killed(stack: &TestStack) {
    let group = Group::new(stack, "group-killed");
    let events = events(EVENTS);
    let survivor = std::thread::scope(|scope| {
        scope.spawn(|| group.produce(events.iter().cloned(), Some(PACE)));
        let victim = group.consume(&[]);
        until("the first to write", || group.count() > 200);
        let survivor = group.consume(&[]);
        until("both to share the work", || {
            members_with_partitions(stack, group.name) == 2 && group.count() > 800
        });
        victim.killed();
        group.until_written(&events);
        survivor.stopped()
    });
    let written = survivor["written"].as_u64().unwrap();
    assert!(written < events.len() as u64, "the other wrote some too");
    assert_eq!(survivor["dead_letters"], 0);
    group.assert_written(&events);
}

/// How many members of a group have partitions assigned.
fn members_with_partitions(stack: &TestStack, group: &str) -> usize {
    let consumer: BaseConsumer = stack.kafka().create().unwrap();
    let list = consumer.fetch_group_list(Some(group), Duration::from_secs(10));
    let Ok(list) = list else { return 0 };
    let members = list.groups().iter().flat_map(|group| group.members());
    let has_topics = |assignment: &[u8]| {
        // A version of two bytes, then the number of topics.
        assignment.get(2..6).is_some_and(|topics| topics != [0; 4])
    };
    members
        .filter(|member| member.assignment().is_some_and(has_topics))
        .count()
}

/// The peak memory of a consumer for this many events, MiB.
fn peak_mib(stack: &TestStack, name: &'static str, count: usize) -> u64 {
    let group = Group::new(stack, name);
    let rows = Generator::new(42, jiff::Timestamp::UNIX_EPOCH);
    group.produce(rows.take(count), None);
    let consumer = group.consume(&["--idle-timeout", "10"]);
    let status = format!("/proc/{}/status", consumer.id());
    let over = AtomicBool::new(false);
    let (peak, done) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut peak = 0;
            while !over.load(Ordering::Relaxed) {
                let text = std::fs::read_to_string(&status).unwrap_or_default();
                let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
                peak = peak.max(kib.unwrap_or(0));
                std::thread::sleep(Duration::from_millis(50));
            }
            peak / 1_024
        });
        let done = consumer.ended().json();
        over.store(true, Ordering::Relaxed);
        (watch.join().unwrap(), done)
    });
    assert_eq!(done["written"], count);
    assert_eq!(group.count(), count as u64);
    peak
}

/// Like interleaved trials of one path: each starts at the end of the topic, in a group without members.
fn left_and_joined(stack: &TestStack) {
    let group = Group::new(stack, "left-and-joined");
    let clock = Clock::start();
    stack.block_on(async {
        for turn in 0..6 {
            let config = KafkaSourceConfig {
                topics: Topics::one(group.name),
                group: group.name.to_owned(),
                from_end: true,
                fetch: BTreeMap::new(),
                session: MemberSession::Short,
            };
            let records = KafkaSource::subscribe(&stack.kafka(), config, clock).await;
            let records = records.unwrap_or_else(|error| panic!("turn {turn}: {error}"));
            while records.rebalances().so_far().is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // Its position is queried all the time.
            let backlog = records.backlog();
            let asking = tokio::spawn(async move {
                loop {
                    drop(backlog.by_partition().await);
                    tokio::task::yield_now().await;
                }
            });
            tokio::time::sleep(Duration::from_millis(20)).await;
            records.close().await;
            asking.abort();
        }
    });
    stack.delete_group(group.name);
    stack.delete_topics(&[group.name]);
}

fn memory(stack: &TestStack) {
    let few = peak_mib(stack, "memory-few", 10_000);
    let many = peak_mib(stack, "memory-many", 2_000_000);
    println!("peak memory: {few} MiB for 10,000 events, {many} MiB for 2,000,000");
    assert!(many < few + 32, "{few} MiB, then {many} MiB");
}
