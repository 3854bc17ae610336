//! The stage between a source and a store that a test controls.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use tokio::sync::Notify;
use uuid::Uuid;

use super::*;
use crate::json::TextBuffer;
use crate::records::{ReceivedRecord, Topics};
use crate::store::{DocumentBatch, RefusedDocument, StoreError, document_id};
use cdc_bench_model::event::{EventId, EventType};
use cdc_bench_model::timeline::Stamp;

const PARTITIONS: i32 = 3;

/// The run that an event is of: neighbours are of different ones.
fn run_of(n: u64) -> String {
    format!("r{}", n % 3)
}

/// The record of an event: number `n`, of one of a few aggregates.
fn event(n: u64, aggregate: u64) -> Vec<u8> {
    let id = Uuid::from_u128(u128::from(n) + 1);
    let (aggregate, run) = (Uuid::from_u64_pair(7, aggregate), run_of(n));
    format!(
        r#"{{"before":null,"after":{{"id":"{id}","run_id":"{run}","seq":{n},"event_type":"ParticipantJoined","aggregate_type":"activity","aggregate_id":"{aggregate}","payload":"{{\"n\": {n}}}","created_at":"2026-11-24T02:11:33.123456Z"}},"source":{{"lsn":1,"txId":2}},"op":"c","ts_ns":3}}"#
    )
    .into_bytes()
}

/// Batches of records, the offsets of each partition without gaps.
fn batches(values: Vec<Vec<u8>>, sizes: impl Iterator<Item = usize>) -> Vec<RecordBatch> {
    let mut offsets = [0; PARTITIONS as usize];
    let mut values = values.into_iter().enumerate();
    let mut batches = Vec::new();
    for size in sizes {
        let mut batch = RecordBatch::default();
        for (n, value) in values.by_ref().take(size) {
            let partition = n % offsets.len();
            batch.push(ReceivedRecord {
                value: Some(&value),
                partition: i32::try_from(partition).unwrap(),
                offset: offsets[partition],
                appended: None,
                received: Stamp(0),
            });
            offsets[partition] += 1;
        }
        if batch.is_empty() {
            break;
        }
        batches.push(batch);
    }
    batches
}

/// What the source, the store and the observer of a stage have seen.
#[derive(Default)]
struct World {
    /// Ids in the store, and in which order each came.
    stored: Mutex<Vec<EventId>>,
    /// Sizes of the writes that were begun.
    writes: Mutex<Vec<usize>>,
    /// Most writes that were in flight.
    in_flight: (AtomicUsize, AtomicUsize),
    /// The last offset released of each partition, and how many were released before they were written.
    released: Mutex<HashMap<i32, i64>>,
    too_early: AtomicUsize,
    dead_letters: Mutex<Vec<DeadLetter>>,
    reported: Mutex<Vec<(String, u64)>>,
    received: AtomicUsize,
}

struct TestSource {
    batches: std::vec::IntoIter<RecordBatch>,
    /// Event of each record, by partition and offset; `None`: one that makes no document.
    events: HashMap<(i32, i64), Option<EventId>>,
    world: Arc<World>,
    ends: bool,
}

impl TestSource {
    fn of(batches: Vec<RecordBatch>, world: &Arc<World>) -> Self {
        let mut events = HashMap::new();
        for record in batches.iter().flat_map(RecordBatch::iter) {
            let id =
                crate::debezium::Envelope::parse(record.value.unwrap(), &mut TextBuffer::default())
                    .ok()
                    .and_then(|envelope| envelope.into_inserted())
                    .map(|row| row.id);
            events.insert((record.partition, record.offset), id);
        }
        Self {
            batches: batches.into_iter(),
            events,
            world: Arc::clone(world),
            ends: true,
        }
    }
}

impl RecordSource for TestSource {
    async fn recv(&mut self) -> Option<RecordBatch> {
        tokio::task::yield_now().await;
        match self.batches.next() {
            Some(batch) => {
                self.world
                    .received
                    .fetch_add(batch.len(), Ordering::Relaxed);
                Some(batch)
            }
            None if self.ends => None,
            None => std::future::pending().await,
        }
    }

