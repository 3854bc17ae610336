//! The processing stage: as much as is waiting, at most a batch, decoded, written in one command, acknowledged, let go.
//!
//! A single event goes at once; where events queue up they go together. There is no timer to wait for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{
    DeadLetter, DeadLetters, Decoded, Record, RecordBatch, RecordSource, Rejected, StageObserver,
    decode,
};
use crate::store::{Documents, Store, StoreError};
use crate::timeline::{Clock, Stamp, Written};

/// First and longest pause before a write is tried again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How the stage works.
#[derive(Debug, Clone)]
pub struct StageConfig {
    /// Topic, for dead letters.
    pub topic: String,
    /// Most documents in one write.
    pub batch_size: usize,
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
    store: S,
    observer: Arc<dyn StageObserver>,
    dead_letters: DeadLetters,
    config: StageConfig,
    clock: Clock,
}

impl<R: RecordSource, S: Store> Stage<R, S> {
    /// A stage between `source` and `store`.
    pub fn new(
        source: R,
        store: S,
        observer: Arc<dyn StageObserver>,
        dead_letters: DeadLetters,
        config: StageConfig,
        clock: Clock,
    ) -> Self {
        Self {
            source,
            store,
            observer,
            dead_letters,
            config,
            clock,
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
        let mut batch = Batch::default();
        loop {
            let records = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(StageEnd::Stopped),
                records = self.source.recv() => records,
            };
            let Some(records) = records else {
                return Ok(StageEnd::Exhausted);
            };
            for index in 0..records.len() {
                self.take(&records, index, &mut batch)?;
                if batch.documents.len() >= self.config.batch_size
                    && !self.write(&records, &mut batch, stop).await?
                {
                    return Ok(StageEnd::Stopped);
                }
            }
            if !batch.documents.is_empty() && !self.write(&records, &mut batch, stop).await? {
                return Ok(StageEnd::Stopped);
            }
            for (partition, offset) in batch.offsets.drain(..) {
                self.source.written(partition, offset);
            }
        }
    }

    /// Decodes a record into the batch, or puts it aside.
    fn take(
        &mut self,
        records: &RecordBatch,
        index: usize,
        batch: &mut Batch,
    ) -> Result<(), StageError> {
        let record = records.get(index);
        batch.reached(record.partition, record.offset);
        let wants = |run_id: &str| self.observer.wants(run_id);
        match decode(record.value, wants, &mut batch.documents) {
            Ok(Some(decoded)) => {
                self.observer.consumed(&decoded.run_id, decoded.seq);
                batch.events.push(InFlight { decoded, index });
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(rejected) => self.put_aside(record, rejected),
        }
    }

    fn put_aside(&mut self, record: Record<'_>, rejected: Rejected) -> Result<(), StageError> {
        let letter = DeadLetter {
            reason: rejected.reason,
            topic: self.config.topic.clone(),
            partition: record.partition,
            offset: record.offset,
            id: rejected.id,
            value: record
                .value
                .map(String::from_utf8_lossy)
                .unwrap_or_default()
                .into_owned(),
        };
        tracing::error!(
            partition = letter.partition,
            offset = letter.offset,
            reason = letter.reason,
            "record put aside"
        );
        self.dead_letters
            .keep(&letter)
            .map_err(|cause| StageError::DeadLetters {
                path: self.dead_letters.path().to_owned(),
                cause,
            })?;
        self.observer.dead_letter(&letter);
        Ok(())
    }

    /// Writes the batch, trying again while the store is away. False when it was asked to stop meanwhile.
    async fn write(
        &mut self,
        records: &RecordBatch,
        batch: &mut Batch,
        stop: &CancellationToken,
    ) -> Result<bool, StageError> {
        let began = Instant::now();
        let mut pause = BACK_OFF.0;
        let issued = self.clock.now();
        let outcome = loop {
            match self.store.upsert(&batch.documents).await {
                Ok(outcome) => break outcome,
                Err(cause)
                    if cause.is_transient() && began.elapsed() < self.config.store_outage =>
                {
                    tracing::warn!(%cause, documents = batch.documents.len(), "the store did not take a write; trying again");
                    tokio::select! {
                        () = stop.cancelled() => return Ok(false),
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(BACK_OFF.1);
                }
                Err(cause) => {
                    return Err(StageError::Store {
                        cause,
                        tried_for: began.elapsed(),
                    });
                }
            }
        };
        let acknowledged = self.clock.now();
        let mut refusals = outcome.refusals.into_iter().peekable();
        for (index, event) in batch.events.drain(..).enumerate() {
            let record = records.get(event.index);
            if let Some(refusal) = refusals.next_if(|refusal| refusal.index == index) {
                let reason = format!(
                    "refused by the store: {} (code {})",
                    refusal.message, refusal.code
                );
                self.put_aside(
                    record,
                    Rejected {
                        reason,
                        id: Some(event.decoded.id),
                    },
                )?;
            } else {
                let d = &event.decoded;
                self.observer.written(
                    &d.run_id,
                    d.id,
                    d.event_type,
                    d.seq,
                    event.stamps(record, issued, acknowledged),
                );
            }
        }
        batch.documents.clear();
        Ok(true)
    }
}

/// What is on its way to the store.
#[derive(Default)]
struct Batch {
    documents: Documents,
    events: Vec<InFlight>,
    /// The last offset taken, by partition.
    offsets: Vec<(i32, i64)>,
}

impl Batch {
    fn reached(&mut self, partition: i32, offset: i64) {
        match self
            .offsets
            .iter_mut()
            .find(|(known, _)| *known == partition)
        {
            Some((_, last)) => *last = offset,
            None => self.offsets.push((partition, offset)),
        }
    }
}

struct InFlight {
    decoded: Decoded,
    /// Its record's position among those that came together.
    index: usize,
}

impl InFlight {
    fn stamps(&self, record: Record<'_>, t4: Stamp, t5: Stamp) -> Written {
        Written {
            td: self.decoded.handed_on,
            t2: record.appended,
            t3: record.received,
            t4,
            t5,
            source_lsn: self.decoded.source_lsn,
            source_xid: self.decoded.source_xid,
        }
    }
}
