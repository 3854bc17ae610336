//! One test spread over workers, on paper: what joining, recording and merging costs and holds as the number of events grows.
//!
//! Events have generated stamps, and no server is involved. Each goes through the joiner and the histograms of the worker that has its
//! partition; at the end these are merged as a report's parts are. Every line of the table is a process of its own, whose most
//! resident memory is shown. The distributions of all lines with as many events must be equal, value by value: those merged of many
//! workers are those of a single one.
//!
//! ```sh
//! cargo bench --bench merge                                  # 10^6 and 10^7 events over 1 and 16 workers
//! cargo bench --bench merge -- --events 100000000            # 10^8
//! ```

// Helpers of benches are benches.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss)]

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use cdc_bench_model::analysis::{PathStatistics, SignedHistogram};
use cdc_bench_model::event::{EventId, EventType};
use cdc_bench_model::timeline::{
    CapturePath, Captured, ConsumerStamps, ForeignClocks, Hop, InKafka, Joiner, Nanos, Stamp,
};
use clap::Parser;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Partitions of the topic; worker `n` of `w` has those with remainder `n`.
const PARTITIONS: u64 = 64;
/// Events a second of the schedule.
const RATE: u64 = 100_000;
/// Events that are under way at a time: a hundredth of a second of them.
const UNDER_WAY: usize = 1_000;

