//! How fast the WAL can be read: our reader beside `pg_recvlogical`, the bare protocol library, and Debezium.
//!
//! A server of the bench's own is filled once; every contender drains slots that were made before, each in turn, several
//! times. Memory is what a reader took above what it had before; of `pg_recvlogical`, all it had. The last line is the ratio
//! of rows a second, medians of all rounds.
//!
//! ```sh
//! cargo bench --bench wal_reader                              # two to three minutes
//! cargo bench --bench wal_reader -- --debezium                # with Debezium, which takes longer
//! cargo bench --bench wal_reader -- --peers                   # with pg_walstream, which is built first
//! cargo bench --bench wal_reader -- --large                   # one large transaction alone, beside pg_walstream
//! cargo bench --bench wal_reader -- --large --debezium        # and beside Debezium
//! cargo bench --bench wal_reader -- --rows 50000 --rounds 1   # a first look
//! ```

// Helpers of benches are benches.
#![allow(clippy::unwrap_used)]

mod contenders;
mod debezium;
mod large;
mod latency;
#[path = "../../tests/on_a_stack/stack.rs"]
#[allow(dead_code)]
mod stack;
mod usage;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use contenders::{Contender, build_peers, pg_recvlogical};
use pgcdc::{Event, Lsn, Server};
use pgwire_replication::ReplicationConfig;
use stack::TestStack;
use usage::{Drain, measured};

/// What is asked of the bench.
#[derive(Parser)]
struct Options {
    /// Rows in the slots.
    #[arg(long, default_value_t = 300_000)]
    rows: u64,
    /// Times that the contenders take their turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Debezium beside them: for one round, or with `--large` for all.
    #[arg(long)]
    debezium: bool,
    /// pg_walstream beside them: a crate of its own, which is built first.
    #[arg(long)]
    peers: bool,
    /// One large transaction from its commit on, beside pg_walstream, and nothing else.
    #[arg(long)]
    large: bool,
    /// Only the contenders whose slots have these names, such as ours,walstream, and no latency.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Cargo's own.
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

fn main() {
    let options = Options::parse();
    if options.peers || options.large {
        build_peers();
    }
    let stack = TestStack::up();
    if options.large {
        let bench = Bench {
            stack: &stack,
            options: &options,
        };
        return bench.large();
    }
    let mut contenders = vec![
        Contender::Bare,
        Contender::Decoding,
        Contender::DecodingBinary,
        Contender::DebeziumJson,
    ];
    if pg_recvlogical().is_some() {
        contenders.insert(0, Contender::PgRecvlogical);
    } else {
        println!("pg_recvlogical is not installed: the bare protocol library stands in its place");
    }
    if options.peers {
        contenders.insert(1, Contender::PgWalstream);
    }
    if options.debezium {
        contenders.push(Contender::Debezium);
    }
    if !options.only.is_empty() {
        contenders.retain(|contender| options.only.iter().any(|only| only == contender.slug()));
    }
    let bench = Bench {
        stack: &stack,
        options: &options,
    };
    let mut ratios = Vec::new();
    for rows_a_transaction in [1_000, 1] {
        let medians = bench.drains(&contenders, rows_a_transaction);
        if rows_a_transaction > 1 {
            ratios = medians;
        }
    }
    if !options.only.is_empty() {
        return;
    }
    bench.large_transaction();
    bench.latency();
    let rate = |wanted: Contender| {
        ratios
            .iter()
            .find(|(contender, _)| *contender == wanted)
            .map(|(_, rate)| *rate)
    };
    let ours = rate(Contender::Decoding).unwrap();
    let ratio = |peer: Option<f64>| {
        peer.map_or_else(
            || "unknown".to_owned(),
            |peer| format!("{:.2}", ours / peer),
        )
    };
    println!(
        "wal_reader ratio_to_pg_recvlogical={} ratio_to_pg_walstream={} ratio_to_debezium={}",
        ratio(rate(Contender::PgRecvlogical)),
        ratio(rate(Contender::PgWalstream)),
        ratio(rate(Contender::Debezium))
    );
}

struct Bench<'a> {
    stack: &'a TestStack,
    options: &'a Options,
}

