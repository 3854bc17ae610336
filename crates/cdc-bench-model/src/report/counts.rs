//! Events counted: at each place, by type, and in the stores (`counts`, `events_by_type`, `verification` of `report.json`).

use serde::{Deserialize, Serialize};

/// Events at each place; each counts once at each, however often it came by.
///
/// At the top of a report, places (`inserted` to `written`) are the first path's; troubles (all others) are those of all
/// paths together, so that none of them can be overlooked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventCounts {
    /// Commit acknowledged.
    pub inserted: u64,
    /// Seen in the WAL by our reader.
    pub captured: u64,
    /// Records appended to the topic; none where no Kafka is in between.
    pub in_kafka: u64,
    /// Received and decoded by the consumer.
    pub consumed: u64,
    /// Acknowledged by the store.
    pub written: u64,
    /// Refused INSERTs and dead letters.
    pub errors: u64,
    /// Records that could not be decoded or were refused by the store.
    pub dead_letters: u64,
    /// Received more than once.
    pub duplicates: u64,
    /// Inserted but not in the store when the drain ended.
    pub lost: u64,
    /// Spans below zero by more than their clocks' error, other than a late observer's: contradictions.
    pub negative_hops: u64,
    /// Spans below zero within their clocks' error.
    pub negative_within_error: u64,
    /// Records in Kafka before our reader had the row.
    pub observer_late: u64,
    /// Records that the consumer had before their acknowledgement was back at our producer.
    #[serde(default)]
    pub acknowledged_late: u64,
    /// Our reader and the envelope disagree on LSN or transaction.
    pub lsn_mismatches: u64,
}

/// Inserted events by type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(non_snake_case)] // the names of the events themselves
pub struct EventsByType {
    /// `UserCreated`.
    pub UserCreated: u64,
    /// `ActivityCreated`.
    pub ActivityCreated: u64,
    /// `ParticipantJoined`.
    pub ParticipantJoined: u64,
}

/// The stores compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Rows.
    pub postgres_count: u64,
    /// Documents.
    pub store_count: u64,
    /// Rows without a document.
    pub missing: u64,
    /// Documents without a row.
    pub extra: u64,
    /// Documents that differ from their row.
    pub differing: u64,
    /// Percent of documents that equal their row.
    pub match_percent: f64,
}
