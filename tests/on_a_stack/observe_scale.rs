//! `observe` at ten thousand changes a second, and for an hour: its memory, and what a sample says of the whole.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use nix::sys::signal::Signal;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use serde_json::{Value, json};

use super::Test;
use super::stack::command::{result_folder, with};
use super::stack::processes::{id, signal};
use super::stack::{TestStack, open_folder, until_within};

pub const LONG_TESTS: &[Test] = &[
    (
        "observe_samples_ten_thousand_changes_a_second",
        ten_thousand_a_second,
    ),
    ("observe_for_an_hour_in_flat_memory", for_an_hour),
];

/// Seconds of the long test; an hour by default.
const SECONDS: &str = "CDC_BENCH_TEST_SECONDS";
const TOPIC: &str = "scale.public.readings";
const GROUP: &str = "somebodys-consumer";

/// A pipeline with one table, three partitions, and a group that commits ten times a second.
struct Pipeline<'a> {
    stack: &'a TestStack,
}

impl<'a> Pipeline<'a> {
    fn up(stack: &'a TestStack) -> Self {
        stack.sql("create table readings (id bigint primary key, sensor int, reading text)");
        stack.sql("create publication scale for table readings");
        let env = |name: &str| stack.env[name].clone();
        let converter = "org.apache.kafka.connect.json.JsonConverter";
        let body = json!({"name": "scale", "config": {
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "database.hostname": env("POSTGRES_HOST"), "database.port": env("POSTGRES_PORT"),
            "database.user": env("POSTGRES_USER"), "database.password": env("POSTGRES_PASSWORD"),
            "database.dbname": env("POSTGRES_DB"), "topic.prefix": "scale", "plugin.name": "pgoutput",
            "slot.name": "scale", "publication.name": "scale", "publication.autocreate.mode": "disabled",
            "snapshot.mode": "no_data", "poll.interval.ms": "50", "topic.creation.enable": "true",
            "topic.creation.default.partitions": "3", "topic.creation.default.replication.factor": "1",
            "key.converter": converter, "value.converter": converter,
            "key.converter.schemas.enable": "false", "value.converter.schemas.enable": "false"}});
        let url = format!("{}/connectors", env("CONNECT_URL"));
        stack.block_on(async move {
            let client = cdc_bench_stack::http_client().build().unwrap();
            let answer = client.post(url).json(&body).send().await.unwrap();
            assert!(answer.status().is_success(), "{}", answer.status());
        });
        let slot = "select 1 from pg_replication_slots where slot_name = 'scale' and active";
        until_within(Duration::from_secs(60), "the connector's slot", || {
            !stack.sql(slot).is_empty()
        });
        // The topic is made with the first record.
        stack.sql("insert into readings values (0, 0, 'first')");
        until_within(Duration::from_secs(60), "the topic", || {
            stack.topics().contains(TOPIC)
        });
        Self { stack }
    }