    fn written(&mut self, partition: i32, offset: i64) {
        let stored: HashSet<EventId> = self.world.stored.lock().unwrap().iter().copied().collect();
        let dead_letters = self.world.dead_letters.lock().unwrap();
        let mut released = self.world.released.lock().unwrap();
        let from = released
            .insert(partition, offset)
            .map_or(0, |last| last + 1);
        for offset in from..=offset {
            let dealt_with = match self.events[&(partition, offset)] {
                Some(id) => stored.contains(&id) || dead_letters.iter().any(|l| l.id == Some(id)),
                None => dead_letters
                    .iter()
                    .any(|l| (l.partition, l.offset) == (partition, offset)),
            };
            if !dealt_with {
                self.world.too_early.fetch_add(1, Ordering::Relaxed);
            }
        }
        assert!(from <= offset, "offsets ascend");
    }
}

/// A store that takes its time: so many turns of the runtime for each write, in rotation.
struct SlowStore {
    world: Arc<World>,
    turns: Vec<usize>,
    /// Errors before the first write succeeds.
    failures: AtomicUsize,
    /// Documents it refuses.
    refuses: fn(EventId) -> bool,
    /// Waits for this with every write, where there is one.
    gate: Option<Arc<Notify>>,
}

impl SlowStore {
    fn new(world: &Arc<World>, turns: Vec<usize>) -> Self {
        Self {
            world: Arc::clone(world),
            turns,
            failures: AtomicUsize::new(0),
            refuses: |_| false,
            gate: None,
        }
    }
}

impl Store for SlowStore {
    async fn write(&self, documents: &DocumentBatch) -> Result<BulkOutcome, StoreError> {
        let world = &self.world;
        let number = {
            let mut writes = world.writes.lock().unwrap();
            writes.push(documents.len());
            writes.len()
        };
        let now = world.in_flight.0.fetch_add(1, Ordering::Relaxed) + 1;
        world.in_flight.1.fetch_max(now, Ordering::Relaxed);
        for _ in 0..self.turns[number % self.turns.len()] {
            tokio::task::yield_now().await;
        }
        if let Some(gate) = &self.gate {
            gate.notified().await;
        }
        world.in_flight.0.fetch_sub(1, Ordering::Relaxed);
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.fetch_sub(1, Ordering::Relaxed);
            return Err(StoreError::Unreachable {
                server: "h:1".to_owned(),
                cause: "away".to_owned(),
            });
        }
        let mut outcome = BulkOutcome::default();
        for (index, document) in documents.iter().enumerate() {
            let id = document_id(document).unwrap();
            if (self.refuses)(id) {
                outcome.refusals.push(RefusedDocument {
                    index,
                    code: 121,
                    message: "no".to_owned(),
                });
            } else {
                world.stored.lock().unwrap().push(id);
                outcome.inserted += 1;
            }
        }
        Ok(outcome)
    }
}

impl StageObserver for World {
    fn wants(&self, run_id: &str) -> bool {
        run_id.starts_with('r')
    }

    fn consumed(&self, _: &str, _: u64) {}

    fn written(&self, run_id: &str, id: EventId, _: EventType, seq: u64, stamps: ConsumerStamps) {
        assert_eq!(id.0, Uuid::from_u128(u128::from(seq) + 1));
        assert!(stamps.t5 >= stamps.t4);
        self.reported.lock().unwrap().push((run_id.to_owned(), seq));
    }

    fn dead_letter(&self, dead_letter: &DeadLetter) {
        self.dead_letters.lock().unwrap().push(dead_letter.clone());
    }
}

fn config(batch_size: usize, writes_in_flight: usize, workers: usize) -> StageConfig {
    StageConfig {
        topics: Topics::one("t"),
        batch_size,
        writes_in_flight,
        workers,
        store_outage: Duration::from_secs(60),
    }
}

