//! A change in flight.

use std::sync::Arc;

use super::super::sink_queue::Shown;
use super::super::{ChangeId, ObservedStamps, RecordPosition, StampedBy};
use crate::timeline::{Corrections, HALF_MILLISECOND, Nanos, OffsetLine, Stamp};

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

/// What the sink says of the change by its own clock, uncorrected.
#[derive(Debug, Clone, Copy)]
pub(super) struct BySink {
    /// When the consumer received it.
    pub(super) received: Option<Stamp>,
    /// When it was written.
    pub(super) written: Stamp,
    /// When we learnt of it, on our clock.
    pub(super) seen: Stamp,
}

/// A change, and what is known of it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) id: ChangeId,
    pub(super) captured: Option<Captured>,
    pub(super) recorded: Option<Recorded>,
    pub(super) tg: Option<Stamp>,
    pub(super) t5: Option<Stamp>,
    pub(super) by_sink: Option<BySink>,
    /// Why the consumer could not write it.
    pub(super) error: Option<Arc<str>>,
}

impl Entry {
    pub(super) fn new(id: ChangeId) -> Self {
        Self {
            id,
            captured: None,
            recorded: None,
            tg: None,
            t5: None,
            by_sink: None,
            error: None,
        }
    }

    /// Whether the sink has shown it, or its consumer has reported it written.
    pub(super) fn is_shown(&self) -> bool {
        self.t5.is_some() || self.by_sink.is_some()
    }

    /// The sink has shown it by this write.
    pub(super) fn show(&mut self, shown: Shown) {
        self.t5 = Some(shown.at);
        self.by_sink = shown.stored.map(|written| BySink {
            received: None,
            written,
            seen: shown.at,
        });
    }

    pub(super) fn is_of_row(&self, id: &ChangeId) -> bool {
        self.id.table == id.table && self.id.key == id.key
    }

    /// Its record and its stamps on our clock, once WAL and topic have shown it.
    pub(super) fn stamps(
        &self,
        corrections: &Corrections,
        sink_clock: &OffsetLine,
    ) -> Option<(RecordPosition, ObservedStamps)> {
        let (captured, recorded) = (self.captured?, self.recorded?);
        let t2 = recorded.t2? + HALF_MILLISECOND;
        let line = match recorded.stamped_by {
            StampedBy::Broker => &corrections.broker,
            StampedBy::Producer => &corrections.connect,
        };
        let written = self
            .by_sink
            .map(|by_sink| sink_clock.to_ours(by_sink.written));
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
            tr: self
                .by_sink
                .and_then(|by_sink| by_sink.received)
                .map(|received| sink_clock.to_ours(received)),
            ts: self.t5.and(written),
            t5: self.t5.or(written),
        };
        Some((recorded.position, stamps))
    }
}
