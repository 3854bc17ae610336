//! What a consumer costs per event, and where it goes: parse, transform, encode, gather, record. No server.
//!
//! ```sh
//! cargo bench --bench processing                          # all of it, then allocations and ratios
//! cargo bench --bench processing -- parse                 # one group
//! cargo bench --bench processing -- summary               # the allocations and ratios alone
//! cargo bench --bench processing -- --save-baseline old   # as Criterion's users expect
//! ```
//!
//! Times are Criterion's. What is printed after them is measured by itself, contenders in turn in one run: the
//! allocations that an event takes, and the ratios.

// Helpers of benches are benches.
#![allow(clippy::unwrap_used)]

#[path = "inputs/allocations.rs"]
mod allocations;
mod inputs;
#[path = "inputs/other_ways.rs"]
mod other_ways;
#[path = "inputs/sinks.rs"]
mod sinks;

use std::cell::RefCell;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cdc_bench::consumer::{ConsumerStage, DeadLetters, Decoder, StageConfig};
use cdc_bench::debezium::Envelope;
use cdc_bench::json::TextBuffer;
use cdc_bench::records::{ReceivedRecord, RecordBatch, RecordSource, Topics};
use cdc_bench::store::{DocumentBatch, DocumentParts, Payload};
use cdc_bench_model::analysis::SignedHistogram;
use cdc_bench_model::event::{EventId, EventType};
use cdc_bench_model::timeline::{
    CapturePath, Captured, Clock, ConsumerStamps, Corrections, ForeignClocks, Joiner,
};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use inputs::{RUN, SIZES, Size, USUAL};
use other_ways::{BorrowedEnvelope, OwnedEnvelope, by_map, by_trees};
use sinks::{Counted, Nowhere};
use tokio_util::sync::CancellationToken;

/// Records a contender is given in turn, so that none is measured on one that its branches have learned by heart.
const VARIETY: usize = 256;
const BATCHES: [usize; 4] = [1, 10, 100, 1_000];

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    parse(&mut criterion);
    transform(&mut criterion);
    encode(&mut criterion);
    record_to_document(&mut criterion);
    whole_stage(&mut criterion);
    command(&mut criterion);
    stamps(&mut criterion);
    dead_letters(&mut criterion);
    criterion.final_summary();
    // Of one group alone, or of a list, no summary is wanted.
    if std::env::args()
        .skip(1)
        .all(|arg| arg == "--bench" || arg == "summary")
    {
        summary();
    }
}

fn records(size: Size) -> Vec<Vec<u8>> {
    let rows = inputs::rows(size, 42).take(VARIETY);
    rows.map(|row| inputs::record(&row)).collect()
}

/// Goes through the records again and again.
fn in_turn<'r>(records: &'r [Vec<u8>]) -> impl FnMut() -> &'r [u8] {
    let mut next = 0;
    move || {
        next = (next + 1) % records.len();
        &records[next]
    }
}

fn mean_bytes(records: &[Vec<u8>]) -> u64 {
    let sum: usize = records.iter().map(Vec::len).sum();
    (sum / records.len()) as u64
}

/// An envelope out of a record's bytes: our way, and serde_json's into structs that borrow, structs that own, a tree.
fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    for size in SIZES {
        let records = records(size);
        group.throughput(Throughput::Bytes(mean_bytes(&records)));
        let id = |name| BenchmarkId::new(name, size.name);
        group.bench_function(id("ours"), |bench| {
            let mut next = in_turn(&records);
            bench.iter(|| parse_ours(next()));
        });
        group.bench_function(id("borrowed"), |bench| {
            let mut next = in_turn(&records);
            bench.iter(|| parse_borrowed(next()));
        });
        group.bench_function(id("owned"), |bench| {
            let mut next = in_turn(&records);
            bench.iter(|| parse_owned(next()));
        });
        group.bench_function(id("serde_json::Value"), |bench| {
            let mut next = in_turn(&records);
            bench.iter(|| parse_value(next()));
        });
    }
    group.finish();
}

thread_local! {
    /// The payload's text, as a worker keeps one.
    static TEXT: RefCell<TextBuffer> = RefCell::default();
}

/// What our stage reads of a record, the payload as text.
fn parse_ours(record: &[u8]) {
    TEXT.with_borrow_mut(|payload| {
        black_box(Envelope::parse(black_box(record), payload).unwrap());
    });
}