/// Runs a stage to the end of its records.
fn run(
    source: TestSource,
    store: SlowStore,
    config: StageConfig,
    dead_letters: &std::path::Path,
) -> Result<StageEnd, StageError> {
    let world = Arc::clone(&source.world);
    let dead_letters = DeadLetters::at(dead_letters.join("letters"));
    let stage = ConsumerStage::new(source, store, world, dead_letters, config, Clock::start());
    runtime().block_on(stage.run(CancellationToken::new())).1
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn everything_is_written_in_the_order_of_its_aggregate_and_released_no_earlier(
        aggregates in prop::collection::vec(0..5_u64, 1..400),
        sizes in prop::collection::vec(1..90_usize, 1..8),
        turns in prop::collection::vec(0..12_usize, 1..6),
        (batch_size, lanes, workers) in (1..30_usize, 1..6_usize, 1..4_usize),
        damaged in prop::collection::hash_set(0..400_usize, 0..6),
    ) {
        let world = Arc::new(World::default());
        let values: Vec<Vec<u8>> = (0..)
            .zip(&aggregates)
            .map(|(n, aggregate)| {
                let whole = event(n, *aggregate);
                let damaged = damaged.contains(&usize::try_from(n).unwrap());
                if damaged { whole[..whole.len() / 2].to_vec() } else { whole }
            })
            .collect();
        let damaged = damaged.iter().filter(|n| **n < values.len()).count();
        let batches = batches(values, sizes.into_iter().cycle());
        let source = TestSource::of(batches, &world);
        let folder = tempfile::tempdir().unwrap();
        let store = SlowStore::new(&world, turns);
        let end = run(source, store, config(batch_size, lanes, workers), folder.path());
        prop_assert_eq!(end.unwrap(), StageEnd::Exhausted);

        let stored = world.stored.lock().unwrap();
        prop_assert_eq!(stored.len(), aggregates.len() - damaged);
        prop_assert_eq!(stored.iter().collect::<HashSet<_>>().len(), stored.len(), "nothing twice");
        let mut last = HashMap::new();
        for id in &*stored {
            let n = id.0.as_u128() - 1;
            let aggregate = aggregates[usize::try_from(n).unwrap()];
            prop_assert!(last.insert(aggregate, n).is_none_or(|before| before < n), "in order");
        }
        prop_assert_eq!(world.too_early.load(Ordering::Relaxed), 0);
        for (partition, offset) in &*world.released.lock().unwrap() {
            let partition = usize::try_from(*partition).unwrap();
            let count = (aggregates.len() + 2 - partition) / 3;
            prop_assert_eq!(usize::try_from(*offset + 1).unwrap(), count, "all released at the end");
        }
        prop_assert_eq!(world.dead_letters.lock().unwrap().len(), damaged);
        prop_assert_eq!(world.reported.lock().unwrap().len(), stored.len());
        prop_assert!(world.reported.lock().unwrap().iter().all(|(run, n)| *run == run_of(*n)));
        prop_assert!(world.writes.lock().unwrap().iter().all(|size| *size <= batch_size));
        prop_assert!(world.in_flight.1.load(Ordering::Relaxed) <= lanes);
    }
}

#[test]
fn a_single_event_goes_at_once_and_a_burst_in_bulk() {
    let world = Arc::new(World::default());
    let values = (0..201).map(|n| event(n, 0)).collect();
    // One event, and while it is being written two hundred more.
    let sizes = [1].into_iter().chain(std::iter::repeat(50));
    let source = TestSource::of(batches(values, sizes), &world);
    let folder = tempfile::tempdir().unwrap();
    let store = SlowStore::new(&world, vec![200]);
    run(source, store, config(100, 4, 1), folder.path()).unwrap();
    assert_eq!(*world.writes.lock().unwrap(), [1, 100, 100]);
}

#[test]
fn a_store_that_does_not_answer_stops_the_taking() {
    let world = Arc::new(World::default());
    let values = (0..20_000).map(|n| event(n, n)).collect();
    let source = TestSource::of(batches(values, std::iter::repeat(100)), &world);
    let gate = Arc::new(Notify::new());
    let mut store = SlowStore::new(&world, vec![0]);
    store.gate = Some(Arc::clone(&gate));
    let folder = tempfile::tempdir().unwrap();
    let dead_letters = DeadLetters::at(folder.path().join("letters"));
    let observer = Arc::clone(&world) as Arc<dyn StageObserver>;
    let stage = ConsumerStage::new(
        source,
        store,
        observer,
        dead_letters,
        config(100, 4, 2),
        Clock::start(),
    );
    runtime().block_on(async {
        let stage = tokio::spawn(stage.run(CancellationToken::new()));
        // It takes what it may, and no more however long it waits.
        let mut before = usize::MAX;
        while before != world.received.load(Ordering::Relaxed) {
            before = world.received.load(Ordering::Relaxed);
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
        }
        assert!(
            (MIN_RECORDS_IN_FLIGHT..MIN_RECORDS_IN_FLIGHT + 300).contains(&before),
            "{before}"
        );
        assert_eq!(world.in_flight.0.load(Ordering::Relaxed), 4);
        assert!(world.released.lock().unwrap().is_empty());
        while !stage.is_finished() {
            gate.notify_waiters();
            tokio::task::yield_now().await;
        }
        assert_eq!(stage.await.unwrap().1.unwrap(), StageEnd::Exhausted);
    });
    assert_eq!(world.stored.lock().unwrap().len(), 20_000);
}

