//! A lane: a share of the aggregates, which has one write in flight. So the events of an aggregate are written in their
//! order.

use std::collections::VecDeque;

use uuid::Uuid;

use super::EventHeader;
use crate::store::DocumentBatch;

/// Documents of one lane, each with its event.
#[derive(Default)]
pub(super) struct LaneBatch {
    pub documents: DocumentBatch,
    pub events: Vec<PendingEvent>,
}

impl LaneBatch {
    pub fn with_capacity(documents: usize, bytes: usize) -> Self {
        Self {
            documents: DocumentBatch::with_capacity(documents, bytes),
            events: Vec::with_capacity(documents),
        }
    }
}

/// An event that is decoded and not yet written.
#[derive(Debug, Clone, Copy)]
pub(super) struct PendingEvent {
    pub header: EventHeader,
    /// Number of the batch of records it was received in.
    pub batch: u64,
    /// Its record's position in that batch.
    pub index: usize,
    /// Its run's position in the batch's list of runs.
    pub run: usize,
}

/// The queue of one lane.
#[derive(Default)]
pub(super) struct Lane {
    /// No batch is empty or larger than a write may be.
    queue: VecDeque<LaneBatch>,
    /// Whether a write is in flight.
    busy: bool,
}

/// The lane of an aggregate. The last bits of a UUID are random in the versions that are in use.
pub(super) fn lane_of(aggregate: Uuid, lanes: usize) -> usize {
    let (_, low) = aggregate.as_u64_pair();
    usize::try_from(low % lanes as u64).expect("less than the number of lanes")
}

impl Lane {
    /// Queues documents, combined to writes of at most `most` documents.
    pub fn add(&mut self, batch: LaneBatch, most: usize) {
        let len = batch.events.len();
        let room = self.queue.back().map_or(0, |last| most - last.events.len());
        if len == 0 {
        } else if room == 0 && len <= most {
            self.queue.push_back(batch);
        } else {
            self.combine(&batch, most);
        }
    }

    fn combine(&mut self, batch: &LaneBatch, most: usize) {
        let mut from = 0;
        while from < batch.events.len() {
            let full = self
                .queue
                .back()
                .is_none_or(|last| last.events.len() >= most);
            if full {
                let next = from..batch.events.len().min(from + most);
                let bytes = batch.documents.bytes(next.clone());
                self.queue
                    .push_back(LaneBatch::with_capacity(next.len(), bytes));
            }
            let Some(last) = self.queue.back_mut() else {
                return;
            };
            let to = batch.events.len().min(from + most - last.events.len());
            last.documents.append(&batch.documents, from..to);
            last.events.extend_from_slice(&batch.events[from..to]);
            from = to;
        }
    }

    /// The next write: all that is queued, up to the size of a write; `None` while a write is in flight.
    pub fn begin_write(&mut self) -> Option<LaneBatch> {
        if self.busy {
            return None;
        }
        let next = self.queue.pop_front()?;
        self.busy = true;
        Some(next)
    }

    /// The write in flight was acknowledged.
    pub fn end_write(&mut self) {
        self.busy = false;
    }
}