fn parse_borrowed(record: &[u8]) {
    black_box(serde_json::from_slice::<BorrowedEnvelope<'_>>(black_box(record)).unwrap());
}

fn parse_owned(record: &[u8]) {
    black_box(serde_json::from_slice::<OwnedEnvelope>(black_box(record)).unwrap());
}

fn parse_value(record: &[u8]) {
    black_box(serde_json::from_slice::<serde_json::Value>(black_box(record)).unwrap());
}

/// A row to its document, as the generator makes the rows of each type.
fn transform(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transform");
    group.throughput(Throughput::Elements(1));
    for event_type in EventType::ALL {
        let rows: Vec<_> = inputs::rows_of(event_type, 42).take(VARIETY).collect();
        group.bench_function(event_type.as_str(), |bench| {
            let mut documents = DocumentBatch::default();
            let mut next = 0;
            bench.iter(|| {
                next = (next + 1) % rows.len();
                documents.clear();
                documents.push(&parts(&rows[next])).unwrap();
            });
        });
    }
    group.finish();
}

fn parts(row: &cdc_bench_model::event::OutboxRow) -> DocumentParts<'_> {
    DocumentParts {
        id: row.id,
        run_id: RUN,
        seq: row.seq,
        event_type: row.event_type.as_str(),
        aggregate_type: row.event_type.aggregate_type(),
        aggregate_id: row.aggregate_id,
        payload: Payload::Json(&row.payload),
        created_at_us: 1_795_486_293_123_456,
        lsn: Some(24_023_128),
        tx_id: Some(771),
    }
}

/// BSON: written straight into bytes, beside a `Document` that is serialized.
fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for size in SIZES {
        let rows: Vec<_> = inputs::rows(size, 42).take(VARIETY).collect();
        let bytes: usize = rows.iter().map(|row| row.payload.len()).sum();
        group.throughput(Throughput::Bytes((bytes / rows.len()) as u64));
        let id = |name| BenchmarkId::new(name, size.name);
        group.bench_function(id("raw"), |bench| {
            let mut documents = DocumentBatch::default();
            let mut next = 0;
            bench.iter(|| {
                next = (next + 1) % rows.len();
                documents.clear();
                documents.push(&parts(&rows[next])).unwrap();
            });
        });
        group.bench_function(id("Document"), |bench| {
            let mut next = 0;
            bench.iter(|| {
                next = (next + 1) % rows.len();
                by_map(&parts(&rows[next]))
            });
        });
    }
    group.finish();
}

/// A record to the document that is written, without what surrounds it.
fn record_to_document(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record_to_document");
    for size in SIZES {
        let records = records(size);
        group.throughput(Throughput::Bytes(mean_bytes(&records)));
        let id = |name| BenchmarkId::new(name, size.name);
        group.bench_function(id("ours"), |bench| {
            let mut next = in_turn(&records);
            let (mut decoder, mut documents) = (Decoder::default(), DocumentBatch::default());
            bench.iter(|| {
                documents.clear();
                let decoded = decoder.decode(Some(next()), |_| true, |_| &mut documents);
                black_box(decoded.unwrap());
            });
        });
        group.bench_function(id("Value to Document to bytes"), |bench| {
            let mut next = in_turn(&records);
            bench.iter(|| by_trees(black_box(next())));
        });
    }
    group.finish();
}

/// The stage at work on batches of records, into a store that takes everything at once. Per batch.
fn whole_stage(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("stage");
    for size in SIZES {
        let records = records(size);
        for batch in BATCHES {
            let count = STAGE_RECORDS.max(batch);
            let prepared = batches(&records, batch, count);
            group.throughput(Throughput::Elements(count as u64));
            let id = BenchmarkId::new(format!("batches of {batch}"), size.name);
            group.bench_function(id, |bench| {
                bench.iter_batched(
                    || stage(prepared.clone(), Arc::new(Counted::default())),
                    |stage| runtime.block_on(stage.run(CancellationToken::new())).1,
                    BatchSize::LargeInput,
                );
            });
        }
    }
    group.finish();
}

/// Records that a stage is given in one go.
const STAGE_RECORDS: usize = 2_000;

/// DocumentBatch gathered from their batches into the command that one write is.
fn command(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch");
    for batch in BATCHES {
        let mut documents = DocumentBatch::default();
        for row in inputs::rows(USUAL, 42).take(batch) {
            documents.push(&parts(&row)).unwrap();
        }
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::new("append", batch), |bench| {
            let mut gathered = DocumentBatch::default();
            bench.iter(|| {
                gathered.clear();
                gathered.append(&documents, 0..batch);
            });
        });
        group.bench_function(BenchmarkId::new("update command", batch), |bench| {
            bench.iter(|| documents.insert_command());
        });
    }
    group.finish();
}

