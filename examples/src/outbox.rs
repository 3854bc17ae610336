//! The rows of an outbox table.

use pgcdc::{Batch, Operation, OwnedChange, RowError};
use serde::Deserialize;

/// An event: a row that was inserted into the outbox.
#[derive(Debug, Deserialize)]
pub struct OutboxEvent<'a> {
    /// Key of the row.
    pub id: i64,
    /// What the event is about. The events of one are delivered in the order of their commits.
    pub aggregate_id: &'a str,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: &'a str,
    /// Its content: JSON as PostgreSQL writes it, numbers of any precision included.
    pub payload: &'a str,
    /// Names the event among all of its database, and is the same whenever it is delivered: position of the commit, and number of
    /// events before it in the transaction.
    #[serde(skip)]
    pub idempotency_key: String,
}

/// Why the batch is not one of an outbox.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// A row is not as [`OutboxEvent`].
    #[error("{table} is no outbox: {source}")]
    Row {
        /// The table.
        table: String,
        /// What is wrong.
        source: RowError,
    },
    /// A row of an initial copy, which has neither a place in the order of events nor a position.
    #[error("a row of {0} is of an initial copy: start without ReaderConfig::snapshot")]
    Copied(String),
}

/// The events of a batch, in order. Rows that were updated or deleted are none.
pub fn outbox_events(
    batch: &Batch,
) -> impl Iterator<Item = Result<OutboxEvent<'_>, OutboxError>> + Send {
    batch.changes().filter_map(|change| match change.operation {
        Operation::Insert => Some(event(change)),
        Operation::Read(_) => Some(Err(OutboxError::Copied(change.relation.to_string()))),
        Operation::Update | Operation::Delete | Operation::Truncate { .. } => None,
    })
}

fn event(change: &OwnedChange) -> Result<OutboxEvent<'_>, OutboxError> {
    let event = change.deserialize().map_err(|source| OutboxError::Row {
        table: change.relation.to_string(),
        source,
    })?;
    Ok(OutboxEvent {
        idempotency_key: format!("{}-{}", change.transaction.commit_lsn, change.index),
        ..event
    })
}
