//! The processing stage: records decoded by workers, gathered by lane, written, acknowledged, let go.
//!
//! A single event goes at once; where events queue up they go together, "as much as is waiting, at most a batch". There
//! is no timer to wait for.
//!
//! Batches of records are decoded side by side and enter the lanes in the order they came in. An aggregate has one lane,
//! and a lane one write in flight, so what happened to an aggregate is written in its order. Offsets are let go in the
//! order of their partition, when everything up to them is written or put aside.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{FuturesOrdered, FuturesUnordered};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::lane::{Event, Lane};
use super::under_way::UnderWay;
use super::worker::{Sorted, sort};
use super::write::{Write, write};
use super::{
    DeadLetter, DeadLetters, Decoder, Record, RecordBatch, RecordSource, Rejected, StageObserver,
};
use crate::store::{Refusal, Store, StoreError};
use cdc_bench_model::timeline::{Clock, ConsumerStamps};

/// Fewer records than this are decoded on the spot: to hand them to a worker would take longer.
const WORTH_A_WORKER: usize = 32;
/// Records that are taken before earlier ones are written, where the writes in flight do not ask for more.
const LEAST_UNDER_WAY: usize = 2_048;
/// Bytes of records under way at which no more are taken.
const MOST_BYTES_UNDER_WAY: usize = 16 * 1024 * 1024;

/// How the stage works.
#[derive(Debug, Clone)]
pub struct StageConfig {
    /// Topic, for dead letters.
    pub topic: String,
    /// Most documents in one write.
    pub batch_size: usize,
    /// Most writes in flight. The documents of one aggregate are never in two of them.
    pub writes_in_flight: usize,
    /// Workers that decode batches of records; 1 decodes where the stage runs.
    pub workers: usize,
    /// Longest time the store may be away before the stage gives up.
    pub store_outage: Duration,
}

/// Why the stage gave up. Records that were not written are delivered again to whoever comes next.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The store refuses every write, or was away too long.
    #[error("writing to the store failed {}: {cause}", describe(*.tried_for))]
    Store {
        /// The last refusal.
        cause: StoreError,
        /// How long it was tried.
        tried_for: Duration,
    },
    /// A record could be written nowhere, not even among the dead letters.
    #[error("cannot write dead letters to {path}: {cause}")]
    DeadLetters {
        /// The file.
        path: std::path::PathBuf,
        /// The system's words.
        cause: std::io::Error,
    },
}

fn describe(tried_for: Duration) -> String {
    if tried_for < Duration::from_secs(1) {
        "at once and for good".to_owned()
    } else {
        format!("for {} s", tried_for.as_secs())
    }
}

/// How the stage ended, when it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageEnd {
    /// No more records.
    Exhausted,
    /// It was asked to stop; what it had taken is written.
    Stopped,
}

/// The stage.
pub struct Stage<R, S> {
    source: R,
    store: Arc<S>,
    observer: Arc<dyn StageObserver>,
    dead_letters: DeadLetters,
    config: StageConfig,
    clock: Clock,
    under_way: UnderWay,
    decoding: FuturesOrdered<JoinHandle<Sorted>>,
    /// Decoders that nobody works with. What they have learned of the records is worth keeping.
    idle: Vec<Decoder>,
    lanes: Vec<Lane>,
    writing: FuturesUnordered<WriteInFlight>,
}

type WriteInFlight = Pin<Box<dyn Future<Output = Write> + Send>>;

