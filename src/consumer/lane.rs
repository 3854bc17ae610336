//! A lane: the documents of the aggregates that fall to it go to the store one write after the other, so that what
//! happened to an aggregate is written in the order it happened in.

use std::collections::VecDeque;

use uuid::Uuid;

use super::Facts;
use crate::store::Documents;

/// Documents of one lane, with the events they are of.
#[derive(Default)]
pub(super) struct Share {
    pub documents: Documents,
    pub events: Vec<Event>,
}

impl Share {
    pub fn with_room_for(documents: usize, bytes: usize) -> Self {
        Self {
            documents: Documents::with_room_for(documents, bytes),
            events: Vec::with_capacity(documents),
        }
    }
}

/// An event on its way to the store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub facts: Facts,
    /// Number of the batch it came in.
    pub batch: u64,
    /// Its record's position in that batch.
    pub index: usize,
    /// Its run's position among those of the batch.
    pub run: usize,
}

/// What waits for one lane.
#[derive(Default)]
pub(super) struct Lane {
    /// None is empty, none is larger than a write may be.
    waiting: VecDeque<Share>,
    /// Whether a write is in flight.
    busy: bool,
}

/// The lane of an aggregate, of so many. A UUID's last bits are random in the versions that are in use.
pub(super) fn lane_of(aggregate: Uuid, lanes: usize) -> usize {
    let (_, low) = aggregate.as_u64_pair();
    usize::try_from(low % lanes as u64).expect("less than the number of lanes")
}

impl Lane {
    /// Adds what comes next, gathered into writes of `most` documents.
    pub fn add(&mut self, share: Share, most: usize) {
        let len = share.events.len();
        let room = self
            .waiting
            .back()
            .map_or(0, |last| most - last.events.len());
        if len == 0 {
        } else if room == 0 && len <= most {
            self.waiting.push_back(share);
        } else {
            self.gather(&share, most);
        }
    }

    fn gather(&mut self, share: &Share, most: usize) {
        let mut from = 0;
        while from < share.events.len() {
            let full = self
                .waiting
                .back()
                .is_none_or(|last| last.events.len() >= most);
            if full {
                let next = from..share.events.len().min(from + most);
                let bytes = share.documents.bytes(next.clone());
                self.waiting
                    .push_back(Share::with_room_for(next.len(), bytes));
            }
            let Some(last) = self.waiting.back_mut() else {
                return;
            };
            let to = share.events.len().min(from + most - last.events.len());
            last.documents.append(&share.documents, from..to);
            last.events.extend_from_slice(&share.events[from..to]);
            from = to;
        }
    }

    /// What is to be written now: as much as is waiting, at most a write; none while one is in flight.
    pub fn begin(&mut self) -> Option<Share> {
        if self.busy {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.busy = true;
        Some(next)
    }

    /// The write that was in flight is acknowledged.
    pub fn end(&mut self) {
        self.busy = false;
    }
}
