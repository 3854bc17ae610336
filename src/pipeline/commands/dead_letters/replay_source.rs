//! Dead letters as records that are received again: those that were asked for; all others are kept.

use std::ops::ControlFlow;
use std::sync::Arc;

use cdc_bench_model::timeline::Clock;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::stored::{Positions, Read};
use super::{PlacedDeadLetter, Whence};
use crate::consumer::{DeadLetter, DeadLetters};
use crate::pipeline::failure::Failure;
use crate::records::{ReceivedRecord, RecordBatch, RecordHeader, RecordSource, RecordStorage};
use cdc_bench_model::timeline::Stamp;

/// Most dead letters in a batch, and batches that wait.
const BATCH: usize = 256;
const QUEUE: usize = 4;
/// Bytes from which on a batch takes no more.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// The dead letters to replay, in batches.
pub(super) struct Selected {
    pub batches: mpsc::Receiver<Vec<PlacedDeadLetter>>,
    /// Reads them; it ends when all are passed on.
    pub selecting: JoinHandle<Result<Selection, Failure>>,
}

/// What was selected.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// Dead letters that were passed on.
    pub taken: u64,
    /// Those that were not asked for, or whose value is not there.
    pub kept: u64,
    /// What reading them has come to.
    pub read: Read,
}

/// Begins to read the dead letters. Those of another reason than the one that is asked for go to `kept` as they are.
pub(super) fn select(whence: Whence, reason: Option<String>, kept: DeadLetters) -> Selected {
    let (sender, batches) = mpsc::channel(QUEUE);
    let (read_sender, mut read) = mpsc::channel::<PlacedDeadLetter>(BATCH);
    let reading = tokio::spawn(async move {
        let pass = move |placed| match read_sender.blocking_send(placed) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        whence.read(pass).await
    });
    let selecting = tokio::spawn(async move {
        let mut selection = Selection::default();
        let is_taken = |dead_letter: &DeadLetter| {
            let word = dead_letter.reason.as_str();
            dead_letter.omitted_bytes.is_none() && reason.as_ref().is_none_or(|asked| asked == word)
        };
        let mut received = Vec::new();
        while read.recv_many(&mut received, BATCH).await > 0 {
            let (taken, others): (Vec<_>, Vec<_>) = received
                .drain(..)
                .partition(|placed| is_taken(&placed.dead_letter));
            selection.kept += to_u64(others.len());
            if !others.is_empty() {
                let others = others.into_iter().map(|placed| placed.dead_letter);
                kept.keep(Arc::new(others.collect())).await?;
            }
            for batch in by_size(taken) {
                let count = to_u64(batch.len());
                if sender.send(batch).await.is_err() {
                    // The replay has ended before.
                    return Ok(selection);
                }
                selection.taken += count;
            }
        }
        selection.read = reading.await.map_err(Failure::usage)??;
        Ok(selection)
    });
    Selected { batches, selecting }
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// The same in batches of limited size.
fn by_size(dead_letters: Vec<PlacedDeadLetter>) -> Vec<Vec<PlacedDeadLetter>> {
    let mut batches: Vec<Vec<_>> = Vec::new();
    let mut bytes = 0;
    for placed in dead_letters {
        let value = placed.dead_letter.value.as_ref();
        let size = value.map_or(0, |value| value.0.len());
        if bytes + size > BATCH_BYTES || batches.is_empty() {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(batch) = batches.last_mut() {
            batch.push(placed);
        }
    }
    batches
}

/// Dead letters as a source of records. Their headers say that they were dead letters before.
pub(super) struct DeadLetterSource {
    batches: mpsc::Receiver<Vec<PlacedDeadLetter>>,
    clock: Clock,
    /// How far each partition was dealt with.
    released: Positions,
}

impl DeadLetterSource {
    pub fn new(batches: mpsc::Receiver<Vec<PlacedDeadLetter>>, clock: Clock) -> Self {
        Self {
            batches,
            clock,
            released: Positions::new(),
        }
    }

    pub fn into_released(self) -> Positions {
        self.released
    }
}

impl RecordSource for DeadLetterSource {
    async fn recv(&mut self) -> Option<RecordBatch> {
        let dead_letters = self.batches.recv().await?;
        Some(RecordBatch::backed_by(ReplayedRecords {
            dead_letters,
            received: self.clock.now(),
        }))
    }

    fn written(&mut self, partition: i32, offset: i64) {
        self.released.insert(partition, offset + 1);
    }
}

struct ReplayedRecords {
    dead_letters: Vec<PlacedDeadLetter>,
    received: Stamp,
}

impl RecordStorage for ReplayedRecords {
    fn count(&self) -> usize {
        self.dead_letters.len()
    }

    fn record(&self, index: usize) -> ReceivedRecord<'_> {
        let placed = &self.dead_letters[index];
        ReceivedRecord {
            value: self.value(index),
            partition: placed.partition,
            offset: placed.offset,
            appended: None,
            received: self.received,
        }
    }

    fn key(&self, index: usize) -> Option<&[u8]> {
        let key = self.dead_letters[index].dead_letter.key.as_ref();
        key.map(|key| &*key.0)
    }

    fn headers(&self, index: usize) -> Vec<RecordHeader> {
        self.dead_letters[index].dead_letter.topic_headers()
    }

    fn value(&self, index: usize) -> Option<&[u8]> {
        let value = self.dead_letters[index].dead_letter.value.as_ref();
        value.map(|value| &*value.0)
    }
}
