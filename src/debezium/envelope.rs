//! The fields of Debezium's change event that the consumer uses.
//!
//! Source: Debezium's documentation, "PostgreSQL connector: Data change events".

use std::borrow::Cow;

use uuid::Uuid;

use cdc_bench_model::event::EventId;
use cdc_bench_model::timeline::Stamp;

/// A change event of the outbox table.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope<'a> {
    /// `c`reate, `u`pdate, `d`elete, `r`ead (snapshot), `t`runcate, `m`essage.
    pub op: Cow<'a, str>,
    /// The row after the change.
    pub after: Option<OutboxAfter<'a>>,
    /// Its position in the source database.
    pub source: EnvelopeSource,
    /// When Debezium built this event, nanoseconds since the Unix epoch on Connect's clock (its resolution is microseconds).
    pub ts_ns: Option<i64>,
    /// The same in milliseconds, in every version of Debezium.
    pub ts_ms: Option<i64>,
}

/// The position of a change in the source database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EnvelopeSource {
    /// LSN of the row's change.
    pub lsn: Option<u64>,
    /// Transaction id.
    pub tx_id: Option<u64>,
}

/// A row of the outbox table as Debezium writes it, without its payload.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxAfter<'a> {
    /// Primary key.
    pub id: EventId,
    /// The run that inserted it.
    pub run_id: Cow<'a, str>,
    /// Its sequence number in that run.
    pub seq: u64,
    /// Column `event_type`.
    pub event_type: Cow<'a, str>,
    /// Column `aggregate_type`.
    pub aggregate_type: Cow<'a, str>,
    /// Column `aggregate_id`.
    pub aggregate_id: Uuid,
    /// Column `created_at`, microseconds since the Unix epoch; `timestamptz` is `io.debezium.time.ZonedTimestamp`, an ISO 8601 text.
    pub created_at_us: i64,
}

/// What a change event says of its row.
#[derive(Debug, Clone, PartialEq)]
pub enum RowChange<'a> {
    /// It was inserted, or read by a snapshot.
    Inserted(OutboxAfter<'a>),
    /// The same, and the event does not say which row.
    InsertedUnknown,
    /// It was updated, deleted, truncated, or this is a message: no new row.
    NoInsert,
    /// An operation that Debezium does not have.
    UnknownOperation(Cow<'a, str>),
}

impl<'a> Envelope<'a> {
    /// What it says of its row.
    #[must_use]
    pub fn into_change(self) -> RowChange<'a> {
        match (&*self.op, self.after) {
            ("c" | "r", Some(row)) => RowChange::Inserted(row),
            ("c" | "r", None) => RowChange::InsertedUnknown,
            ("u" | "d" | "t" | "m", _) => RowChange::NoInsert,
            _ => RowChange::UnknownOperation(self.op),
        }
    }

    /// The row, where this is an insert (or a row read by a snapshot).
    #[must_use]
    pub fn into_inserted(self) -> Option<OutboxAfter<'a>> {
        if matches!(&*self.op, "c" | "r") {
            self.after
        } else {
            None
        }
    }

    /// Td: when Debezium passed the event to the producer, on Connect's clock.
    #[must_use]
    pub fn debezium_ts(&self) -> Option<Stamp> {
        self.ts_ns
            .or_else(|| self.ts_ms?.checked_mul(1_000_000))
            .map(Stamp)
    }
}
