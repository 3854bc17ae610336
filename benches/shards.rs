//! What several slots carry that one does not: a backlog in S outbox tables, each with a publication and a slot, read by S readers at
//! once; throughput against S, with the processor time of the walsenders, and where the curve bends.
//!
//! Every walsender decodes the WAL of all tables and sends that of its own. The backlog is there before anybody reads, so that what is
//! measured is reading, whatever the rate at which a server takes inserts. Readers decode every row and deliver it to nobody.
//!
//! ```sh
//! cargo bench --bench shards                                              # 1, 2, 4 and 8 slots: two minutes
//! cargo bench --bench shards -- --shards 1,2 --rows 50000 --rounds 1      # a first look
//! ```

// Helpers of benches are benches.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss)]

#[path = "inputs/spread.rs"]
mod spread;
#[path = "../tests/on_a_stack/stack.rs"]
#[allow(dead_code)]
mod stack;
#[path = "wal_reader/usage.rs"]
#[allow(dead_code)]
mod usage;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use cdc_bench::load::{Limit, LoadObserver, LoadPlan, Rate, run_load};
use cdc_bench_model::analysis::{ScalingPoint, bend};
use cdc_bench_model::event::{EventId, Generator, OutboxRow, SCHEMA, Shard, Shards, TABLE};
use cdc_bench_model::timeline::{Clock, Stamp};
use clap::Parser;
use futures_util::future::join_all;
use pgcdc::{Event, Reader, ReaderConfig, Server, Slot, SlotName};
use spread::Spread;
use stack::TestStack;
use tokio_util::sync::CancellationToken;
use usage::Process;

/// What is asked of the bench.
#[derive(Parser)]
struct Options {
    /// Numbers of shards.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8", value_parser = clap::value_parser!(u8).range(1..=i64::from(Shards::MOST)))]
    shards: Vec<u8>,
    /// Rows of the backlog.
    #[arg(long, default_value_t = 200_000)]
    rows: u64,
    /// Rows of a transaction; with several, each has some in every table.
    #[arg(long, default_value_t = 1)]
    insert_batch: usize,
    /// Times that the numbers of shards take their turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Cargo's own.
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

fn main() {
    let mut options = Options::parse();
    options.shards.sort_unstable();
    options.shards.dedup();
    let stack = TestStack::up();
    stack.sql(include_str!("../sql/outbox.sql"));
    // What is measured is reading: no commit of the load waits for the disk.
    let user = &stack.env["POSTGRES_USER"];
    stack.sql(&format!(
        "ALTER ROLE \"{user}\" SET synchronous_commit = off"
    ));
    let bench = Bench {
        stack: &stack,
        options: &options,
    };
    let mut drains: Vec<Vec<Drain>> = options.shards.iter().map(|_| Vec::new()).collect();
    for _ in 0..options.rounds {
        for (count, drains) in options.shards.iter().zip(&mut drains) {
            drains.push(bench.drain(Shards::new(*count).unwrap()));
        }
    }
    report(&options, &drains);
}

fn report(options: &Options, drains: &[Vec<Drain>]) {
    let cores = std::thread::available_parallelism().unwrap();
    println!(
        "{} rows, {} a transaction, on {cores} cores with servers and readers on them; median of {} rounds (least to most)",
        options.rows, options.insert_batch, options.rounds
    );
    println!(
        "{:>6} {:>30} {:>7} {:>7} {:>26} {:>9}",
        "shards", "rows/s of all", "ratio", "gain", "walsenders, us a row", "s in all"
    );
    let mut points: Vec<ScalingPoint> = Vec::new();
    for (shards, drains) in options.shards.iter().zip(drains) {
        let rows = options.rows as f64;
        let per_s = Spread::of(drains.iter().map(|drain| rows / drain.seconds));
        let cpu = Spread::of(drains.iter().map(|drain| drain.walsenders / rows * 1e6));
        let total = Spread::of(drains.iter().map(|drain| drain.walsenders)).median;
        let point = ScalingPoint {
            shards: *shards,
            per_s: per_s.median,
        };
        let ratio = point.per_s / points.first().unwrap_or(&point).per_s;
        let gain = points.last().map_or_else(
            || "-".to_owned(),
            |before| format!("{:.2}", point.gain_since(before)),
        );
        println!("{shards:>6} {per_s:>30} {ratio:>7.2} {gain:>7} {cpu:>26.1} {total:>9.2}");
        points.push(point);
    }
    let bent = bend(&points);
    match bent {
        Some(at) => println!(
            "the curve bends at {} shards: less than half of what was added to the number before came through",
            at.shards
        ),
        None => println!("the curve does not bend up to the last number of shards"),
    }
    let bent = bent.map_or_else(|| "none".to_owned(), |at| at.shards.to_string());
    println!("\nshards bends_at={bent} cores={cores}");
}

/// What the reading of one backlog took.
struct Drain {
    seconds: f64,
    /// Processor time of all walsenders, seconds.
    walsenders: f64,
}

struct Bench<'a> {
    stack: &'a TestStack,
    options: &'a Options,
}

