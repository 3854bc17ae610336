//! How documents are best written: one at a time, in bulk, by upserts, by the client's `bulk_write`; by size of batch and
//! number of writers. Then the processing stage beside the best bare loop of upserts.
//!
//! The store is the local stack's: what it is called is the first line printed.
//!
//! ```sh
//! cargo bench --bench store --features bench-stack
//! cargo bench --bench store --features bench-stack -- --seconds 1 --rounds 1   # a first look
//! ```

// Helpers of benches are benches.
#![allow(clippy::unwrap_used, clippy::cast_precision_loss)]

mod inputs;
#[path = "inputs/sinks.rs"]
mod sinks;
#[path = "inputs/spread.rs"]
mod spread;
#[path = "../tests/on_a_stack/stack.rs"]
#[allow(dead_code)]
mod stack;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cdc_bench::consumer::{ConsumerStage, DeadLetters, Decoder, StageConfig};
use cdc_bench::records::{ReceivedRecord, RecordBatch, RecordSource, Topics};
use cdc_bench::store::{COLLECTION, DocumentBatch, MongoStore, Store};
use cdc_bench_model::event::Generator;
use cdc_bench_model::timeline::Clock;
use cdc_bench_stack::StoreEndpoint;
use clap::Parser;
use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::options::{Acknowledgment, ClientOptions, ReplaceOneModel, WriteConcern, WriteModel};
use sinks::Counted;
use spread::Spread;
use stack::TestStack;
use tokio_util::sync::CancellationToken;

const BATCHES: [usize; 4] = [1, 10, 100, 1_000];
const WRITERS: [usize; 3] = [1, 2, 4];

/// What is asked of the bench.
#[derive(Parser)]
struct Options {
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Times that the contenders take their turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Cargo's own.
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strategy {
    InsertOne,
    InsertMany,
    /// One `update` command of upserts: what the stage does.
    Upsert,
    /// The client's `bulk_write` of replacements that insert.
    BulkWrite,
}

impl Strategy {
    const ALL: [Self; 4] = [
        Self::InsertOne,
        Self::InsertMany,
        Self::Upsert,
        Self::BulkWrite,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::InsertOne => "insert_one",
            Self::InsertMany => "insert_many",
            Self::Upsert => "bulk upsert",
            Self::BulkWrite => "client bulk_write",
        }
    }
}

fn main() {
    let options = Options::parse();
    let stack = TestStack::up();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // The driver's own tasks begin with a client.
    let _runs_here = runtime.enter();
    let endpoint = StoreEndpoint {
        uri: stack.env["MONGODB_URI"].clone().into(),
        database: stack.env["MONGODB_DATABASE"].clone(),
    };
    let connected = MongoStore::connect(&endpoint);
    let store = runtime.block_on(connected).unwrap();
    let identity = runtime.block_on(store.identity()).unwrap();
    println!(
        "{} {}, majority and journaled, documents of generated events",
        identity.name, identity.version
    );
    let uri = &stack.env["MONGODB_URI"];
    let parsed = async { ClientOptions::parse(uri).await };
    let mut client_options = runtime.block_on(parsed).unwrap();
    let mut concern = WriteConcern::majority();
    concern.journal = Some(true);
    assert_eq!(concern.w, Some(Acknowledgment::Majority));
    client_options.write_concern = Some(concern);
    let client = mongodb::Client::with_options(client_options).unwrap();
    // More than any store takes in the time.
    let most = usize::try_from(options.seconds).unwrap() * 50_000;
    let bench = Bench {
        records: records(most),
        database: client.database(&endpoint.database),
        client,
        store,
        runtime,
        options,
    };
    let best = bench.strategies();
    bench.stage_beside(best);
}

/// Batch and writers of a loop of upserts.
#[derive(Debug, Clone, Copy)]
struct Setting {
    batch: usize,
    writers: usize,
}

struct Bench {
    /// Of generated events, the same for everybody.
    records: Vec<Vec<u8>>,
    client: mongodb::Client,
    database: mongodb::Database,
    store: MongoStore,
    runtime: tokio::runtime::Runtime,
    options: Options,
}

