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

#[path = "inputs/stamped.rs"]
mod stamped;

use std::collections::VecDeque;
use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

use cdc_bench_model::analysis::PathStatistics;
use cdc_bench_model::timeline::{CapturePath, Hop};
use clap::Parser;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Serialize};
use stamped::{
    Event, Events, PARTITIONS, Worker, distributions, fingerprint, processor_nanoseconds, resident,
};

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
