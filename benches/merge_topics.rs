//! The same merge over real topics: what the stamps that workers hand to each other cost, and what the coordinator holds as the number
//! of events grows.
//!
//! Workers and coordinator are processes of their own on a real broker. Stamps are made up; from there on everything is what a test
//! does: stamps go through the topic of stamps, events are joined, recorded and written as lines by the worker that has their
//! partition, results come by the control topic, and the coordinator merges them. The merged distributions must be those of all events
//! in one place, value by value.
//!
//! ```sh
//! cargo bench --bench merge_topics --features bench-stack                          # 10^6 and 10^7 events, two workers
//! cargo bench --bench merge_topics --features bench-stack -- --events 100000       # a first look
//! ```

// Helpers of benches are benches.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss)]

#[path = "../tests/on_a_stack/stack.rs"]
#[allow(dead_code)]
mod stack;
#[path = "inputs/stamped.rs"]
#[allow(dead_code)]
mod stamped;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use cdc_bench::pipeline::{RehearsedEvent, RehearsedWorker, merge_rehearsed};
use cdc_bench_stack::{Cache, Endpoints, KeptStack};
use clap::Parser;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stack::TestStack;
use stamped::{Event, Events, PARTITIONS, Worker, fingerprint, processor_nanoseconds, resident};

/// What is asked of the bench.
#[derive(Parser)]
struct Options {
    /// Events of a test; repeatable.
    #[arg(long, default_values_t = [1_000_000, 10_000_000])]
    events: Vec<u64>,
    /// Workers that share it.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=PARTITIONS))]
    workers: u64,
    /// The worker of this number, or the coordinator, of a test with this name: what the processes are asked for that this one starts.
    #[arg(long, hide = true)]
    worker: Option<usize>,
    #[arg(long, hide = true)]
    test: Option<String>,
    /// Folder for a worker's events.
    #[arg(long, hide = true)]
    results: Option<PathBuf>,
    /// Cargo's own.
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

/// What a process of the test took.
#[derive(Serialize, Deserialize)]
struct Took {
    /// Processor time, seconds.
    cpu_s: f64,
    /// Most resident memory, MiB.
    resident: f64,
    /// Of the coordinator: of all distributions, value by value.
    fingerprint: u64,
}

fn main() {
    let options = Options::parse();
    if let Some(test) = &options.test {
        let took = take_part(&options, test);
        println!("{}", serde_json::to_string(&took).unwrap());
        return;
    }
    let stack = TestStack::up();
    println!(
        "{:>12} {:>8} {:>10} {:>20} {:>20} {:>18} {:>20}",
        "events",
        "workers",
        "events/s",
        "worker us an event",
        "coordinator us",
        "worker MiB",
        "coordinator MiB"
    );
    for events in &options.events {
        line(&stack, *events, options.workers);
    }
    println!(
        "\nof each number of events, the merged distributions are those of all events in one place, value by value"
    );
}

/// A test, and what it took.
fn line(stack: &TestStack, events: u64, workers: u64) {
    let results = stack::open_folder();
    let test = format!("merge-{events}");
    let start = |worker: Option<u64>| -> Child {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .env("CDC_BENCH_STATE_DIR", stack.state())
            .args(["--test", &test])
            .args(["--events", &events.to_string()])
            .args(["--workers", &workers.to_string()])
            .arg("--results")
            .arg(results.path())
            .stdout(Stdio::piped());
        if let Some(number) = worker {
            command.args(["--worker", &number.to_string()]);
        }
        command.spawn().unwrap()
    };
    let began = Instant::now();
    let coordinator = start(None);
    let all: Vec<_> = (0..workers).map(|number| start(Some(number))).collect();
    let all: Vec<Took> = all.into_iter().map(said).collect();
    let coordinator: Took = said(coordinator);
    let took = began.elapsed().as_secs_f64();
    let spent: f64 = all.iter().map(|worker| worker.cpu_s).sum();
    let most = all.iter().map(|worker| worker.resident).fold(0.0, f64::max);
    let per_event = |seconds: f64| seconds / events as f64 * 1e6;
    println!(
        "{events:>12} {workers:>8} {:>10.0} {:>20.2} {:>20.3} {most:>18.1} {:>20.1}",
        events as f64 / took,
        per_event(spent),
        per_event(coordinator.cpu_s),
        coordinator.resident
    );
    assert_eq!(
        coordinator.fingerprint,
        in_one_place(events),
        "{events} events"
    );
    assert!(coordinator.resident < 200.0, "{} MiB", coordinator.resident);
    let topics = ["control", "stamps"].map(|topic| format!("cdc-bench.{topic}.{test}"));
    stack.delete_topics(&topics.each_ref().map(String::as_str));
}

/// The same events joined and recorded by one worker, in this process.
fn in_one_place(events: u64) -> u64 {
    let mut worker = Worker::new();
    for event in Events::new().take(usize::try_from(events).unwrap()) {
        worker.begin(&event);
        worker.end(&event);
    }
    fingerprint(&worker.statistics)
}

fn said<T: DeserializeOwned>(process: Child) -> T {
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The part of one process of the test.
fn take_part(options: &Options, test: &str) -> Took {
    let kept = KeptStack::find(&Cache::open().unwrap()).unwrap();
    let endpoints: Endpoints = kept.endpoints();
    let events = options.events[0];
    let (workers, partitions) = (
        usize::try_from(options.workers).unwrap(),
        i32::try_from(PARTITIONS).unwrap(),
    );
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fingerprint = match options.worker {
        Some(number) => {
            let worker = RehearsedWorker {
                test,
                number,
                of: workers,
                partitions,
                results: options.results.as_deref().unwrap(),
            };
            let events = Events::new().take(usize::try_from(events).unwrap());
            runtime
                .block_on(worker.run(&endpoints, events.map(rehearsed)))
                .unwrap();
            0
        }
        None => {
            let merged = merge_rehearsed(&endpoints, test, workers, (events, partitions));
            fingerprint(&runtime.block_on(merged).unwrap().statistics())
        }
    };
    Took {
        cpu_s: processor_nanoseconds() as f64 / 1e9,
        resident: resident(),
        fingerprint,
    }
}

fn rehearsed(event: Event) -> RehearsedEvent {
    RehearsedEvent {
        seq: event.seq,
        partition: i32::try_from(event.partition).unwrap(),
        t0: event.t0,
        ta: event.ta,
        t1: event.t1,
        consumed: event.consumed,
    }
}