    /// Reads and commits until `over`, and counts.
    fn consume(&self, over: &AtomicBool, read: &AtomicU64) {
        let mut config = self.stack.kafka();
        config
            .set("group.id", GROUP)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&[TOPIC]).unwrap();
        let mut committed = Instant::now();
        let mut has_read = false;
        while !over.load(Ordering::Relaxed) {
            if let Some(Ok(_)) = consumer.poll(Duration::from_millis(20)) {
                has_read = true;
                read.fetch_add(1, Ordering::Relaxed);
            }
            if has_read && committed.elapsed() >= Duration::from_millis(100) {
                consumer.commit_consumer_state(CommitMode::Sync).unwrap();
                (committed, has_read) = (Instant::now(), false);
            }
        }
    }

    /// Inserts on a schedule, in transactions of `rows`.
    fn insert(&self, a_second: u64, rows: u64, lasting: Duration) -> u64 {
        self.stack.block_on(async {
            let client = self.stack.connect().await;
            let insert = "insert into readings select g, g % 40, repeat('x', 100) from generate_series($1::bigint, $2) g";
            let insert = client.prepare(insert).await.unwrap();
            let pause = Duration::from_secs(rows) / u32::try_from(a_second).unwrap();
            let mut ticks = tokio::time::interval(pause);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
            let (began, mut next) = (Instant::now(), 1_i64);
            let rows = i64::try_from(rows).unwrap();
            while began.elapsed() < lasting {
                ticks.tick().await;
                client.execute(&insert, &[&next, &(next + rows - 1)]).await.unwrap();
                next += rows;
            }
            u64::try_from(next - 1).unwrap()
        })
    }

    fn down(self) {
        let url = format!("{}/connectors/scale", self.stack.env["CONNECT_URL"]);
        self.stack.block_on(async {
            let client = cdc_bench_stack::http_client().build().unwrap();
            assert!(
                client
                    .delete(url)
                    .send()
                    .await
                    .unwrap()
                    .status()
                    .is_success()
            );
        });
        let dropped = "select pg_drop_replication_slot('scale')";
        until_within(Duration::from_secs(60), "the slot to be free", || {
            self.stack.try_sql(dropped).is_some()
        });
        self.stack
            .sql("drop publication scale; drop table readings");
        self.stack.delete_group(GROUP);
        self.stack.delete_topics(&[TOPIC]);
    }
}

/// `observe` at work, its slot there.
fn observing(stack: &TestStack, args: &[&str], folder: &Path) -> Child {
    let slots = || {
        stack.sql("select 1 from pg_replication_slots where slot_name like 'cdc_bench_observe%' and active").len()
    };
    let before = slots();
    let mut command = with(stack.external(), &["observe", "--json", "--group", GROUP]);
    command
        .args(["--sink", "none", "--drain-timeout", "300"])
        .args(args);
    command.arg("--results-dir").arg(folder);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until_within(Duration::from_secs(60), "observe's slot", || {
        slots() > before
    });
    child
}

fn result(child: Child) -> Value {
    signal(id(&child), Signal::SIGINT);
    let out = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(0), "{errors}");
    serde_json::from_slice(&out.stdout).unwrap()
}

/// A line of the process's status, MiB.
fn memory_mib(child: &Child, line: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = text.lines().find_map(|text| text.strip_prefix(line));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap() / 1_024
}

/// The histograms of a result, by hop.
fn histograms(folder: &Path) -> BTreeMap<String, Histogram<u64>> {
    let log = std::fs::read(result_folder(folder).unwrap().join("latency.hlog")).unwrap();
    let mut all: BTreeMap<String, Histogram<u64>> = BTreeMap::new();
    for entry in IntervalLogIterator::new(&log) {
        let LogEntry::Interval(interval) = entry.unwrap() else {
            continue;
        };
        let tag = interval.tag().unwrap().as_str().to_owned();
        let bytes = interval.encoded_histogram();
        let bytes =
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, bytes).unwrap();
        let one: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
        let all = all.entry(tag).or_insert_with(|| Histogram::new(3).unwrap());
        all.add(one).unwrap();
    }
    all
}

/// Standard deviations of a sample's quantile within which it has to be: of a few dozen comparisons, none is beyond by chance.
const DEVIATIONS: f64 = 5.0;

