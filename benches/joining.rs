//! What following an event costs: its stamps taken, joined, and recorded in every histogram of its path.
//!
//! Input: events one after the other, 64 of them under way at a time, each with a stamp of every kind on Debezium's path.

// Helpers of benches are no public interface.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;

use cdc_bench::analysis::{PathStatistics, ThroughputMeter};
use cdc_bench::event::{EventId, EventType};
use cdc_bench::timeline::{
    CapturePath, Captured, Clock, ForeignClocks, InKafka, Joined, Joiner, Nanos, Written,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
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
        joiner.sending(id(seq), EventType::UserCreated, t0, t0);
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
        let written = Written {
            td: Some(t3 - Nanos::from_micros(900)),
            t2: Some(t3 - Nanos::from_micros(300)),
            t3,
            t4: clock.now(),
            t5: clock.now(),
            source_lsn: Some(oldest),
            source_xid: Some(7),
        };
        joiner.written(id(oldest), oldest, written)
    }
}

fn joining(c: &mut Criterion) {
    let mut group = c.benchmark_group("following an event");
    group.throughput(Throughput::Elements(1));
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

criterion_group!(benches, joining);
criterion_main!(benches);
