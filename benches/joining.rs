//! What following an event costs: its stamps taken, joined, and recorded in every histogram of its path; what it costs the
//! recorder's thread, which counts it and writes its line while the run goes on; and what the dashboard's meter
//! costs: per event, and per snapshot of how the path stands.
//!
//! Input: events one after the other, 64 of them under way at a time, each with a stamp of every kind on Debezium's path.
//! The recorder's and the meter's are 5,000 a second, with spans from a quarter of a millisecond to a tenth of a second a hop.

// Helpers of benches are no public interface.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use cdc_bench::live::PathMeter;
use cdc_bench_model::analysis::{PathStatistics, ThroughputMeter};
use cdc_bench_model::event::{EventId, EventType};
use cdc_bench_model::report::{Recorder, ResultFolder};
use cdc_bench_model::timeline::{
    CapturePath, Captured, Clock, ConsumerStamps, ForeignClocks, InKafka, Joined, Joiner, Nanos,
    Stamp, Stamps,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

/// Events that are under way at a time.
const UNDER_WAY: u64 = 64;

fn id(seq: u64) -> EventId {
    EventId(Uuid::from_u128(u128::from(seq) * 0x9e37_79b9_7f4a_7c15))
}

/// One event's way through the joiner, as the four who see it tell of it.
struct Way {
    joiner: Joiner,
    clock: Clock,
    next: u64,
    under_way: VecDeque<u64>,
}

impl Way {
    fn new() -> Self {
        let clocks = Arc::new(ForeignClocks::default());
        Self {
            joiner: Joiner::new(InKafka::ByBroker, clocks),
            clock: Clock::start(),
            next: 0,
            under_way: VecDeque::new(),
        }
    }

    /// A new event is sent, acknowledged and captured; the oldest one is written, and so whole.
    fn step(&mut self) -> Option<Joined> {
        let (joiner, clock, seq) = (&self.joiner, self.clock, self.next);
        self.next += 1;
        // The schedule has its own time, and the WAL the commit's.
        let t0 = clock.now();
        joiner.sending(id(seq), seq, EventType::UserCreated, t0, t0);
        joiner.acknowledged(id(seq), seq, clock.now());
        let captured = Captured {
            tc: t0,
            t1: clock.now(),
            lsn: seq,
            commit_lsn: seq + 1,
            xid: 7,
        };
        joiner.captured(id(seq), seq, captured);
        self.under_way.push_back(seq);
        if self.next <= UNDER_WAY {
            return None;
        }
        let oldest = self.under_way.pop_front()?;
        joiner.consumed(oldest);
        let t3 = clock.now();
        let written = ConsumerStamps {
            td: Some(t3 - Nanos::from_micros(900)),
            t2: Some(t3 - Nanos::from_micros(300)),
            t3,
            t4: clock.now(),
            t5: clock.now(),
            source_lsn: Some(oldest),
            source_xid: Some(7),
            partition: None,
        };
        joiner.written(id(oldest), oldest, written)
    }
}

fn joining(c: &mut Criterion) {
    let mut group = c.benchmark_group("following an event");
    group.throughput(Throughput::Elements(1));
    // How quick the machine is at the moment: a third of all of it, and not ours.
    group.bench_function("its six readings of the clock alone", |b| {
        let clock = Clock::start();
        b.iter(|| {
            for _ in 0..6 {
                black_box(clock.now());
            }
        });
    });
    group.bench_function("stamps and joining", |b| {
        let mut way = Way::new();
        b.iter(|| black_box(way.step()));
    });
    group.bench_function("stamps, joining and recording", |b| {
        let mut way = Way::new();
        let mut statistics = PathStatistics::new(CapturePath::Debezium);
        let mut throughput = ThroughputMeter::default();
        b.iter(|| {
            if let Some(event) = way.step() {
                statistics.record(&event);
                throughput.record(event.stamps.t0, event.stamps.t5);
            }
        });
        black_box(&statistics);
    });
    group.finish();
}

/// Events a second that the recorder and the meter take in.
const RATE: i64 = 5_000;

/// Events of 20 seconds, in the order in which they are whole: each hop mostly short, now and then much longer.
fn joined() -> Vec<Joined> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(42);
    let mut span = || {
        let slow = if rng.random_range(0..50) == 0 { 200 } else { 1 };
        Nanos::from_micros(250 + rng.random_range(0..500) * slow)
    };
    let event = |n: i64| {
        let t0 = Stamp(n * 1_000_000_000 / RATE);
        let tc = t0 + span();
        let t1 = tc + span();
        let td = t1 + span();
        let t2 = td + span();
        let t3 = t2 + span();
        let t4 = t3 + span();
        let captured = Captured {
            tc,
            t1,
            lsn: 1,
            commit_lsn: 2,
            xid: 7,
        };
        let stamps = Stamps {
            ts: t0,
            t0,
            ta: tc,
            tc,
            t1,
            td: Some(td),
            t2,
            t3,
            t4,
            t5: t4 + span(),
        };
        Joined {
            id: id(1),
            seq: 0,
            event_type: EventType::UserCreated,
            captured,
            partition: None,
            stamps,
        }
    };
    let mut events: Vec<_> = (0..20 * RATE).map(event).collect();
    events.sort_by_key(|event| event.stamps.t5);
    events
}

/// A result's files, filled as fast as its thread can: no event waits for it before 16,384 of them do.
fn writing(c: &mut Criterion) {
    let mut group = c.benchmark_group("the recorder's thread");
    group.throughput(Throughput::Elements(1));
    let events = joined();
    group.bench_function("an event counted and written", |b| {
        b.iter_custom(|times| {
            let results = tempfile::tempdir().unwrap();
            let folder = ResultFolder::create(results.path(), "run").unwrap();
            let recorder = Recorder::start(&folder, &[CapturePath::Debezium], |_, _| {}).unwrap();
            let handle = recorder.handle(CapturePath::Debezium, 0);
            let began = Instant::now();
            for (_, event) in (0..times).zip(events.iter().cycle()) {
                handle.record(*event);
            }
            drop(handle);
            black_box(recorder.finish().unwrap());
            began.elapsed()
        });
    });
    group.finish();
}

fn metering(c: &mut Criterion) {
    let events = joined();
    let last = events.last().map_or(Stamp(0), |event| event.stamps.t5);
    let mut group = c.benchmark_group("the dashboard's meter");
    group.throughput(Throughput::Elements(1));
    group.bench_function("an event", |b| {
        let mut meter = PathMeter::new(CapturePath::Debezium);
        let mut rest = events.iter();
        b.iter(|| {
            let event = rest.next().unwrap_or_else(|| {
                // Time goes on and on for a meter: the same events again are for another.
                meter = PathMeter::new(CapturePath::Debezium);
                rest = events.iter();
                &events[0]
            });
            meter.record(black_box(event));
        });
        black_box(&meter);
    });
    group.bench_function("a snapshot", |b| {
        let mut meter = PathMeter::new(CapturePath::Debezium);
        events.iter().for_each(|event| meter.record(event));
        b.iter(|| black_box(meter.state(last)));
    });
    group.finish();
}

criterion_group!(benches, joining, writing, metering);
criterion_main!(benches);
