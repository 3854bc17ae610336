//! A link or a step that is slowed down on purpose is the one that the diagnosis names.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::Test;
use super::delay::{Delay, FETCH, PRODUCE, SlowLink, Way, Which};
use super::outages::during_run_of;
use super::stack::command::{ended, small_run, with};
use super::stack::{TestStack, open_folder};

pub const TESTS: &[Test] = &[
    ("a_slow_producers_link_is_found", |stack| {
        is_found(stack, &Link::Producer);
    }),
    ("a_slow_consumers_link_is_found", |stack| {
        is_found(stack, &Link::Consumer);
    }),
    ("a_slow_transform_is_found", |stack| {
        is_found(stack, &Link::Transform);
    }),
];

pub const LONG_TESTS: &[Test] = &[
    (
        "injected_delay_is_found_in_every_hop_and_at_every_size",
        every_hop_and_size,
    ),
    (
        "a_stall_shows_in_the_tail_and_in_latency_from_the_schedule",
        stalls,
    ),
];

const HOPS: [&str; 4] = ["capture", "kafka_delivery", "consumer_lag", "processing"];

/// What is slowed down.
#[derive(Debug, Clone, Copy)]
enum Link {
    Insert,
    OurReader,
    Connect,
    Producer,
    Consumer,
    Transform,
    Store,
}

impl Link {
    const ALL: [Self; 7] = [
        Self::Insert,
        Self::OurReader,
        Self::Connect,
        Self::Producer,
        Self::Consumer,
        Self::Transform,
        Self::Store,
    ];

    /// The hop and the sub-hop that contain the link.
    fn hop(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Insert => ("capture", Some("commit")),
            Self::OurReader => ("capture", Some("wal_delivery")),
            Self::Connect => ("kafka_delivery", Some("debezium")),
            Self::Producer => ("kafka_delivery", Some("produce")),
            Self::Consumer => ("consumer_lag", None),
            Self::Transform => ("processing", Some("transform")),
            Self::Store => ("processing", Some("write")),
        }
    }

    fn path(self) -> &'static str {
        // On Debezium's path our reader only observes: delaying it would delay nothing.
        match self {
            Self::OurReader => "wal",
            _ => "debezium",
        }
    }
}

/// A link to the store with this delay, and the connection string through it.
fn store_by_link(stack: &TestStack, delay: Delay) -> (SlowLink, String) {
    let uri = stack.unjournaled_uri();
    let host = uri.rsplit('@').next().unwrap().split('/').next().unwrap();
    let port: u16 = host.rsplit(':').next().unwrap().parse().unwrap();
    let link = SlowLink::before(port, Which::All, Way::FromServer, delay);
    let there = uri.replace(&format!(":{port}/"), &format!(":{}/", link.port));
    (link, there)
}

/// The command with a store that takes this long to answer, and is otherwise as fast as possible.
pub fn with_distant_store(stack: &TestStack, by: Duration) -> Command {
    let jitter = Duration::ZERO;
    let (_, there) = store_by_link(stack, Delay { by, jitter });
    let mut command = stack.external();
    command.env("MONGODB_URI", there);
    command
}

/// A run with a slow link; with the link but without a delay, if that is zero.
fn run(stack: &TestStack, results: &Path, link: Link, delay_ms: u64, events: u64) -> Value {
    // The latency of the store's disk would hide a few milliseconds elsewhere.
    let mut command = stack.unjournaled();
    let delay = Delay::of(Duration::from_millis(delay_ms));
    let mut args = vec!["--capture".to_owned(), link.path().to_owned()];
    let postgres = stack.port("POSTGRES_PORT");
    let kafka = stack.port("KAFKA_BOOTSTRAP_SERVERS");
    // Links for the whole run: their threads end with the process.
    match link {
        Link::Insert | Link::OurReader => {
            let (name, way) = match link {
                // Delaying the acknowledgement alone would delay the load only.
                Link::Insert => ("cdc-bench-load", Way::ToServer),
                _ => ("pgcdc", Way::FromServer),
            };
            let slow = SlowLink::before(postgres, Which::Application(name), way, delay);
            command.env("POSTGRES_PORT", slow.port.to_string());
        }
        Link::Connect => {
            let slow = SlowLink::before(postgres, Which::All, Way::FromServer, delay);
            args.extend(config(&format!("database.port={}", slow.port)));
        }
        Link::Producer => {
            let slow = SlowLink::before(kafka, Which::Request(PRODUCE), Way::ToServer, delay);
            let servers = format!(
                "producer.override.bootstrap.servers=127.0.0.1:{}",
                slow.port
            );
            args.extend(config(&servers));
        }
        Link::Consumer => {
            let slow = SlowLink::before(kafka, Which::Request(FETCH), Way::FromServer, delay);
            command.env(
                "KAFKA_BOOTSTRAP_SERVERS",
                format!("127.0.0.1:{}", slow.port),
            );
        }
        Link::Transform => {
            args.extend(["--inject-transform-delay".to_owned(), delay_ms.to_string()]);
        }
        Link::Store => {
            let (_, there) = store_by_link(stack, delay);
            command.env("MONGODB_URI", there);
        }
    }
    // One event at a time: on a link that handles one request at a time, a second would wait for the first.
    let rate = 600_u64.checked_div(delay_ms).unwrap_or(50).clamp(4, 50);
    args.extend(["--events".to_owned(), events.to_string()]);
    args.extend(["--rate".to_owned(), rate.to_string()]);
    args.extend(["--warmup".to_owned(), "10".to_owned()]);
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    ended(small_run(command, results, &args)).json()
}

