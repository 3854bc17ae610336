//! How fast rows get into PostgreSQL: our load beside `pgbench -M prepared`, at the same concurrency and with the same
//! statement; rows a transaction; how punctual a schedule is kept.
//!
//! A server of the bench's own, the contenders in turn, several times; each begins with an empty table.
//!
//! ```sh
//! cargo bench --bench load                                # some three minutes
//! cargo bench --bench load -- --seconds 2 --rounds 1      # a first look
//! ```

// Helpers of benches are benches.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss)]

mod inputs;
#[path = "inputs/spread.rs"]
mod spread;
#[path = "../tests/on_a_stack/stack.rs"]
#[allow(dead_code)]
mod stack;

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cdc_bench::load::{Limit, LoadObserver, LoadPlan, LoadSummary, Rate, run_load};
use cdc_bench_model::analysis::SignedHistogram;
use cdc_bench_model::event::{EventId, Generator, OutboxRow, Shards};
use cdc_bench_model::timeline::{Clock, Stamp};
use cdc_bench_stack::PostgresEndpoint;
use clap::Parser;
use spread::Spread;
use stack::TestStack;
use tokio_util::sync::CancellationToken;

const CONNECTIONS: [usize; 3] = [1, 4, 8];
/// The last that goes by a statement and the first that goes by COPY are among them.
const ROWS_A_TRANSACTION: [usize; 6] = [1, 10, 63, 64, 100, 1_000];
const RATES: [&str; 3] = ["167", "1000", "5000"];

/// What is asked of the bench.
#[derive(Parser)]
struct Options {
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Times that the contenders take their turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Cargo's own.
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

fn main() {
    let options = Options::parse();
    let stack = TestStack::up();
    stack.sql(include_str!("../sql/outbox.sql"));
    let bench = Bench {
        endpoint: pgcdc::Server::new(
            &stack.env["POSTGRES_HOST"],
            stack.env["POSTGRES_PORT"].parse().unwrap(),
            &stack.env["POSTGRES_USER"],
            stack.env["POSTGRES_PASSWORD"].clone(),
            &stack.env["POSTGRES_DB"],
        )
        .into(),
        stack: &stack,
        options,
    };
    let ratios = bench.beside_pgbench();
    bench.rows_a_transaction();
    let lag = bench.punctuality();
    println!("\nload ratio_to_pgbench={ratios} lag_p99_ms_at_5000_per_s={lag:.3}");
}

struct Bench<'a> {
    endpoint: PostgresEndpoint,
    stack: &'a TestStack,
    options: Options,
}

