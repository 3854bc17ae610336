//! The consumer stage: workers decode the records, lanes queue the documents, the store acknowledges them, and their
//! offsets are released to the source.
//!
//! There is no timer: an event is written at once when its lane is idle; events that queue up behind a write are written
//! together, as many as a write may hold.
//!
//! Batches of records are decoded in parallel and enter the lanes in the order they were received. An aggregate has one
//! lane, and a lane one write in flight, so the events of an aggregate are written in their order. The offsets of a
//! partition are released in order, when every record up to them is written, skipped or in the dead letters.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{FuturesOrdered, FuturesUnordered};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::decode_batch::{DecodedBatch, decode_batch};
use super::in_flight::InFlight;
use super::lane::{Lane, PendingEvent};
use super::write::{FinishedWrite, write_with_retries};
use super::{DeadLetter, DeadLetters, Decoder, Rejected, StageError, StageObserver};
use crate::records::{RecordBatch, RecordSource, Topics};
use crate::store::{BulkOutcome, Store};
use cdc_bench_model::timeline::{Clock, ConsumerStamps};

/// Fewer records than this are decoded in place: passing them to a worker would take longer.
const MIN_RECORDS_FOR_WORKER: usize = 32;
/// Records that may be in flight whatever the size and number of writes; more where those need more.
const MIN_RECORDS_IN_FLIGHT: usize = 2_048;
/// Bytes of records in flight from which on no more are received.
const MAX_BYTES_IN_FLIGHT: usize = 16 * 1024 * 1024;

/// Settings of the stage.
#[derive(Debug, Clone)]
pub struct StageConfig {
    /// Topics of the records, for dead letters.
    pub topics: Topics,
    /// Most documents in one write.
    pub batch_size: usize,
    /// Most writes in flight. The documents of one aggregate are never in two of them.
    pub writes_in_flight: usize,
    /// Workers that decode batches of records; with 1 the stage's own task decodes.
    pub workers: usize,
    /// How long the store may be unavailable before the stage fails.
    pub store_outage: Duration,
}

/// How the stage ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageEnd {
    /// No more records.
    Exhausted,
    /// It was stopped; what it had received is written.
    Stopped,
}

/// The stage between a source of records and a store.
pub struct ConsumerStage<R, S> {
    source: R,
    store: Arc<S>,
    observer: Arc<dyn StageObserver>,
    dead_letters: DeadLetters,
    config: StageConfig,
    clock: Clock,
    in_flight: InFlight,
    decoding: FuturesOrdered<JoinHandle<DecodedBatch>>,
    /// Where the workers are; `None`: where the stage runs.
    decoders: Option<Handle>,
    /// Decoders that are not in use, with what they have learned of the records.
    idle_decoders: Vec<Decoder>,
    lanes: Vec<Lane>,
    writing: FuturesUnordered<WriteInFlight>,
    /// Dead letters on their way to file and topic.
    saving: FuturesUnordered<SaveInFlight>,
}

type WriteInFlight = Pin<Box<dyn Future<Output = FinishedWrite> + Send>>;
type SaveInFlight = Pin<Box<dyn Future<Output = Result<SavedDeadLetters, StageError>> + Send>>;

/// Dead letters that are saved.
struct SavedDeadLetters {
    dead_letters: Arc<Vec<DeadLetter>>,
    /// Number of each one's batch.
    batches: Vec<u64>,
}