impl Bench<'_> {
    /// Makes the shards with their slots, loads the backlog, and reads it.
    fn drain(&self, shards: Shards) -> Drain {
        for shard in shards.iter() {
            let table = shard.table();
            if shard != Shard::FIRST {
                self.stack.sql(&format!(
                    "CREATE TABLE {SCHEMA}.{table} (PRIMARY KEY (id)) INHERITS ({SCHEMA}.{TABLE})"
                ));
            }
            self.stack.sql(&format!(
                "CREATE PUBLICATION {0} FOR TABLE ONLY {SCHEMA}.{table}",
                name(shard)
            ));
            self.stack.sql(&format!(
                "SELECT pg_create_logical_replication_slot('{}', 'pgoutput')",
                name(shard)
            ));
        }
        self.load(shards);
        self.stack.sql("CHECKPOINT");
        let drain = self.read(shards);
        for shard in shards.iter() {
            let name = name(shard);
            stack::until("the slot is free", || {
                let free = format!(
                    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{name}' AND NOT active"
                );
                self.stack
                    .try_sql(&free)
                    .is_some_and(|dropped| !dropped.is_empty())
            });
            self.stack.sql(&format!("DROP PUBLICATION {name}"));
            if shard != Shard::FIRST {
                self.stack
                    .sql(&format!("DROP TABLE {SCHEMA}.{}", shard.table()));
            }
        }
        self.stack.sql(&format!("TRUNCATE {SCHEMA}.{TABLE}"));
        drain
    }

    fn load(&self, shards: Shards) {
        let endpoint = server(self.stack).into();
        let plan = LoadPlan {
            endpoint: &endpoint,
            run_id: "bench".to_owned(),
            rows: Generator::new(42, jiff::Timestamp::now()),
            control: Rate::MAX.into(),
            limit: Limit::Events(self.options.rows),
            insert_batch: self.options.insert_batch,
            connections: 4,
            shards,
            share: None,
        };
        let load = run_load(
            plan,
            Clock::start(),
            Arc::new(Unheard),
            CancellationToken::new(),
        );
        let summary = self.stack.block_on(load).unwrap();
        assert_eq!(summary.inserted, self.options.rows);
    }

    /// Reads every shard at once until all rows have been handed over.
    fn read(&self, shards: Shards) -> Drain {
        let left = Arc::new(AtomicU64::new(self.options.rows));
        let (done, last) = mpsc::channel();
        let began = Instant::now();
        let readers = shards.iter().map(|shard| {
            let slot = Slot::Existing(SlotName::new(&name(shard)).unwrap());
            let config = ReaderConfig::new(server(self.stack), slot, [name(shard)]);
            let (left, done) = (Arc::clone(&left), done.clone());
            Reader::spawn(config, move |event: Event<'_>| {
                if let Event::Change(change) = event {
                    std::hint::black_box(&change.new);
                    if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                        done.send(Instant::now()).unwrap();
                    }
                }
                ControlFlow::Continue(())
            })
        });
        let readers = self.stack.block_on(join_all(readers));
        let ended = last.recv().unwrap();
        // They are still there: their readers have not ended.
        let walsenders = self.walsenders(shards);
        for reader in readers {
            reader.unwrap().stop().unwrap();
        }
        Drain {
            seconds: (ended - began).as_secs_f64(),
            walsenders,
        }
    }

    fn walsenders(&self, shards: Shards) -> f64 {
        let cpu = |shard: Shard| {
            let question = format!(
                "SELECT active_pid FROM pg_replication_slots WHERE slot_name = '{}'",
                name(shard)
            );
            let pid = self.stack.sql(&question)[0].parse().unwrap();
            Process::of(pid).cpu()
        };
        shards.iter().map(cpu).sum()
    }
}

/// Of a shard's slot and publication.
fn name(shard: Shard) -> String {
    format!("bench_{}", shard.number())
}

fn server(stack: &TestStack) -> Server {
    let env = &stack.env;
    Server::new(
        "127.0.0.1",
        env["POSTGRES_PORT"].parse().unwrap(),
        &env["POSTGRES_USER"],
        env["POSTGRES_PASSWORD"].clone(),
        &env["POSTGRES_DB"],
    )
}

/// Nobody wants to hear of the rows.
struct Unheard;

impl LoadObserver for Unheard {
    fn sending(&self, _: &OutboxRow, _: Stamp, _: Stamp) {}

    fn acknowledged(&self, _: EventId, _: u64, _: Stamp) {}

    fn failed(&self, _: EventId, _: u64, reason: &str) {
        panic!("{reason}");
    }
}
