//! Cost of decoding: a message of the stream into the values of all its columns, nothing else.
//!
//! ```sh
//! cargo bench -p pgcdc --bench pgoutput
//! ```
//!
//! Time is for one message; throughput is its bytes. The last line is the number of heap allocations a row.

// Helpers of benches may panic.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use pgcdc::pgoutput::{Message, OldTuple, PrepareMessage, Tuple, TupleBuffer, Value, decode};

#[path = "../src/pgoutput/encode.rs"]
mod encode;

/// An encoded message, with its description.
struct Case {
    format: &'static str,
    row: &'static str,
    /// Rows in it: an update may have the old one as well.
    rows: u64,
    message: Vec<u8>,
}

fn main() {
    let cases = cases();
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("decode");
    for case in &cases {
        group.throughput(Throughput::Bytes(case.message.len().try_into().unwrap()));
        let id = BenchmarkId::new(case.format, case.row);
        group.bench_function(id, |b| b.iter(|| decoded(black_box(&case.message))));
    }
    group.finish();
    criterion.final_summary();
    let mut most = 0;
    for case in &cases {
        let used = allocation_counter::measure(|| decoded(&case.message));
        let a_row = used.count_total / case.rows;
        println!(
            "{} {}: {a_row} allocations a row, {} bytes of the heap for a message of {}",
            case.format,
            case.row,
            used.bytes_max,
            case.message.len()
        );
        most = most.max(a_row);
    }
    println!("pgoutput allocations_per_row={most}");
}

/// Decodes a message, and reads every value of its rows.
fn decoded(message: &[u8]) {
    let take = |row: &Tuple<'_>| row.iter().for_each(|value| _ = black_box(value));
    match decode(message) {
        Ok(Message::Insert { new, .. }) => take(&new),
        Ok(Message::Update {
            old: Some(OldTuple::Full(old)),
            new,
            ..
        }) => {
            take(&old);
            take(&new);
        }
        other => panic!("{other:?}"),
    }
}

/// Typical rows: a counter, an event of an outbox, a wide table of a shop.
fn cases() -> Vec<Case> {
    let payload = format!("{{\"name\":\"{}\"}}", "x".repeat(220));
    let id = "0191c0de-0000-7000-8000-000000000001";
    let counter = [Value::Text("41"), Value::Text("1795523696")];
    let event = [
        Value::Text("20261124-021133-7f3a9c"),
        Value::Text(id),
        Value::Text("12345"),
        Value::Text("UserCreated"),
        Value::Text("user"),
        Value::Text(id),
        Value::Text(&payload),
        Value::Text("2026-11-24 12:34:56.789012+00"),
    ];
    let wide: Vec<_> = (0..40)
        .map(|column| match column % 4 {
            0 => Value::Text("1234567"),
            1 => Value::Text("a name of twenty ch."),
            2 => Value::Null,
            _ => Value::Text("2026-11-24"),
        })
        .collect();
    let binary_counter = [Value::Binary(&[0; 8]), Value::Binary(&[0; 8])];
    let binary_event = [
        Value::Binary(b"20261124-021133-7f3a9c"),
        Value::Binary(&[7; 16]),
        Value::Binary(&[0; 8]),
        Value::Binary(b"UserCreated"),
        Value::Binary(b"user"),
        Value::Binary(&[7; 16]),
        Value::Binary(payload.as_bytes()),
        Value::Binary(&[0; 8]),
    ];
    let binary_wide: Vec<_> = (0..40)
        .map(|column| match column % 4 {
            0 => Value::Binary(&[0; 4]),
            1 => Value::Binary(b"a name of twenty ch."),
            2 => Value::Null,
            _ => Value::Binary(&[0; 4]),
        })
        .collect();
    let text = of_format("text", &counter, &event, &wide);
    let binary = of_format("binary", &binary_counter, &binary_event, &binary_wide);
    text.into_iter().chain(binary).collect()
}

fn of_format(
    format: &'static str,
    counter: &[Value<'_>],
    event: &[Value<'_>],
    wide: &[Value<'_>],
) -> [Case; 4] {
    let case = |row, rows, message: &Message<'_>| Case {
        format,
        row,
        rows,
        message: encode::encode(message),
    };
    let [counter, event, wide] =
        [counter, event, wide].map(|values| values.iter().copied().collect::<TupleBuffer>());
    let insert = |new| Message::Insert {
        relation: 16_384,
        new,
    };
    let update = Message::Update {
        relation: 16_384,
        old: Some(OldTuple::Full(event.tuple())),
        new: event.tuple(),
    };
    [
        case("insert of 2 columns", 1, &insert(counter.tuple())),
        case("insert of 8 columns, an event", 1, &insert(event.tuple())),
        case("insert of 40 columns", 1, &insert(wide.tuple())),
        case("update of 8 columns, with the old row", 2, &update),
    ]
}