fn config(setting: &str) -> [String; 4] {
    // The other settings are those of the low-latency profile.
    [
        "--connector-profile".to_owned(),
        "low-latency".to_owned(),
        "--connector-config".to_owned(),
        setting.to_owned(),
    ]
}

fn figure(report: &Value, path: &str, hop: &str, name: &str) -> i64 {
    report["paths"][path]["hops"][hop][name].as_i64().unwrap()
}

/// Asserts that the diagnosis names the link's hop.
#[track_caller]
fn assert_named(report: &Value, link: Link) {
    let (hop, part) = link.hop();
    let found = &report["paths"][link.path()]["diagnosis"];
    assert_eq!(found["slowest_hop"], hop, "{link:?}: {found}");
    if let Some(part) = part {
        assert_eq!(found["slowest_part"], part, "{link:?}: {found}");
    }
}

fn is_found(stack: &TestStack, link: &Link) {
    let (results, delay_ms) = (open_folder(), 100);
    let report = run(stack, results.path(), *link, delay_ms, 24);
    assert_named(&report, *link);
    let (hop, part) = link.hop();
    // No event can be faster than the delay.
    let p50 = figure(&report, link.path(), part.unwrap_or(hop), "p50");
    assert!(p50 >= 88_000, "{link:?}: {p50} us");
    assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
}

fn every_hop_and_size(stack: &TestStack) {
    stack.warm_up();
    let mut failures = Vec::new();
    for link in Link::ALL {
        let results = open_folder();
        // Through the same link: the cost of its threads is in both.
        let before = run(stack, results.path(), link, 0, 150);
        let (hop, part) = link.hop();
        let own = part.unwrap_or(hop);
        for delay_ms in [5, 20, 100] {
            let results = open_folder();
            let report = run(stack, results.path(), link, delay_ms, 60);
            let injected = i64::try_from(delay_ms).unwrap() * 1_000;
            let growth = |name: &str| {
                figure(&report, link.path(), name, "p50")
                    - figure(&before, link.path(), name, "p50")
            };
            let grown = growth(own);
            println!("{link:?} {delay_ms} ms: {own} grew by {grown} us");
            // Besides the clocks: the broker's stamps are whole milliseconds, and a median of them is off by the figure's own bound.
            let bound = report["paths"][link.path()]["hops"][own]["error_bound"].as_i64();
            let allowed = (injected / 10).max(1_000) + bound.unwrap_or(0);
            if (grown - injected).abs() > allowed {
                failures.push(format!("{link:?} {delay_ms} ms: {own} grew by {grown} us"));
            }
            let found = &report["paths"][link.path()]["diagnosis"];
            if found["slowest_hop"] != hop {
                failures.push(format!("{link:?} {delay_ms} ms: {found}"));
            }
            let hops = HOPS.map(|hop| figure(&report, link.path(), hop, "p50"));
            println!("  {hops:?} us");
            for other in HOPS {
                let moved = growth(other).abs();
                // A hop's latency changes with the rate: processors take longer to wake up from deeper sleep.
                let noise = (figure(&before, link.path(), other, "p95") / 2).max(2_000);
                if other != hop && moved > noise {
                    failures.push(format!(
                        "{link:?} {delay_ms} ms: {other} moved by {moved} us"
                    ));
                }
            }
        }
    }
    assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// One pause of 2 s in 20 s at 50 events a second: a tenth of the events wait, for times spread evenly from 2 s to zero.
fn stalls(stack: &TestStack) {
    for (what, env, from_schedule) in [
        ("store", "MONGODB_URI", false),
        ("INSERT", "POSTGRES_PORT", true),
    ] {
        let (link, value) = if from_schedule {
            let which = Which::Application("cdc-bench-load");
            let link = SlowLink::before(stack.port(env), which, Way::FromServer, Delay::NONE);
            let value = link.port.to_string();
            (link, value)
        } else {
            store_by_link(stack, Delay::NONE)
        };
        let results = open_folder();
        let args = ["--events", "1000", "--rate", "50", "--warmup", "50"];
        let mut command = stack.external();
        command.env(env, value);
        let end = during_run_of(command, results.path(), &args, || {
            std::thread::sleep(Duration::from_secs(8));
            link.stall(Duration::from_secs(2));
        });
        let report = end.json();
        let of = |name: &str| {
            report["paths"]["debezium"]["total_from_schedule"][name]
                .as_i64()
                .unwrap()
        };
        // The slowest hundredth are events of the first tenth of the pause; the slowest twentieth, of its first half.
        assert!(
            (1_600_000..2_300_000).contains(&of("p99")),
            "{what}: p99 {}",
            of("p99")
        );
        assert!(
            (800_000..1_300_000).contains(&of("p95")),
            "{what}: p95 {}",
            of("p95")
        );
        assert!(of("p50") < 200_000, "{what}: p50 {}", of("p50"));
        if from_schedule {
            // Measured from T0, only events whose INSERT was in progress are late.
            let total = figure(&report, "debezium", "total", "p95");
            assert!(total < 400_000, "{what}: {total}");
        }
        assert_eq!(ended(with(stack.kept(), &["cleanup"])).code, 0);
    }
}
