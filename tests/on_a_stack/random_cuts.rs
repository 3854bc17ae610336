//! A thousand random cuts of every link of the pipeline, on both paths at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Test;
use super::random::Random;
use super::stack::command::{cdc_bench_with_servers, ended, small_run};
use super::stack::{TestStack, open_folder};

/// Minutes: each run starts servers of its own, whose broker has the listeners that links to it need.
pub const LONG_TESTS: &[Test] = &[(
    "random_cuts_a_thousand_lose_nothing_double_nothing_and_keep_order",
    cuts,
)];

/// Cuts, if the variable says no other number.
const CUTS: u64 = 1_000;
const CUTS_VARIABLE: &str = "CDC_BENCH_TEST_FAULTS";
/// Seed of the cuts, to have the same ones again.
const SEED_VARIABLE: &str = "CDC_BENCH_TEST_SEED";
const CUTS_A_RUN: u64 = 200;
/// Within a run, from one cut to the next on the average.
const EVERY: Duration = Duration::from_millis(750);
const RATE: u64 = 40;
/// Far beyond what a run takes.
const RUN_LIMIT: Duration = Duration::from_secs(600);

const LINKS: [&str; 6] = [
    "connect-postgres",
    "reader-postgres",
    "connect-kafka",
    "reader-kafka",
    "consumer-kafka",
    "consumer-store",
];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

pub fn seed() -> u64 {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    number(SEED_VARIABLE).unwrap_or(now.as_secs())
}

/// Cuts at any time of a load: three of four for a while, the fourth a reset.
fn random_cuts(random: &mut Random, count: u64, load: Duration) -> Vec<String> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap();
    let cut = |_| {
        let link = LINKS[usize::try_from(random.below(6)).unwrap()];
        let at = 500 + random.below(millis(load) - 500);
        match random.below(4) {
            0 => format!("reset:{link}@{at}ms"),
            _ => format!("cut:{link}@{at}ms,for={}ms", 20 + random.below(480)),
        }
    };
    (0..count).map(cut).collect()
}

/// A run with faults on servers of its own, which has ended by itself.
pub fn run(args: &[&str], faults: &[String]) -> Value {
    let results = open_folder();
    let mut command = small_run(cdc_bench_with_servers(), results.path(), args);
    for fault in faults {
        command.args(["--fault", fault]);
    }
    let began = Instant::now();
    let report = ended(command).json();
    assert!(began.elapsed() < RUN_LIMIT, "{:?}", began.elapsed());
    assert_eq!(report["faults"].as_array().unwrap().len(), faults.len());
    report
}

/// On every path all events are in the store, once, and in the order of their aggregates.
pub fn assert_sound(report: &Value) {
    for (path, of_path) in report["paths"].as_object().unwrap() {
        let (counts, found) = (&of_path["counts"], &of_path["verification"]);
        assert_eq!(counts["written"], counts["inserted"], "{path}: {counts}");
        assert_eq!(
            found["store_count"], found["postgres_count"],
            "{path}: {found}"
        );
        for (of, name) in [
            (counts, "lost"),
            (counts, "errors"),
            (found, "missing"),
            (found, "extra"),
            (found, "differing"),
        ] {
            assert_eq!(of[name], 0, "{path} {name}: {of}");
        }
        assert_eq!(sum(report, path, "reordered"), 0, "{path}");
    }
}

/// Each event of a path is one record of its topic.
#[track_caller]
pub fn assert_once_in_kafka(report: &Value, path: &str) {
    let counts = &report["paths"][path]["counts"];
    assert_eq!(counts["in_kafka"], counts["inserted"], "{path}: {counts}");
}

/// The sum of an effect of all faults on a path.
fn sum(report: &Value, path: &str, effect: &str) -> u64 {
    let faults = report["faults"].as_array().unwrap().iter();
    faults
        .map(|fault| fault["paths"][path][effect].as_u64().unwrap())
        .sum()
}

/// Connections that cuts have broken, by link.
pub fn broken(report: &Value) -> BTreeMap<String, u64> {
    let mut broken = BTreeMap::new();
    for fault in report["faults"].as_array().unwrap() {
        if let Some(count) = fault["connections_broken"].as_u64() {
            *broken
                .entry(fault["target"].as_str().unwrap().to_owned())
                .or_default() += count;
        }
    }
    broken
}

fn cuts(_: &TestStack) {
    let (seed, mut left) = (seed(), number(CUTS_VARIABLE).unwrap_or(CUTS));
    eprintln!("{left} cuts of seed {seed} ({SEED_VARIABLE}={seed} makes them again)");
    let mut random = Random::new(seed);
    let mut all = BTreeMap::<String, u64>::new();
    let mut exactly_once = false;
    while left > 0 {
        let count = left.min(CUTS_A_RUN);
        left -= count;
        let load = EVERY * u32::try_from(count).unwrap();
        let faults = random_cuts(&mut random, count, load);
        let seconds = load.as_secs() + 1;
        let (rate, events) = (RATE.to_string(), (seconds * RATE).to_string());
        let mut args = vec![
            "--capture",
            "both",
            "--events",
            &events,
            "--rate",
            &rate,
            "--warmup",
            "100",
            "--drain-timeout",
            "90",
            // Else Debezium waits for ten seconds after each cut, and most cuts find no connection.
            "--connector-config",
            "retriable.restart.connector.wait.ms=200",
        ];
        if exactly_once {
            args.push("--connect-exactly-once");
        }
        let report = run(&args, &faults);
        let broken = broken(&report);
        let again = ["debezium", "wal"].map(|path| sum(&report, path, "delivered_again"));
        eprintln!(
            "{count} cuts, {left} left, exactly once {exactly_once}: broken {broken:?}, delivered again {again:?}"
        );
        assert_sound(&report);
        assert_once_in_kafka(&report, "wal");
        if exactly_once {
            assert_once_in_kafka(&report, "debezium");
        }
        exactly_once = !exactly_once;
        for (link, count) in broken {
            *all.entry(link).or_default() += count;
        }
    }
    // Each link was cut, and not only in name.
    for link in LINKS {
        assert!(all.get(link).is_some_and(|count| *count > 0), "{all:?}");
    }
}
