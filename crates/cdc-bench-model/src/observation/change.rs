//! A change of a row, and what each tap reports of it.

use std::sync::Arc;

use super::Operation;
use crate::timeline::{Nanos, Stamp};

/// Which change.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ChangeId {
    /// Its table, as `schema.table`.
    pub table: Arc<str>,
    /// Canonical JSON of the key's columns: see [`canonical_key`](super::canonical_key).
    pub key: Arc<str>,
    /// Position of the row in the WAL; `None` where a record does not carry it.
    pub lsn: Option<u64>,
    /// What was done.
    pub operation: Operation,
}

/// What the reader of the WAL reports. Changes are reported in the order of the stream, which is that of their commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedChange {
    /// Which change.
    pub id: ChangeId,
    /// Commit time, on PostgreSQL's clock, uncorrected (Tc).
    pub tc: Stamp,
    /// When our reader had it (T1).
    pub t1: Stamp,
}

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordPosition {
    /// Index of the topic among those that are tapped.
    pub topic: usize,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// Whose clock a record's timestamp is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StampedBy {
    /// The broker's, when it appended the record (`LogAppendTime`).
    Broker,
    /// The producer's, before it sent the record (`CreateTime`).
    Producer,
}

/// What the reader of the topics reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedChange {
    /// Which change.
    pub id: ChangeId,
    /// Where its record is.
    pub position: RecordPosition,
    /// When Debezium handed it on, on Connect's clock, uncorrected, and the resolution of that stamp (Td).
    pub td: Option<(Stamp, Nanos)>,
    /// The record's timestamp, uncorrected: the beginning of its millisecond (T2).
    pub t2: Option<Stamp>,
    /// Whose clock that is.
    pub stamped_by: StampedBy,
    /// When our reader had the record (T3).
    pub t3: Stamp,
}

/// What the tap of the sink reports: a row was written or deleted there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkChange {
    /// Table of the source that it belongs to.
    pub table: Arc<str>,
    /// The key, in the form of [`ChangeId::key`].
    pub key: Arc<str>,
    /// Whether the row was deleted.
    pub is_delete: bool,
    /// When it was seen, on our clock (T5).
    pub at: Stamp,
    /// When the sink committed it, on its own clock, uncorrected, where it says so.
    pub stored: Option<Stamp>,
}