impl Bench {
    /// DocumentBatch a second by strategy, batch and writers; the best setting of the upserts.
    fn strategies(&self) -> Setting {
        println!(
            "\ndocuments/s ({} s each)  {}",
            self.options.seconds,
            BATCHES.map(|batch| format!("{batch:>9}")).concat()
        );
        let mut best = (
            0.0,
            Setting {
                batch: 1,
                writers: 1,
            },
        );
        for strategy in Strategy::ALL {
            for writers in WRITERS {
                let mut line = String::new();
                for batch in BATCHES {
                    if strategy == Strategy::InsertOne && batch > 1 {
                        continue;
                    }
                    let rate = self.rate(strategy, Setting { batch, writers });
                    line += &format!("{rate:>9.0}");
                    if strategy == Strategy::Upsert && rate > best.0 {
                        best = (rate, Setting { batch, writers });
                    }
                }
                let plural = if writers == 1 { "" } else { "s" };
                println!("{:<18} {writers} writer{plural:<1}{line}", strategy.name());
            }
        }
        best.1
    }

    fn empty(&self) {
        self.runtime.block_on(async {
            self.store.drop_collection().await.unwrap();
            self.store.ensure_indexes().await.unwrap();
        });
    }

    /// Writes until the time is over; documents a second.
    fn rate(&self, strategy: Strategy, setting: Setting) -> f64 {
        self.empty();
        let most = Duration::from_secs(self.options.seconds);
        let batches = documents(&self.records, setting.batch);
        let next = AtomicUsize::new(0);
        let done = AtomicUsize::new(0);
        let began = Instant::now();
        let writer = async || {
            while began.elapsed() < most {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let batch = batches
                    .get(index)
                    .expect("more documents than can be written");
                self.write(strategy, batch).await;
                done.fetch_add(batch.len(), Ordering::Relaxed);
            }
        };
        self.runtime.block_on(async {
            let writers = (0..setting.writers).map(|_| writer());
            futures_util::future::join_all(writers).await;
        });
        done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
    }

    async fn write(&self, strategy: Strategy, batch: &DocumentBatch) {
        let events = self.database.collection::<RawDocumentBuf>(COLLECTION);
        let owned = || batch.iter().map(ToOwned::to_owned);
        match strategy {
            Strategy::InsertOne => {
                for document in owned() {
                    events.insert_one(document).await.unwrap();
                }
            }
            Strategy::InsertMany => {
                events.insert_many(owned()).ordered(false).await.unwrap();
            }
            Strategy::Upsert => {
                self.store.write(batch).await.unwrap();
            }
            Strategy::BulkWrite => {
                let models = batch.iter().map(|document| {
                    let document = Document::try_from(document).unwrap();
                    let id = document.get("_id").unwrap().clone();
                    WriteModel::ReplaceOne(
                        ReplaceOneModel::builder()
                            .namespace(events.namespace())
                            .filter(doc! { "_id": id })
                            .replacement(document)
                            .upsert(true)
                            .build(),
                    )
                });
                self.client
                    .bulk_write(models.collect::<Vec<_>>())
                    .ordered(false)
                    .await
                    .unwrap();
            }
        }
    }

    /// The stage and the best bare loop on the same documents, in turn.
    fn stage_beside(&self, best: Setting) {
        let usual = Setting {
            batch: 100,
            writers: 2,
        };
        let count = self.count_for(best);
        println!(
            "\n{count} documents into the store, documents/s; median of {} rounds (least to most)",
            self.options.rounds
        );
        let contenders = [
            (format!("bare loop, {best}"), best, false),
            (format!("stage, {best}"), best, true),
            (format!("stage, {usual} (as it comes)"), usual, true),
        ];
        let mut rates = contenders.each_ref().map(|_| Vec::new());
        for _ in 0..self.options.rounds {
            for ((_, setting, is_stage), rates) in contenders.iter().zip(&mut rates) {
                self.empty();
                rates.push(if *is_stage {
                    self.stage(*setting, count)
                } else {
                    self.bare(*setting, count)
                });
            }
        }
        let medians = contenders.iter().zip(rates).map(|((name, ..), rates)| {
            let rate = Spread::of(rates);
            println!("{name:<52} {rate:>25}");
            rate.median
        });
        let medians: Vec<f64> = medians.collect();
        println!(
            "\nstore stage_to_best_bare_loop={:.2} stage_as_it_comes_to_best_bare_loop={:.2}",
            medians[1] / medians[0],
            medians[2] / medians[0]
        );
    }