impl Bench<'_> {
    /// Transactions a second, one row each; the ratios by number of connections.
    fn beside_pgbench(&self) -> String {
        println!(
            "transactions/s, one row each, {} s; median of {} rounds (least to most)",
            self.options.seconds, self.options.rounds
        );
        println!(
            "{:>11} {:>28} {:>28} {:>7}",
            "connections", "this load", "pgbench -M prepared", "ratio"
        );
        let mut ratios = Vec::new();
        for connections in CONNECTIONS {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..self.options.rounds {
                self.empty();
                let (summary, _) = self.load(Rate::MAX, 1, connections);
                ours.push(summary.inserted_per_s().unwrap());
                self.empty();
                theirs.push(self.pgbench(connections));
            }
            let (ours, theirs) = (Spread::of(ours), Spread::of(theirs));
            let ratio = ours.median / theirs.median;
            println!("{connections:>11} {ours:>28} {theirs:>28} {ratio:>7.2}");
            ratios.push(format!("{connections}:{ratio:.2}"));
        }
        ratios.join(",")
    }

    fn rows_a_transaction(&self) {
        println!(
            "\nrows/s over 4 connections, by rows a transaction ({} s each)",
            self.options.seconds
        );
        for rows in ROWS_A_TRANSACTION {
            self.empty();
            let (summary, _) = self.load(Rate::MAX, rows, 4);
            println!("{rows:>6} {:>12.0}", summary.inserted_per_s().unwrap());
        }
    }

    /// How late the rows of a schedule go out; the 99th percentile at the highest rate.
    fn punctuality(&self) -> f64 {
        println!(
            "\nschedule lag (T0 - Ts) over 4 connections, ms      p50       p99     p99.9       max"
        );
        let mut p99 = 0.0;
        for rate in RATES {
            self.empty();
            let (summary, lag) = self.load(rate.parse().unwrap(), 1, 4);
            p99 = lag.quantile(0.99).as_millis_f64();
            println!(
                "{rate:>7}/s (reached {:>6.0})                     {:>9.3} {p99:>9.3} {:>9.3} {:>9.3}",
                summary.inserted_per_s().unwrap(),
                lag.quantile(0.5).as_millis_f64(),
                lag.quantile(0.999).as_millis_f64(),
                lag.max().as_millis_f64()
            );
        }
        p99
    }

    fn empty(&self) {
        self.stack.sql("TRUNCATE activity.event_outbox");
        self.stack.sql("CHECKPOINT");
    }

    fn load(
        &self,
        rate: Rate,
        insert_batch: usize,
        connections: usize,
    ) -> (LoadSummary, SignedHistogram) {
        let plan = LoadPlan {
            share: None,
            endpoint: &self.endpoint,
            run_id: inputs::RUN.to_owned(),
            rows: Generator::new(42, jiff::Timestamp::now()),
            control: rate.into(),
            limit: Limit::Duration(Duration::from_secs(self.options.seconds)),
            insert_batch,
            connections,
            shards: Shards::ONE,
        };
        let lags = Arc::new(Lags::default());
        let load = run_load(
            plan,
            Clock::start(),
            Arc::clone(&lags) as Arc<_>,
            CancellationToken::new(),
        );
        let summary = self.stack.block_on(load).unwrap();
        assert_eq!(summary.errors, 0);
        let count = self.stack.sql("SELECT count(*) FROM activity.event_outbox");
        assert_eq!(count[0], summary.inserted.to_string());
        let lags = lags.0.lock().unwrap().clone();
        (summary, lags)
    }

    /// The same statement by pgbench, which has no UUIDs and makes them of its numbers.
    fn pgbench(&self, connections: usize) -> f64 {
        let row = Generator::new(42, jiff::Timestamp::now()).nth(10).unwrap();
        let script = tempfile::NamedTempFile::new().unwrap();
        let text = "\\set n :n + 1\n\
            \\set id 1000000000000000000 + :client_id * 1000000000000 + :n\n\
            INSERT INTO activity.event_outbox (run_id, id, seq, event_type, aggregate_type, aggregate_id, payload) \
            VALUES (:run, lpad(:id, 32, '0')::uuid, :n, :kind, :about, :aggregate, :payload::text::jsonb);\n";
        std::fs::write(script.path(), text).unwrap();
        let define = [
            "n=0".to_owned(),
            format!("run={}", inputs::RUN),
            format!("kind={}", row.event_type),
            format!("about={}", row.event_type.aggregate_type()),
            format!("aggregate={}", row.aggregate_id),
            format!("payload={}", row.payload),
        ];
        let endpoint = &self.endpoint;
        let output = Command::new("pgbench")
            .args(["-h", &endpoint.host, "-p", &endpoint.port.to_string()])
            .args(["-U", &endpoint.user, "-n", "-M", "prepared"])
            .args(["-c", &connections.to_string()])
            .args(["-j", &connections.min(2).to_string()])
            .args(["-T", &self.options.seconds.to_string()])
            .args(define.iter().flat_map(|define| ["-D", define]))
            .arg("-f")
            .arg(script.path())
            .arg(&endpoint.database)
            .env("PGPASSWORD", &self.stack.env["POSTGRES_PASSWORD"])
            .output()
            .expect("pgbench (Debian: postgresql-client or postgresql-contrib)");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "pgbench: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let tps = said.lines().find_map(|line| line.strip_prefix("tps = "));
        let number = tps.and_then(|rest| rest.split(' ').next());
        number.unwrap().parse().unwrap()
    }
}

/// How late each row was.
#[derive(Default)]
struct Lags(Mutex<SignedHistogram>);

impl LoadObserver for Lags {
    fn sending(&self, _: &OutboxRow, ts: Stamp, t0: Stamp) {
        self.0.lock().unwrap().record(t0 - ts);
    }

    fn acknowledged(&self, _: EventId, _: u64, _: Stamp) {}

    fn failed(&self, _: EventId, _: u64, reason: &str) {
        panic!("{reason}");
    }
}