/// What is asked of the bench.
#[derive(Parser)]
struct Options {
    /// Events of a test; repeatable.
    #[arg(long, default_values_t = [1_000_000, 10_000_000])]
    events: Vec<u64>,
    /// Workers that share it; repeatable.
    #[arg(long, default_values_t = [1, 16], value_parser = clap::value_parser!(u64).range(1..=PARTITIONS))]
    workers: Vec<u64>,
    /// One line of the table, as JSON: what the processes are asked for that this one starts.
    #[arg(long, hide = true)]
    line: bool,
    /// Cargo's own.
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

/// A line of the table.
#[derive(Serialize, Deserialize)]
struct Line {
    /// Processor time of joining and recording, nanoseconds an event.
    per_event: f64,
    /// The same of making the stamps, which is no part of it.
    generated: f64,
    /// Time of merging all workers' histograms, milliseconds.
    merge_ms: f64,
    /// A worker's histograms as they are sent, bytes.
    histograms: usize,
    /// Most resident memory of the process, and that before the first event, MiB.
    resident: f64,
    resident_before: f64,
    /// Of all distributions, value by value.
    fingerprint: u64,
    /// Median and p99 of the total, microseconds.
    total: (i64, i64),
}

fn main() {
    let options = Options::parse();
    if options.line {
        let line = measure(options.events[0], options.workers[0]);
        println!("{}", serde_json::to_string(&line).unwrap());
        return;
    }
    println!(
        "{:>12} {:>8} {:>16} {:>16} {:>10} {:>16} {:>14} {:>14} {:>10} {:>10}",
        "events",
        "workers",
        "ns an event",
        "(their stamps)",
        "merge ms",
        "KiB a worker",
        "resident MiB",
        "(at first)",
        "p50 us",
        "p99 us"
    );
    for events in &options.events {
        let mut first = None;
        for workers in &options.workers {
            let line = in_a_process(*events, *workers);
            println!(
                "{events:>12} {workers:>8} {:>16.0} {:>16.0} {:>10.2} {:>16.1} {:>14.1} {:>14.1} {:>10} {:>10}",
                line.per_event,
                line.generated,
                line.merge_ms,
                line.histograms as f64 / 1024.0,
                line.resident,
                line.resident_before,
                line.total.0,
                line.total.1
            );
            let first = *first.get_or_insert(line.fingerprint);
            assert_eq!(
                first, line.fingerprint,
                "{events} events over {workers} workers have other distributions"
            );
        }
    }
    println!("\nfor each number of events, all distributions are equal, value by value");
}

fn in_a_process(events: u64, workers: u64) -> Line {
    let arguments = [
        "--line".to_owned(),
        format!("--events={events}"),
        format!("--workers={workers}"),
    ];
    let output = Command::new(std::env::current_exe().unwrap())
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A worker of the test: the events of its partitions.
struct Worker {
    joiner: Joiner,
    statistics: PathStatistics,
}

impl Worker {
    fn new() -> Self {
        Self {
            joiner: Joiner::new(InKafka::ByBroker, Arc::new(ForeignClocks::default())),
            statistics: PathStatistics::new(CapturePath::Debezium),
        }
    }

    /// The event's INSERT is sent and acknowledged, and its row captured.
    fn begin(&self, event: &Event) {
        let (id, seq) = (id(event.seq), event.seq);
        let captured = Captured {
            tc: event.ta,
            t1: event.t1,
            lsn: seq,
            commit_lsn: seq + 1,
            xid: 7,
        };
        self.joiner
            .sending(id, seq, EventType::UserCreated, event.t0, event.t0);
        self.joiner.acknowledged(id, seq, event.ta);
        self.joiner.captured(id, seq, captured);
    }

    /// Its record is received and written.
    fn end(&mut self, event: &Event) {
        self.joiner.consumed(event.seq);
        let written = self
            .joiner
            .written(id(event.seq), event.seq, event.consumed);
        self.statistics.record(&written.unwrap());
    }
}

/// An event with all stamps that it will have.
struct Event {
    seq: u64,
    t0: Stamp,
    ta: Stamp,
    t1: Stamp,
    consumed: ConsumerStamps,
    partition: u64,
}

fn id(seq: u64) -> EventId {
    EventId(Uuid::from_u128(u128::from(seq) * 0x9e37_79b9_7f4a_7c15))
}

/// Events in the order of their schedule: each hop mostly short, now and then much longer.
struct Events {
    rng: Xoshiro256PlusPlus,
    next: u64,
}

impl Events {
    fn new() -> Self {
        Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(42),
            next: 0,
        }
    }

    fn span(&mut self) -> Nanos {
        let slow = if self.rng.random_range(0..50) == 0 {
            200
        } else {
            1
        };
        Nanos::from_micros(250 + self.rng.random_range(0..500) * slow)
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let seq = self.next;
        self.next += 1;
        let at = i64::try_from(seq * 1_000_000_000 / RATE).unwrap();
        let t0 = Stamp(at);
        let ta = t0 + self.span();
        let t1 = ta + self.span();
        let td = t1 + self.span();
        let t2 = td + self.span();
        let t3 = t2 + self.span();
        let t4 = t3 + self.span();
        let t5 = t4 + self.span();
        let partition = self.rng.random_range(0..PARTITIONS);
        let consumed = ConsumerStamps {
            td: Some(td),
            t2: Some(t2),
            t3,
            t4,
            t5,
            source_lsn: Some(seq),
            source_xid: Some(7),
            partition: i32::try_from(partition).ok(),
        };
        Some(Event {
            seq,
            t0,
            ta,
            t1,
            consumed,
            partition,
        })
    }
}

fn measure(events: u64, workers: u64) -> Line {
    let number = usize::try_from(events).unwrap();
    let began = processor_nanoseconds();
    Events::new().take(number).for_each(|event| {
        black_box(event);
    });
    let generated = processor_nanoseconds() - began;

    let mut all: Vec<_> = (0..workers).map(|_| Worker::new()).collect();
    let of = |event: &Event| usize::try_from(event.partition % workers).unwrap();
    let resident_before = resident();
    let began = processor_nanoseconds();
    let mut under_way = VecDeque::with_capacity(UNDER_WAY + 1);
    for event in Events::new().take(number) {
        all[of(&event)].begin(&event);
        under_way.push_back(event);
        if under_way.len() > UNDER_WAY
            && let Some(oldest) = under_way.pop_front()
        {
            all[of(&oldest)].end(&oldest);
        }
    }
    for event in under_way {
        all[of(&event)].end(&event);
    }
    let spent = processor_nanoseconds() - began;

    let histograms = sent(&all[0].statistics);
    let began = Instant::now();
    let mut merged = PathStatistics::new(CapturePath::Debezium);
    all.iter().for_each(|worker| merged.add(&worker.statistics));
    let merge_ms = began.elapsed().as_secs_f64() * 1e3;
    let joined: u64 = all.iter().map(|worker| worker.joiner.tally().joined).sum();
    assert_eq!(joined, events, "every event is joined");
    let total = merged.hop(Hop::Total).unwrap();
    assert_eq!(total.count(), events);
    let of_total = total.statistics(None);
    Line {
        per_event: (spent - generated) as f64 / events as f64,
        generated: generated as f64 / events as f64,
        merge_ms,
        histograms,
        resident: resident(),
        resident_before,
        fingerprint: fingerprint(&merged),
        total: (of_total.p50, of_total.p99),
    }
}

/// The histograms that a worker hands on.
fn distributions(statistics: &PathStatistics) -> impl Iterator<Item = &SignedHistogram> {
    let hops = Hop::ALL.into_iter().filter_map(|hop| statistics.hop(hop));
    hops.chain([statistics.from_schedule(), statistics.until_captured()])
}

/// Their size in HdrHistogram's own compressed form.
fn sent(statistics: &PathStatistics) -> usize {
    let mut serializer = V2DeflateSerializer::new();
    let sizes = distributions(statistics).map(|spans| {
        let mut bytes = Vec::new();
        serializer.serialize(spans.positive(), &mut bytes).unwrap();
        bytes.len()
    });
    sizes.sum()
}

/// Every value of every distribution, and how often it came.
fn fingerprint(statistics: &PathStatistics) -> u64 {
    let mut hasher = DefaultHasher::new();
    for spans in distributions(statistics) {
        for (value, times) in spans.values() {
            (value.0, times).hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// Processor time of this process.
fn processor_nanoseconds() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    (usage.user_time() + usage.system_time()).num_nanoseconds()
}

/// Most resident memory so far, MiB.
fn resident() -> f64 {
    getrusage(UsageWho::RUSAGE_SELF).unwrap().max_rss() as f64 / 1024.0
}