impl<R: RecordSource, S: Store + 'static> ConsumerStage<R, S> {
    /// A stage between `source` and `store`.
    pub fn new(
        source: R,
        store: S,
        observer: Arc<dyn StageObserver>,
        dead_letters: DeadLetters,
        config: StageConfig,
        clock: Clock,
    ) -> Self {
        let mut lanes = Vec::new();
        lanes.resize_with(config.writes_in_flight.max(1), Lane::default);
        Self {
            source,
            store: Arc::new(store),
            observer,
            dead_letters,
            config,
            clock,
            in_flight: InFlight::default(),
            decoding: FuturesOrdered::new(),
            decoders: None,
            idle_decoders: Vec::new(),
            lanes,
            writing: FuturesUnordered::new(),
            saving: FuturesUnordered::new(),
        }
    }

    /// Has its workers on this runtime, and not on the one that runs it.
    #[must_use]
    pub fn decoding_on(mut self, runtime: Handle) -> Self {
        self.decoders = Some(runtime);
        self
    }

    /// Runs until the source ends, `stop` is cancelled, or it fails. The source is returned, to be closed.
    ///
    /// # Errors
    /// See [`StageError`].
    pub async fn run(mut self, stop: CancellationToken) -> (R, Result<StageEnd, StageError>) {
        let end = self.run_until(&stop).await;
        (self.source, end)
    }

    async fn run_until(&mut self, stop: &CancellationToken) -> Result<StageEnd, StageError> {
        let mut end = None;
        loop {
            self.begin_writes(stop);
            let takes_more = end.is_none() && self.has_room();
            tokio::select! {
                biased;
                () = stop.cancelled(), if end.is_none() => end = Some(StageEnd::Stopped),
                Some(write) = self.writing.next() => {
                    if !self.end_write(write)? {
                        return Ok(StageEnd::Stopped);
                    }
                }
                Some(saved) = self.saving.next() => self.end_save(saved?),
                Some(decoded) = self.decoding.next() => match decoded {
                    Ok(decoded) => self.enter_lanes(decoded),
                    Err(ended) => resume_panic(ended),
                },
                records = self.source.recv(), if takes_more => match records {
                    Some(records) => self.decode(records),
                    None => end = Some(StageEnd::Exhausted),
                },
                else => return Ok(end.unwrap_or(StageEnd::Exhausted)),
            }
        }
    }

    /// Whether another batch may be received: records in flight are limited, in number and in bytes.
    fn has_room(&self) -> bool {
        let for_writes = 2 * self.config.batch_size * self.lanes.len();
        self.in_flight.records() < for_writes.max(MIN_RECORDS_IN_FLIGHT)
            && self.in_flight.bytes() < MAX_BYTES_IN_FLIGHT
            && self.decoding.len() < self.max_decoding()
    }

    /// Batches that the workers may have: for each the one in progress and the next one.
    fn max_decoding(&self) -> usize {
        match self.config.workers {
            0 | 1 => 1,
            workers => 2 * workers,
        }
    }

    /// Decodes a batch: in place where it is small, else in a worker.
    fn decode(&mut self, records: RecordBatch) {
        if records.is_empty() {
            return;
        }
        let records = Arc::new(records);
        let number = self.in_flight.add(Arc::clone(&records));
        let (lanes, observer) = (self.lanes.len(), Arc::clone(&self.observer));
        let decoder = self.idle_decoders.pop().unwrap_or_default();
        let in_place = self.config.workers <= 1 || records.len() < MIN_RECORDS_FOR_WORKER;
        if in_place && self.decoding.is_empty() {
            let decoded = decode_batch(decoder, number, &records, lanes, &*observer);
            return self.enter_lanes(decoded);
        }
        let work = async move { decode_batch(decoder, number, &records, lanes, &*observer) };
        self.decoding.push_back(match &self.decoders {
            Some(runtime) => runtime.spawn(work),
            None => tokio::spawn(work),
        });
    }

    /// Queues the documents of a decoded batch in their lanes; rejected records become dead letters.
    fn enter_lanes(&mut self, decoded: DecodedBatch) {
        self.idle_decoders.push(decoded.decoder);
        let batch = decoded.batch;
        let rejected = decoded.rejected.into_iter();
        let dead_letters = rejected
            .map(|(index, rejected)| (batch, self.dead_letter(batch, index, rejected, 1)))
            .collect();
        self.save(dead_letters);
        self.in_flight.set_run_ids(batch, decoded.run_ids);
        self.in_flight.finish(batch, decoded.skipped);
        for (lane, batch) in self.lanes.iter_mut().zip(decoded.lanes) {
            lane.add(batch, self.config.batch_size.max(1));
        }
        if decoded.skipped > 0 {
            self.release();
        }
    }

    /// Begins a write for every lane that has documents queued and no write in flight.
    fn begin_writes(&mut self, stop: &CancellationToken) {
        for (number, lane) in self.lanes.iter_mut().enumerate() {
            let Some(batch) = lane.begin_write() else {
                continue;
            };
            self.writing.push(Box::pin(write_with_retries(
                Arc::clone(&self.store),
                batch,
                number,
                self.config.store_outage,
                self.clock,
                stop.clone(),
            )));
        }
    }

    /// Reports what was written. False when the write was given up because the stage was stopped.
    fn end_write(&mut self, write: FinishedWrite) -> Result<bool, StageError> {
        let Some(outcome) = write.outcome? else {
            return Ok(false);
        };
        self.lanes[write.lane].end_write();
        let mut not_written = not_written(outcome, &write.batch.events)
            .into_iter()
            .peekable();
        let mut dead_letters = Vec::new();
        for (index, event) in write.batch.events.iter().enumerate() {
            if let Some((_, rejected)) = not_written.next_if(|(at, _)| *at == index) {
                let dead_letter =
                    self.dead_letter(event.batch, event.index, rejected, write.attempts);
                dead_letters.push((event.batch, dead_letter));
                continue;
            }
            let record = self.in_flight.batch(event.batch).get(event.index);
            let header = &event.header;
            let stamps = ConsumerStamps {
                td: header.debezium_ts,
                t2: record.appended,
                t3: record.received,
                t4: write.issued,
                t5: write.acknowledged,
                source_lsn: header.source_lsn,
                source_xid: header.source_xid,
                partition: Some(record.partition),
            };
            let run_id = self.in_flight.run_id(event.batch, event.run);
            self.observer
                .written(run_id, header.id, header.event_type, header.seq, stamps);
            self.in_flight.finish(event.batch, 1);
        }
        self.save(dead_letters);
        self.release();
        Ok(true)
    }

    fn dead_letter(
        &self,
        batch: u64,
        index: usize,
        rejected: Rejected,
        attempts: u32,
    ) -> DeadLetter {
        let record = (self.in_flight.batch(batch), index);
        DeadLetter::of_record(&self.config.topics, record, rejected, attempts)
    }

    /// Begins to save dead letters, each with the number of its batch.
    fn save(&mut self, dead_letters: Vec<(u64, DeadLetter)>) {
        if dead_letters.is_empty() {
            return;
        }
        let (batches, dead_letters): (Vec<_>, Vec<_>) = dead_letters.into_iter().unzip();
        let dead_letters = Arc::new(dead_letters);
        let saved = self.dead_letters.save(Arc::clone(&dead_letters));
        self.saving.push(Box::pin(async move {
            saved.await?;
            Ok(SavedDeadLetters {
                dead_letters,
                batches,
            })
        }));
    }

    /// The records of these dead letters are dealt with.
    fn end_save(&mut self, saved: SavedDeadLetters) {
        for (dead_letter, batch) in saved.dead_letters.iter().zip(saved.batches) {
            self.observer.dead_letter(dead_letter);
            self.in_flight.finish(batch, 1);
        }
        self.release();
    }

    /// Releases the offsets up to which every record is finished.
    fn release(&mut self) {
        let source = &mut self.source;
        self.in_flight
            .release(|partition, offset| source.written(partition, offset));
    }
}

/// The documents of a write that are not in the store, by their position.
fn not_written(outcome: BulkOutcome, events: &[PendingEvent]) -> Vec<(usize, Rejected)> {
    let id = |index: usize| events.get(index).map(|event| event.header.id);
    let refused = outcome.refusals.iter().filter_map(|refusal| {
        let rejected = Rejected::refused(refusal, id(refusal.index)?);
        Some((refusal.index, rejected))
    });
    let conflicting = outcome.conflicts.iter().filter_map(|conflict| {
        let rejected = Rejected::conflicting(conflict, id(conflict.index)?);
        Some((conflict.index, rejected))
    });
    let mut not_written: Vec<_> = refused.chain(conflicting).collect();
    not_written.sort_by_key(|(index, _)| *index);
    not_written
}

/// A panic of a worker ends the stage as a panic.
fn resume_panic(ended: tokio::task::JoinError) {
    if let Ok(panic) = ended.try_into_panic() {
        std::panic::resume_unwind(panic);
    }
}

#[cfg(test)]
mod tests;
