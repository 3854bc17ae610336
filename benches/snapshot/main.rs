//! How fast existing rows are copied: our reader over one connection and several, beside `psql -c "COPY ..."` and Debezium.
//!
//! A table on a server of the bench's own is filled once, vacuumed and read once; every contender copies it, each in turn, several
//! times. A time is from the start, connections and slots included, to the last row; the reader has looked at every column by then.
//! Processor time is the client's. The last line is the ratio of rows a second, medians of all rounds.
//!
//! ```sh
//! cargo bench --bench snapshot                                # two minutes
//! cargo bench --bench snapshot -- --debezium                  # with Debezium, which takes longer
//! cargo bench --bench snapshot -- --rows 100000 --rounds 1    # a first look
//! ```

// Helpers of benches are benches.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss)]

mod contenders;
#[path = "../../tests/on_a_stack/stack.rs"]
#[allow(dead_code)]
mod stack;
#[path = "../wal_reader/usage.rs"]
#[allow(dead_code)]
mod usage;

use clap::Parser;
use contenders::{Contender, Format, has_psql};
use stack::TestStack;
use usage::Drain;

/// What is asked of the bench.
#[derive(Parser)]
struct Options {
    /// Rows of the table.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Times that the contenders take their turns.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Size of the reader's chunks, MiB.
    #[arg(long, default_value_t = 64)]
    chunk: u64,
    /// Debezium beside them, in every other round.
    #[arg(long)]
    debezium: bool,
    /// Cargo's own.
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

struct Bench<'a> {
    stack: &'a TestStack,
    options: &'a Options,
}

fn main() {
    let options = Options::parse();
    let stack = TestStack::up();
    let bench = Bench {
        stack: &stack,
        options: &options,
    };
    let mut contenders = Vec::new();
    if has_psql() {
        contenders.extend([1, 2, 4].map(Contender::Psql));
    } else {
        println!("psql is not installed: there is nothing to compare with");
    }
    for format in [Format::Text, Format::Binary] {
        contenders.extend([1, 2, 4].map(|connections| Contender::Reader(connections, format)));
    }
    if options.debezium {
        contenders.push(Contender::Debezium);
    }
    bench.fill();
    let mut results: Vec<(Contender, Vec<Drain>)> = contenders
        .iter()
        .map(|contender| (*contender, Vec::new()))
        .collect();
    for round in 0..options.rounds {
        for (contender, copies) in &mut results {
            if *contender != Contender::Debezium || round % 2 == 0 {
                copies.push(bench.copy(*contender, round));
            }
        }
    }
    let rates = bench.print(&results);
    let rate = |wanted: Contender| {
        let found = rates.iter().find(|(contender, _)| *contender == wanted);
        found.map(|(_, rate)| *rate)
    };
    let ratio = |ours: u16, peer: Contender| {
        let ours = rate(Contender::Reader(ours, Format::Text)).unwrap();
        rate(peer).map_or_else(
            || "unknown".to_owned(),
            |peer| format!("{:.2}", ours / peer),
        )
    };
    println!(
        "snapshot ratio_to_psql={} ratio_to_2_psql={} ratio_to_4_psql={} ratio_to_debezium={}",
        ratio(1, Contender::Psql(1)),
        ratio(2, Contender::Psql(2)),
        ratio(4, Contender::Psql(4)),
        ratio(4, Contender::Debezium),
    );
}

impl Bench<'_> {
    /// The table, with nothing left for a reader to do but read.
    fn fill(&self) {
        let (stack, rows) = (self.stack, self.options.rows);
        stack.sql(&format!(
            "CREATE TABLE rows (id bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), kind text, payload text, amount numeric(10,2), ok bool);
             INSERT INTO rows SELECT n, now(), 'order.' || n % 10, repeat(md5(n::text), 8), n % 10000 / 7.0, n % 2 = 0 FROM generate_series(1, {rows}) n;
             CREATE PUBLICATION bench FOR TABLE rows"
        ));
        stack.sql("VACUUM (FREEZE, ANALYZE) rows");
        stack.sql("CHECKPOINT");
        stack.sql("SELECT sum(hashtext(r::text)::bigint) FROM rows r");
    }

    /// A line for each contender; the medians of rows a second.
    fn print(&self, results: &[(Contender, Vec<Drain>)]) -> Vec<(Contender, f64)> {
        let rows = self.options.rows as f64;
        let pages = "SELECT pg_relation_size('rows') / 1000000";
        let megabytes: f64 = self.stack.sql(pages)[0].parse().unwrap();
        println!(
            "\n{rows} rows of about 350 bytes ({megabytes} MB), chunks of {} MiB; medians of {} rounds (quartiles)",
            self.options.chunk, self.options.rounds
        );
        println!(
            "{:<42} {:>9} {:>22} {:>14} {:>9}",
            "", "rows/s", "", "CPU s/M rows", "peak MB"
        );
        let line = |(contender, copies): &(Contender, Vec<Drain>)| {
            let quartiles = |value: fn(&Drain) -> f64| {
                let mut values: Vec<f64> = copies.iter().map(value).collect();
                values.sort_by(f64::total_cmp);
                [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
            };
            let [short, median, long] = quartiles(|copy| copy.seconds);
            println!(
                "{:<42} {:>9.0} {:>22} {:>14.2} {:>9.1}",
                contender.to_string(),
                rows / median,
                format!("({:.0} to {:.0})", rows / long, rows / short),
                quartiles(|copy| copy.cpu)[1] / rows * 1e6,
                quartiles(|copy| copy.memory as f64)[1] / 1e6,
            );
            (*contender, rows / median)
        };
        results.iter().map(line).collect()
    }
}