/// What measuring costs: the clock, a histogram, and the joining of an event's stamps.
fn stamps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stamps");
    group.throughput(Throughput::Elements(1));
    let clock = Clock::start();
    group.bench_function("clock", |bench| bench.iter(|| clock.now()));
    group.bench_function("histogram", |bench| {
        let mut histogram = SignedHistogram::default();
        let start = clock.now();
        bench.iter(|| histogram.record(clock.now() - start));
    });
    group.bench_function("join", |bench| {
        let clocks = Arc::new(ForeignClocks::new(Corrections::default()));
        let joiner = Joiner::new(CapturePath::Debezium.in_kafka(true), clocks);
        let rows: Vec<_> = inputs::rows(SIZES[0], 42).take(VARIETY).collect();
        let mut seq = 0;
        bench.iter(|| {
            seq += 1;
            let id = rows[usize::try_from(seq).unwrap() % VARIETY].id;
            join(&joiner, id, seq, clock)
        });
    });
    group.finish();
}

/// Every stamp of one event, into the joiner and out of it.
fn join(joiner: &Joiner, id: EventId, seq: u64, clock: Clock) -> bool {
    let now = clock.now();
    joiner.sending(id, seq, EventType::UserCreated, now, now);
    joiner.acknowledged(id, seq, now);
    let captured = Captured {
        tc: now,
        t1: now,
        lsn: seq,
        commit_lsn: seq,
        xid: 1,
    };
    joiner.captured(id, seq, captured);
    joiner.consumed(seq);
    let written = ConsumerStamps {
        td: Some(now),
        t2: Some(now),
        t3: now,
        t4: now,
        t5: now,
        source_lsn: Some(seq),
        source_xid: Some(1),
        partition: None,
    };
    joiner.written(id, seq, written).is_some()
}