impl Bench<'_> {
    /// Fills slots once and drains them in turn; the median of each contender's rows a second.
    fn drains(&self, contenders: &[Contender], batch: u64) -> Vec<(Contender, f64)> {
        let (stack, rows) = (self.stack, self.options.rows);
        println!(
            "\n{rows} rows of about 350 bytes, {batch} a transaction; median of {} rounds (least to most)",
            self.options.rounds
        );
        stack.sql("CREATE TABLE rows (id bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), kind text, payload text, amount numeric(10,2), ok bool); CREATE PUBLICATION bench FOR TABLE rows");
        let slot = |contender: Contender, round: usize| {
            format!("bench_{}_{batch}_{round}", contender.slug())
        };
        for contender in contenders {
            let rounds = if *contender == Contender::Debezium {
                1
            } else {
                self.options.rounds
            };
            for round in 0..rounds {
                stack.sql(&format!(
                    "SELECT pg_create_logical_replication_slot('{}', 'pgoutput')",
                    slot(*contender, round)
                ));
            }
        }
        let begin = lsn(&stack.sql("SELECT pg_current_wal_lsn()")[0]);
        let row =
            "n, now(), 'order.' || n % 10, repeat(md5(n::text), 8), n % 10000 / 7.0, n % 2 = 0";
        // A commit each, and none waits for the disk: what is measured is reading.
        stack.sql(&format!(
            "DO $$ BEGIN PERFORM set_config('synchronous_commit', 'off', false); FOR i IN 0..{} LOOP INSERT INTO rows SELECT {row} FROM generate_series(i * {batch}, (i + 1) * {batch} - 1) n; COMMIT; END LOOP; END $$",
            rows / batch - 1
        ));
        stack.sql("CHECKPOINT");
        let end = lsn(&stack.sql("SELECT pg_current_wal_lsn()")[0]);
        #[allow(clippy::cast_precision_loss)]
        let megabytes = (end.0 - begin.0) as f64 / 1e6;
        let mut results: Vec<(Contender, Vec<Drain>)> = contenders
            .iter()
            .map(|contender| (*contender, Vec::new()))
            .collect();
        for round in 0..self.options.rounds {
            // Nobody always follows the same one.
            if round > 0 {
                results.reverse();
            }
            for (contender, drains) in &mut results {
                if *contender == Contender::Debezium && round > 0 {
                    continue;
                }
                drains.push(self.drain(*contender, &slot(*contender, round), end));
            }
        }
        println!(
            "{:<34} {:>9} {:>21} {:>7} {:>14} {:>9}",
            "", "rows/s", "", "MB/s", "CPU s/M rows", "peak MB"
        );
        #[allow(clippy::cast_precision_loss)]
        let rows = rows as f64;
        let medians = results.iter().map(|(contender, drains)| {
            let of = |value: fn(&Drain) -> f64| {
                let mut values: Vec<f64> = drains.iter().map(value).collect();
                values.sort_by(f64::total_cmp);
                (
                    values[values.len() / 2],
                    values[0],
                    values[values.len() - 1],
                )
            };
            let (seconds, least, most) = of(|drain| drain.seconds);
            #[allow(clippy::cast_precision_loss)]
            let memory = of(|drain| drain.memory as f64).0 / 1e6;
            println!(
                "{:<34} {:>9.0} {:>21} {:>7.1} {:>14.2} {memory:>9.1}",
                contender.name(),
                rows / seconds,
                format!("({:.0} to {:.0})", rows / most, rows / least),
                megabytes / seconds,
                of(|drain| drain.cpu).0 / rows * 1e6,
            );
            (*contender, rows / seconds)
        });
        let medians = medians.collect();
        stack.sql(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active",
        );
        stack.sql("DROP PUBLICATION bench; DROP TABLE rows");
        medians
    }

    /// One transaction of a million rows: what it takes in memory.
    fn large_transaction(&self) {
        let stack = self.stack;
        stack.sql("CREATE TABLE rows (id bigint PRIMARY KEY, payload text); CREATE PUBLICATION bench FOR TABLE rows");
        stack.sql("SELECT pg_create_logical_replication_slot('bench_large', 'pgoutput')");
        stack.sql(
            "INSERT INTO rows SELECT n, repeat(md5(n::text), 8) FROM generate_series(1, 1000000) n",
        );
        let end = lsn(&stack.sql("SELECT pg_current_wal_lsn()")[0]);
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let drain = measured(|| {
            self.ours("bench_large", end, false, move |event| {
                if matches!(event, Event::Change(_)) {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        #[allow(clippy::cast_precision_loss)]
        let memory = drain.memory as f64 / 1e6;
        println!(
            "\none transaction of {} rows: {:.1} s, peak {memory:.1} MB above idle",
            count.load(Ordering::Relaxed),
            drain.seconds
        );
        stack.sql("SELECT pg_drop_replication_slot('bench_large')");
        stack.sql("DROP PUBLICATION bench; DROP TABLE rows");
    }
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

fn wire(stack: &TestStack, slot: &str) -> ReplicationConfig {
    let env = &stack.env;
    ReplicationConfig::new(
        "127.0.0.1",
        &*env["POSTGRES_USER"],
        &*env["POSTGRES_PASSWORD"],
        &*env["POSTGRES_DB"],
        slot,
        "bench",
    )
    .with_port(env["POSTGRES_PORT"].parse().unwrap())
    .with_status_interval(Duration::from_secs(1))
    .with_wakeup_interval(Duration::from_secs(1))
}

fn lsn(text: &str) -> Lsn {
    text.parse().unwrap()
}
