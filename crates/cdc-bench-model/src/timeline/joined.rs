//! What our reader and the consumer report of one event, and the event with all its stamps.

use super::{Stamp, Stamps};
use crate::event::{EventId, EventType};

/// What our reader says of an event: where its row stands in the WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Captured {
    /// Commit timestamp on PostgreSQL's clock, as it stands in the WAL.
    pub tc: Stamp,
    /// When the decoded row was there.
    pub t1: Stamp,
    /// Position of the row.
    pub lsn: u64,
    /// Position of its commit.
    pub commit_lsn: u64,
    /// Its transaction.
    pub xid: u32,
}

/// What the consumer says of an event once the store has acknowledged it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerStamps {
    /// When Debezium handed it on, on Connect's clock.
    pub td: Option<Stamp>,
    /// The record's timestamp in Kafka: the middle of its millisecond, on the broker's clock. `None` when no Kafka was in
    /// between. It is T2 where the broker is the one to say so ([`InKafka::ByBroker`]).
    pub t2: Option<Stamp>,
    /// Received.
    pub t3: Stamp,
    /// Write issued.
    pub t4: Stamp,
    /// Write acknowledged.
    pub t5: Stamp,
    /// Position of the row according to the envelope.
    pub source_lsn: Option<u64>,
    /// Its transaction according to the envelope.
    pub source_xid: Option<u64>,
}

/// An event with all its stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// Which event.
    pub id: EventId,
    /// Its position in the run.
    pub seq: u64,
    /// What kind.
    pub event_type: EventType,
    /// Where its row stands in the WAL, by our reader.
    pub captured: Captured,
    /// Its stamps, all on our clock.
    pub stamps: Stamps,
}

impl Captured {
    /// Whether our reader and the envelope disagree on position or transaction.
    pub(super) fn differs_from(&self, envelope: &ConsumerStamps) -> bool {
        let differs = |theirs: Option<u64>, ours: u64| theirs.is_some_and(|theirs| theirs != ours);
        differs(envelope.source_lsn, self.lsn) || differs(envelope.source_xid, u64::from(self.xid))
    }
}