/// Records that cannot be decoded: refused, and the stage that puts them aside into a file.
fn dead_letters(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("dead_letters");
    let damaged: Vec<Vec<u8>> = records(USUAL)
        .into_iter()
        .map(|mut record| {
            record.truncate(record.len() / 2);
            record
        })
        .collect();
    group.throughput(Throughput::Elements(1));
    group.bench_function("refused", |bench| {
        let mut next = in_turn(&damaged);
        let (mut decoder, mut documents) = (Decoder::default(), DocumentBatch::default());
        bench.iter(|| {
            let decoded = decoder.decode(Some(next()), |_| true, |_| &mut documents);
            decoded.unwrap_err()
        });
    });
    for batch in [1, 100] {
        let prepared = batches(&damaged, batch, batch);
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::new("put aside", batch), |bench| {
            bench.iter_batched(
                || stage(prepared.clone(), Arc::new(Counted::default())),
                |stage| runtime.block_on(stage.run(CancellationToken::new())).1,
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// `count` records, `batch` of them at a time.
fn batches(records: &[Vec<u8>], batch: usize, count: usize) -> Vec<RecordBatch> {
    let received = Clock::start().now();
    let mut batches = Vec::new();
    let mut values = records.iter().cycle();
    for begin in (0..count).step_by(batch) {
        let mut together = RecordBatch::default();
        for offset in begin..count.min(begin + batch) {
            together.push(ReceivedRecord {
                value: values.next().map(Vec::as_slice),
                partition: 0,
                offset: i64::try_from(offset).unwrap(),
                appended: Some(received),
                received,
            });
        }
        batches.push(together);
    }
    batches
}

fn stage(batches: Vec<RecordBatch>, observer: Arc<Counted>) -> ConsumerStage<Prepared, Nowhere> {
    let config = StageConfig {
        topics: Topics::one("bench"),
        batch_size: 100,
        writes_in_flight: 4,
        workers: 1,
        store_outage: Duration::ZERO,
    };
    let file = std::env::temp_dir().join(format!("cdc-bench-letters-{}", std::process::id()));
    // What an earlier stage has left.
    drop(std::fs::remove_file(&file));
    ConsumerStage::new(
        Prepared(batches.into_iter()),
        Nowhere,
        observer,
        DeadLetters::at(file),
        config,
        Clock::start(),
    )
}

/// A source of what was prepared.
struct Prepared(std::vec::IntoIter<RecordBatch>);

impl RecordSource for Prepared {
    async fn recv(&mut self) -> Option<RecordBatch> {
        self.0.next()
    }

    fn written(&mut self, partition: i32, offset: i64) {
        black_box((partition, offset));
    }
}

/// Its name, and one round of it.
type Contender<'a> = (&'static str, Box<dyn FnMut() + 'a>);

/// One round of a contender.
fn over_all<'a>(records: &'a [Vec<u8>], mut work: impl FnMut(&[u8]) + 'a) -> Box<dyn FnMut() + 'a> {
    Box::new(move || (0..ROUND_RECORDS).for_each(|n| work(&records[n % records.len()])))
}

/// Rounds of the summary, and records a round.
const ROUNDS: usize = 15;
const ROUND_RECORDS: usize = 4_000;

/// Allocations and ratios: all contenders in turn, in one run.
fn summary() {
    println!(
        "\nper record                             size    record  document        ns  allocations  bytes allocated"
    );
    let mut ratios = Vec::new();
    for size in SIZES {
        let records = records(size);
        let (mut decoder, mut documents) = (Decoder::default(), DocumentBatch::default());
        for record in &records {
            let decoded = decoder.decode(Some(record), |_| true, |_| &mut documents);
            decoded.unwrap();
            let last = documents.get(documents.len() - 1);
            assert_eq!(last.as_bytes(), by_trees(record), "not the same document");
        }
        let document_bytes = documents.bytes(0..documents.len()) / documents.len();
        let runtime = runtime();
        let prepared = batches(&records, 100, ROUND_RECORDS);
        let mut gathered = DocumentBatch::default();
        let mut contenders: Vec<Contender<'_>> = vec![
            ("parse: ours", over_all(&records, parse_ours)),
            ("parse: borrowed", over_all(&records, parse_borrowed)),
            ("parse: owned", over_all(&records, parse_owned)),
            ("parse: serde_json::Value", over_all(&records, parse_value)),
            (
                "record to document: ours",
                over_all(&records, |record| {
                    if gathered.len() == 100 {
                        gathered.clear();
                    }
                    let decoded = decoder.decode(Some(record), |_| true, |_| &mut gathered);
                    black_box(decoded.unwrap());
                }),
            ),
            (
                "record to document: by trees",
                over_all(&records, |record| {
                    black_box(by_trees(record));
                }),
            ),
        ];
        let mut times = vec![Vec::new(); contenders.len() + 1];
        let mut counts = vec![(0, 0); contenders.len() + 1];
        for _ in 0..ROUNDS {
            for (index, (_, work)) in contenders.iter_mut().enumerate() {
                let began = Instant::now();
                counts[index] = allocations::allocations(&mut *work);
                times[index].push(began.elapsed());
            }
            let stage = stage(prepared.clone(), Arc::new(Counted::default()));
            let began = Instant::now();
            let last = contenders.len();
            counts[last] = allocations::allocations(|| {
                drop(runtime.block_on(stage.run(CancellationToken::new())));
            });
            times[last].push(began.elapsed());
        }
        let names = contenders.iter().map(|(name, _)| *name);
        let names: Vec<&str> = names.chain(["whole stage, batches of 100"]).collect();
        let mut medians = Vec::new();
        for ((name, times), (calls, bytes)) in names.iter().zip(&mut times).zip(&counts) {
            times.sort();
            let per_record = |sum: f64| sum / ROUND_RECORDS as f64;
            let ns = per_record(times[ROUNDS / 2].as_secs_f64() * 1e9);
            medians.push((ns, per_record(*calls as f64)));
            println!(
                "{name:<36} {:>6} {:>9} {document_bytes:>9} {ns:>9.0} {:>12.2} {:>16.0}",
                size.name,
                mean_bytes(&records),
                per_record(*calls as f64),
                per_record(*bytes as f64)
            );
        }
        let [parse, borrowed, _, _, ours, trees, stage] = medians[..] else {
            unreachable!("seven contenders");
        };
        ratios.push(format!(
            "processing size={:?} stage_to_borrowed_parse={:.2} stage_to_our_parse={:.2} trees_to_document={:.2} trees_to_stage={:.2} stage_allocations={:.2}",
            size.name,
            stage.0 / borrowed.0,
            stage.0 / parse.0,
            trees.0 / ours.0,
            trees.0 / stage.0,
            stage.1,
        ));
    }
    println!();
    ratios.iter().for_each(|line| println!("{line}"));
}