#[allow(clippy::cast_precision_loss)] // counts far below 2^53
fn ten_thousand_a_second(stack: &TestStack) {
    let pipeline = Pipeline::up(stack);
    let (over, read) = (AtomicBool::new(false), AtomicU64::new(0));
    let (full, sampled) = (open_folder(), open_folder());
    let (inserted, peak, reports) = std::thread::scope(|scope| {
        scope.spawn(|| pipeline.consume(&over, &read));
        let children = [
            observing(stack, &["--max-in-flight", "10000000"], full.path()),
            observing(stack, &["--max-in-flight", "4000"], sampled.path()),
        ];
        let inserted = pipeline.insert(10_000, 100, Duration::from_secs(60));
        // What came before the observation has one record.
        until_within(Duration::from_secs(300), "the consumer to catch up", || {
            read.load(Ordering::Relaxed) > inserted
        });
        let peak = memory_mib(&children[1], "VmHWM");
        let reports = children.map(result);
        over.store(true, Ordering::Relaxed);
        (inserted, peak, reports)
    });
    let [whole, sample] = &reports;
    let count = |report: &Value, name: &str| report["counts"][name].as_u64().unwrap();
    for report in &reports {
        assert_eq!(count(report, "captured"), inserted, "{}", report["counts"]);
        for none in ["missing", "in_flight", "duplicates", "unreadable"] {
            assert_eq!(count(report, none), 0, "{none}: {}", report["counts"]);
        }
    }
    let share = sample["sampled_share"].as_f64().unwrap();
    println!(
        "{inserted} changes, {share:.4} of them followed in {peak} MiB; total p50 {} ms, of the sample {} ms",
        whole["paths"]["observed"]["hops"]["total"]["p50"]
            .as_f64()
            .unwrap()
            / 1e3,
        sample["paths"]["observed"]["hops"]["total"]["p50"]
            .as_f64()
            .unwrap()
            / 1e3,
    );
    assert!(peak < 200, "{peak} MiB");
    assert_eq!(whole["sampled_share"], 1.0);
    assert!(share < 1.0, "{share}");

    // A quantile of the sample lies where the whole has values of about the same rank.
    let (full, sampled) = (histograms(full.path()), histograms(sampled.path()));
    let followed = count(sample, "completed") as f64;
    for (hop, whole) in &full {
        for q in [0.5, 0.9, 0.99] {
            let spread = DEVIATIONS * (q * (1.0 - q) / followed).sqrt();
            let within = whole.value_at_quantile(q - spread)
                ..=whole.value_at_quantile((q + spread).min(1.0));
            // The clocks and the reading of one are not those of the other.
            let found = sampled[hop].value_at_quantile(q);
            let slack = 1_000 + within.end() / 50;
            assert!(
                found + slack >= *within.start() && found <= within.end() + slack,
                "{hop} {q}: {found} of {within:?}"
            );
        }
    }
    pipeline.down();
}

fn for_an_hour(stack: &TestStack) {
    let seconds = std::env::var(SECONDS).map_or(3_600, |seconds| seconds.parse().unwrap());
    let pipeline = Pipeline::up(stack);
    let (over, read) = (AtomicBool::new(false), AtomicU64::new(0));
    let folder = open_folder();
    std::thread::scope(|scope| {
        scope.spawn(|| pipeline.consume(&over, &read));
        let child = observing(stack, &[], folder.path());
        let (early, late) = std::thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let peak = |lasting: u64| {
                    let began = Instant::now();
                    let mut peak = 0;
                    while began.elapsed() < Duration::from_secs(lasting) {
                        peak = peak.max(memory_mib(&child, "VmRSS"));
                        std::thread::sleep(Duration::from_secs(1));
                    }
                    peak
                };
                (peak(seconds / 4), peak(seconds * 3 / 4))
            });
            // Ten rows a commit: a busy disk may take more than 5 ms for each.
            let inserted = pipeline.insert(200, 10, Duration::from_secs(seconds));
            assert!(
                inserted >= 190 * seconds,
                "the load fell behind: {inserted}"
            );
            watch.join().unwrap()
        });
        let report = result(child);
        over.store(true, Ordering::Relaxed);
        println!(
            "{early} MiB in the first quarter, {late} MiB after it; {}",
            report["counts"]
        );
        assert_eq!(report["counts"]["missing"], 0, "{}", report["counts"]);
        assert_eq!(report["counts"]["captured"], report["counts"]["completed"]);
        assert!(late <= early + 8, "{early} MiB, then {late} MiB");
    });
    pipeline.down();
}