    /// DocumentBatch for some seconds of the best loop.
    fn count_for(&self, best: Setting) -> usize {
        let rate = self.rate(Strategy::Upsert, best);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let count = (rate * 2.0 * self.options.seconds as f64) as usize;
        count.clamp(2_000, self.records.len())
    }

    fn bare(&self, setting: Setting, count: usize) -> f64 {
        let batches = documents(&self.records[..count], setting.batch);
        let next = AtomicUsize::new(0);
        let began = Instant::now();
        let writer = async || {
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.store.write(batch).await.unwrap();
            }
        };
        self.runtime.block_on(async {
            let writers = (0..setting.writers).map(|_| writer());
            futures_util::future::join_all(writers).await;
        });
        count as f64 / began.elapsed().as_secs_f64()
    }

    fn stage(&self, setting: Setting, count: usize) -> f64 {
        let source = Prepared(batches_of_records(&self.records[..count]).into_iter());
        let config = StageConfig {
            topics: Topics::one("bench"),
            batch_size: setting.batch,
            writes_in_flight: setting.writers,
            workers: 2,
            store_outage: Duration::from_secs(10),
        };
        let observer = Arc::new(Counted::default());
        let letters = DeadLetters::at(std::env::temp_dir().join("cdc-bench-no-letters"));
        let seen = Arc::clone(&observer);
        let stage = ConsumerStage::new(
            source,
            self.store.clone(),
            seen,
            letters,
            config,
            Clock::start(),
        );
        self.runtime.block_on(async {
            let began = Instant::now();
            let (_, end) = tokio::spawn(stage.run(CancellationToken::new()))
                .await
                .unwrap();
            end.unwrap();
            assert_eq!(observer.written.load(Ordering::Relaxed), count as u64);
            count as f64 / began.elapsed().as_secs_f64()
        })
    }
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} a write, {} in flight", self.batch, self.writers)
    }
}

fn records(count: usize) -> Vec<Vec<u8>> {
    Generator::new(42, jiff::Timestamp::UNIX_EPOCH)
        .take(count)
        .map(|row| inputs::record(&row))
        .collect()
}

fn documents(records: &[Vec<u8>], batch: usize) -> Vec<DocumentBatch> {
    let mut decoder = Decoder::default();
    let mut batches: Vec<DocumentBatch> = Vec::new();
    for record in records {
        if batches.last().is_none_or(|last| last.len() == batch) {
            batches.push(DocumentBatch::default());
        }
        let last = batches.last_mut().unwrap();
        let decoded = decoder.decode(Some(record), |_| true, |_| last);
        assert!(decoded.unwrap().is_some());
    }
    batches
}

fn batches_of_records(records: &[Vec<u8>]) -> Vec<RecordBatch> {
    let received = Clock::start().now();
    let mut batches: Vec<RecordBatch> = Vec::new();
    for (offset, value) in (0..).zip(records) {
        if batches.last().is_none_or(|last| last.len() == 256) {
            batches.push(RecordBatch::default());
        }
        batches.last_mut().unwrap().push(ReceivedRecord {
            value: Some(value),
            partition: 0,
            offset,
            appended: None,
            received,
        });
    }
    batches
}

/// A source of what was prepared.
struct Prepared(std::vec::IntoIter<RecordBatch>);

impl RecordSource for Prepared {
    async fn recv(&mut self) -> Option<RecordBatch> {
        self.0.next()
    }

    fn written(&mut self, _: i32, _: i64) {}
}
