//! A record before and after decoding.

use cdc_bench_model::observation::Operation;

/// A record as it lies in a topic.
#[derive(Debug, Clone, Copy)]
pub struct RawRecord<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its key's bytes.
    pub key: Option<&'a [u8]>,
    /// Its value's bytes; `None` for a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// What a record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// A change.
    Change(RecordChange),
    /// A record without a value, which lets a compacted topic forget the key.
    Tombstone {
        /// Its key, as [`RecordChange::key`].
        key: String,
    },
    /// Something else.
    NotAChange(NotAChange),
}

/// A record that is no change of a row, nor a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotAChange {
    /// Debezium's heartbeat.
    Heartbeat,
    /// The beginning or end of a transaction (`provide.transaction.metadata`).
    TransactionMetadata,
    /// A statement that changed a schema.
    SchemaChange,
    /// None of these, and why it is not taken for a change.
    Unknown(String),
    /// Its bytes are in an encoding, or of a schema, that is not read here, and why. It may be a change.
    Unreadable(String),
}

/// What a record says of its change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordChange {
    /// The table's schema; `None` where the record does not say it.
    pub schema: Option<String>,
    /// The table; `None` where the record does not say it, and for a message.
    pub table: Option<String>,
    /// The key's columns as JSON without spaces, sorted by name; `{}` without a key. A key of a single value is that value.
    pub key: String,
    /// What the change does; `None` where the row is all that the record has, so an insert looks like an update.
    pub operation: Option<Operation>,
    /// LSN of the change.
    pub lsn: Option<u64>,
    /// Id of its transaction.
    pub tx_id: Option<u64>,
    /// Whether a snapshot read it.
    pub is_snapshot: bool,
    /// When its transaction committed (of a snapshot, when it began), microseconds since the Unix epoch on PostgreSQL's clock.
    pub committed_at: Option<i64>,
    /// When Debezium built the record, microseconds since the Unix epoch on Connect's clock.
    pub handed_on_at: Option<i64>,
    /// The resolution of `handed_on_at`, microseconds: 1 or 1,000.
    pub resolution_us: i64,
}
