//! What our reader and the consumer report of one event, and the event with all its stamps.

use super::{Stamp, Stamps};
use crate::event::{EventId, EventType};

/// What our WAL reader reports of an event: the position and time of its row in the WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Captured {
    /// Commit timestamp from the WAL, on PostgreSQL's clock, uncorrected (Tc).
    pub tc: Stamp,
    /// When our reader had the decoded row (T1).
    pub t1: Stamp,
    /// Position of the row.
    pub lsn: u64,
    /// Position of its commit.
    pub commit_lsn: u64,
    /// Its transaction.
    pub xid: u32,
}

/// What the consumer reports of an event once the store has acknowledged it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerStamps {
    /// When Debezium emitted it, on Connect's clock (Td).
    pub td: Option<Stamp>,
    /// The record's timestamp in Kafka: the middle of its millisecond, on the broker's clock. `None` on the path
    /// without Kafka. It is T2 where T2 is the broker's timestamp ([`InKafka::ByBroker`](super::InKafka::ByBroker)).
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
    /// Partition of its record; `None` without Kafka, and where the topic has one only.
    pub partition: Option<i32>,
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
    /// The reader's stamps and WAL positions.
    pub captured: Captured,
    /// Partition of its record; `None` without Kafka, and where the topic has one only.
    pub partition: Option<i32>,
    /// All stamps, on our clock.
    pub stamps: Stamps,
}

impl Captured {
    /// Whether our reader and the envelope disagree on position or transaction.
    pub(super) fn differs_from(&self, envelope: &ConsumerStamps) -> bool {
        let differs = |theirs: Option<u64>, ours: u64| theirs.is_some_and(|theirs| theirs != ours);
        differs(envelope.source_lsn, self.lsn) || differs(envelope.source_xid, u64::from(self.xid))
    }
}