#[test]
fn a_store_that_comes_back_gets_everything_once() {
    let world = Arc::new(World::default());
    let values = (0..30).map(|n| event(n, n)).collect();
    let source = TestSource::of(batches(values, std::iter::repeat(30)), &world);
    let mut store = SlowStore::new(&world, vec![1]);
    store.failures = AtomicUsize::new(3);
    let folder = tempfile::tempdir().unwrap();
    run(source, store, config(10, 2, 1), folder.path()).unwrap();
    assert_eq!(world.stored.lock().unwrap().len(), 30);
    assert_eq!(world.too_early.load(Ordering::Relaxed), 0);
}

#[test]
fn a_store_that_stays_away_ends_the_stage_and_lets_nothing_go() {
    let world = Arc::new(World::default());
    let values = (0..30).map(|n| event(n, n)).collect();
    let source = TestSource::of(batches(values, std::iter::repeat(30)), &world);
    let mut store = SlowStore::new(&world, vec![1]);
    store.failures = AtomicUsize::new(usize::MAX);
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(10, 2, 1);
    config.store_outage = Duration::ZERO;
    let error = run(source, store, config, folder.path()).unwrap_err();
    assert!(matches!(error, StageError::Store { .. }), "{error}");
    assert!(world.released.lock().unwrap().is_empty());
}

#[test]
fn what_the_store_refuses_becomes_a_dead_letter_and_is_released() {
    let world = Arc::new(World::default());
    let values = (0..30).map(|n| event(n, n)).collect();
    let source = TestSource::of(batches(values, std::iter::repeat(30)), &world);
    let mut store = SlowStore::new(&world, vec![1]);
    store.refuses = |id| id.0.as_u128() % 10 == 0;
    let folder = tempfile::tempdir().unwrap();
    run(source, store, config(10, 2, 1), folder.path()).unwrap();
    assert_eq!(world.stored.lock().unwrap().len(), 27);
    assert_eq!(world.too_early.load(Ordering::Relaxed), 0);
    let file = std::fs::read_to_string(folder.path().join("letters")).unwrap();
    let dead_letters: Vec<serde_json::Value> = file
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(dead_letters.len(), 3);
    for dead_letter in dead_letters {
        assert_eq!(dead_letter["reason"], "refused_by_store");
        let message = "refused by the store: no (code 121)";
        assert_eq!(
            (&dead_letter["message"], &dead_letter["store_code"]),
            (&message.into(), &121.into())
        );
        let value = dead_letter["value"].as_str().unwrap();
        assert!(
            value.contains(dead_letter["id"].as_str().unwrap()),
            "its own record"
        );
    }
}

#[test]
fn asked_to_stop_it_writes_what_it_has_taken() {
    let world = Arc::new(World::default());
    let values = (0..500).map(|n| event(n, n)).collect();
    let mut source = TestSource::of(batches(values, std::iter::repeat(50)), &world);
    source.ends = false;
    let store = SlowStore::new(&world, vec![40]);
    let folder = tempfile::tempdir().unwrap();
    let dead_letters = DeadLetters::at(folder.path().join("letters"));
    let observer = Arc::clone(&world) as Arc<dyn StageObserver>;
    let stage = ConsumerStage::new(
        source,
        store,
        observer,
        dead_letters,
        config(10, 2, 2),
        Clock::start(),
    );
    runtime().block_on(async {
        let stop = CancellationToken::new();
        let stage = tokio::spawn(stage.run(stop.clone()));
        while world.stored.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        assert_eq!(stage.await.unwrap().1.unwrap(), StageEnd::Stopped);
    });
    let received = world.received.load(Ordering::Relaxed);
    assert_eq!(world.stored.lock().unwrap().len(), received);
    let released = world.released.lock().unwrap();
    let released: i64 = released.values().map(|offset| offset + 1).sum();
    assert_eq!(usize::try_from(released).unwrap(), received);
}
