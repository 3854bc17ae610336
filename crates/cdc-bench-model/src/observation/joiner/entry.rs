//! A change in flight.

use super::super::{ChangeId, ObservedStamps, RecordPosition, StampedBy};
use crate::timeline::{Corrections, HALF_MILLISECOND, Nanos, Stamp};

/// What the WAL has shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Captured {
    /// PostgreSQL's clock.
    pub(super) tc: Stamp,
    pub(super) t1: Stamp,
    /// Its number in the WAL, counted from the beginning.
    pub(super) number: u64,
}

/// What the topic has shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recorded {
    pub(super) position: RecordPosition,
    /// Connect's clock, and the resolution.
    pub(super) td: Option<(Stamp, Nanos)>,
    /// The clock of `stamped_by`.
    pub(super) t2: Option<Stamp>,
    pub(super) stamped_by: StampedBy,
    pub(super) t3: Stamp,
}

/// A change, and what is known of it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) id: ChangeId,
    pub(super) captured: Option<Captured>,
    pub(super) recorded: Option<Recorded>,
    pub(super) tg: Option<Stamp>,
    pub(super) t5: Option<Stamp>,
}

impl Entry {
    pub(super) fn new(id: ChangeId) -> Self {
        Self {
            id,
            captured: None,
            recorded: None,
            tg: None,
            t5: None,
        }
    }

    pub(super) fn is_of_row(&self, id: &ChangeId) -> bool {
        self.id.table == id.table && self.id.key == id.key
    }

    /// Its record and its stamps on our clock, once WAL and topic have shown it.
    pub(super) fn stamps(
        &self,
        corrections: &Corrections,
    ) -> Option<(RecordPosition, ObservedStamps)> {
        let (captured, recorded) = (self.captured?, self.recorded?);
        let t2 = recorded.t2? + HALF_MILLISECOND;
        let line = match recorded.stamped_by {
            StampedBy::Broker => &corrections.broker,
            StampedBy::Producer => &corrections.connect,
        };
        let stamps = ObservedStamps {
            t0: None,
            tc: corrections.postgres.to_ours(captured.tc),
            t1: captured.t1,
            td: recorded
                .td
                .map(|(td, resolution)| corrections.connect.to_ours(td + Nanos(resolution.0 / 2))),
            t2: line.to_ours(t2),
            t3: recorded.t3,
            tg: self.tg,
            t5: self.t5,
        };
        Some((recorded.position, stamps))
    }
}