impl<R: RecordSource, S: Store + 'static> Stage<R, S> {
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
            under_way: UnderWay::default(),
            decoding: FuturesOrdered::new(),
            idle: Vec::new(),
            lanes,
            writing: FuturesUnordered::new(),
        }
    }

    /// Works until the source ends, `stop` is asked for, or it cannot go on. The source comes back for a clean end.
    ///
    /// # Errors
    /// See [`StageError`].
    pub async fn run(mut self, stop: CancellationToken) -> (R, Result<StageEnd, StageError>) {
        let end = self.work(&stop).await;
        (self.source, end)
    }

    async fn work(&mut self, stop: &CancellationToken) -> Result<StageEnd, StageError> {
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
                Some(sorted) = self.decoding.next() => match sorted {
                    Ok(sorted) => self.enter(sorted)?,
                    Err(ended) => resume(ended),
                },
                records = self.source.recv(), if takes_more => match records {
                    Some(records) => self.take(records)?,
                    None => end = Some(StageEnd::Exhausted),
                },
                else => return Ok(end.unwrap_or(StageEnd::Exhausted)),
            }
        }
    }

    /// Whether another batch may be taken: what is under way is bounded, in records and in bytes.
    fn has_room(&self) -> bool {
        let in_writes = 2 * self.config.batch_size * self.lanes.len();
        self.under_way.records() < in_writes.max(LEAST_UNDER_WAY)
            && self.under_way.bytes() < MOST_BYTES_UNDER_WAY
            && self.decoding.len() < self.decoding_ahead()
    }

    /// Batches that may be with the workers: one at hand for each, and one that it finds when it is done with that.
    fn decoding_ahead(&self) -> usize {
        match self.config.workers {
            0 | 1 => 1,
            workers => 2 * workers,
        }
    }

    /// Has the records decoded: on the spot where they are few, else by a worker.
    fn take(&mut self, records: RecordBatch) -> Result<(), StageError> {
        if records.is_empty() {
            return Ok(());
        }
        let records = Arc::new(records);
        let number = self.under_way.take(Arc::clone(&records));
        let (lanes, observer) = (self.lanes.len(), Arc::clone(&self.observer));
        let decoder = self.idle.pop().unwrap_or_default();
        let alone = self.config.workers <= 1 || records.len() < WORTH_A_WORKER;
        if alone && self.decoding.is_empty() {
            return self.enter(sort(decoder, number, &records, lanes, &*observer));
        }
        self.decoding.push_back(tokio::spawn(async move {
            sort(decoder, number, &records, lanes, &*observer)
        }));
        Ok(())
    }

    /// A decoded batch enters the lanes; what makes no document is put aside.
    fn enter(&mut self, sorted: Sorted) -> Result<(), StageError> {
        self.idle.push(sorted.decoder);
        let finished = sorted.passed_over + sorted.rejected.len();
        for (index, rejected) in sorted.rejected {
            self.put_aside(sorted.batch, index, rejected)?;
        }
        self.under_way.decoded(sorted.batch, sorted.run_ids);
        self.under_way.dealt_with(sorted.batch, finished);
        for (lane, share) in self.lanes.iter_mut().zip(sorted.shares) {
            lane.add(share, self.config.batch_size.max(1));
        }
        if finished > 0 {
            self.release()?;
        }
        Ok(())
    }

    /// Every lane that has something waiting and nothing in flight begins a write.
    fn begin_writes(&mut self, stop: &CancellationToken) {
        for (number, lane) in self.lanes.iter_mut().enumerate() {
            let Some(share) = lane.begin() else { continue };
            self.writing.push(Box::pin(write(
                Arc::clone(&self.store),
                share,
                number,
                self.config.store_outage,
                self.clock,
                stop.clone(),
            )));
        }
    }

    /// Tells of what was written. False when it was not, for it was asked to stop meanwhile.
    fn end_write(&mut self, write: Write) -> Result<bool, StageError> {
        let Some(outcome) = write.outcome? else {
            return Ok(false);
        };
        self.lanes[write.lane].end();
        let mut refusals = outcome.refusals.into_iter().peekable();
        for (index, event) in write.share.events.iter().enumerate() {
            if let Some(refusal) = refusals.next_if(|refusal| refusal.index == index) {
                self.put_aside(event.batch, event.index, refused(event, &refusal))?;
            } else {
                let record = self.under_way.batch(event.batch).get(event.index);
                let facts = &event.facts;
                let stamps = ConsumerStamps {
                    td: facts.handed_on,
                    t2: record.appended,
                    t3: record.received,
                    t4: write.issued,
                    t5: write.acknowledged,
                    source_lsn: facts.source_lsn,
                    source_xid: facts.source_xid,
                };
                let run_id = self.under_way.run_id(event.batch, event.run);
                self.observer
                    .written(run_id, facts.id, facts.event_type, facts.seq, stamps);
            }
            self.under_way.dealt_with(event.batch, 1);
        }
        self.release()?;
        Ok(true)
    }

    fn put_aside(
        &mut self,
        batch: u64,
        index: usize,
        rejected: Rejected,
    ) -> Result<(), StageError> {
        let record = self.under_way.batch(batch).get(index);
        let letter = letter(&self.config.topic, record, rejected);
        tracing::error!(
            partition = letter.partition,
            offset = letter.offset,
            reason = letter.reason,
            "record put aside"
        );
        let kept = self.dead_letters.keep(&letter);
        kept.map_err(|cause| self.no_dead_letters(cause))?;
        self.observer.dead_letter(&letter);
        Ok(())
    }

    /// Lets go of the offsets up to which everything is dealt with; what was put aside is on disk by then.
    fn release(&mut self) -> Result<(), StageError> {
        let secured = self.dead_letters.secure();
        secured.map_err(|cause| self.no_dead_letters(cause))?;
        let source = &mut self.source;
        self.under_way
            .release(|partition, offset| source.written(partition, offset));
        Ok(())
    }

    fn no_dead_letters(&self, cause: std::io::Error) -> StageError {
        StageError::DeadLetters {
            path: self.dead_letters.path().to_owned(),
            cause,
        }
    }
}

/// A worker that panicked takes the stage with it.
fn resume(ended: tokio::task::JoinError) {
    if let Ok(panic) = ended.try_into_panic() {
        std::panic::resume_unwind(panic);
    }
}

fn refused(event: &Event, refusal: &Refusal) -> Rejected {
    Rejected {
        reason: format!(
            "refused by the store: {} (code {})",
            refusal.message, refusal.code
        ),
        id: Some(event.facts.id),
    }
}

fn letter(topic: &str, record: Record<'_>, rejected: Rejected) -> DeadLetter {
    DeadLetter {
        reason: rejected.reason,
        topic: topic.to_owned(),
        partition: record.partition,
        offset: record.offset,
        id: rejected.id,
        value: record
            .value
            .map(String::from_utf8_lossy)
            .unwrap_or_default()
            .into_owned(),
    }
}

#[cfg(test)]
mod tests;
