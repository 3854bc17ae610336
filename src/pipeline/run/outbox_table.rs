//! Reads inserts into the outbox from the WAL: the identity of an event, without a copy.

use std::sync::Arc;

use cdc_bench_model::event::{AGGREGATE_ID, EventId, SCHEMA, Shard};
use pgcdc::pgoutput::{Tuple, Value};
use pgcdc::{Change, Operation, Relation};
use uuid::Uuid;

/// The identity of an outbox event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxKey<'a> {
    /// Primary key.
    pub id: EventId,
    /// The run that inserted it.
    pub run_id: &'a str,
    /// Its sequence number in that run.
    pub seq: u64,
    /// What it happened to.
    pub aggregate_id: &'a str,
}

/// An outbox row that is not a valid event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboxError {
    /// The table lacks a column, or the publication leaves it out.
    #[error("the outbox as published has no column \"{0}\"")]
    MissingColumn(&'static str),
    /// A column holds an invalid value.
    #[error("column \"{column}\" of the outbox holds {found}, not {expected}")]
    Value {
        /// Name of the column.
        column: &'static str,
        /// The value found.
        found: String,
        /// The value expected.
        expected: &'static str,
    },
}

/// Reads inserts into a table of the outbox. Column positions are looked up once per description of the table.
#[derive(Debug)]
pub struct OutboxTable {
    name: String,
    described: Option<(Arc<Relation>, OutboxColumns)>,
}

#[derive(Debug, Clone, Copy)]
struct OutboxColumns {
    id: usize,
    run_id: usize,
    seq: usize,
    aggregate_id: usize,
}

impl OutboxTable {
    /// The table of this shard.
    #[must_use]
    pub fn of(shard: Shard) -> Self {
        Self {
            name: shard.table(),
            described: None,
        }
    }

    /// The event a change inserts; `None` for every other change.
    ///
    /// # Errors
    /// When the row is not a valid event.
    pub fn read<'a>(
        &mut self,
        change: &'a Change<'_>,
    ) -> Result<Option<OutboxKey<'a>>, OutboxError> {
        let relation = change.relation;
        if relation.name != self.name
            || relation.schema != SCHEMA
            || change.operation != Operation::Insert
        {
            return Ok(None);
        }
        let Some(row) = &change.new else {
            return Ok(None);
        };
        let columns = self.columns(relation)?;
        let id = text(row, columns.id, "id")?;
        let id = Uuid::try_parse(id).map_err(|_| wrong("id", id, "a UUID"))?;
        let seq = text(row, columns.seq, "seq")?;
        let seq = seq
            .parse()
            .map_err(|_| wrong("seq", seq, "a number from 0"))?;
        Ok(Some(OutboxKey {
            id: EventId(id),
            run_id: text(row, columns.run_id, "run_id")?,
            seq,
            aggregate_id: text(row, columns.aggregate_id, AGGREGATE_ID)?,
        }))
    }

    fn columns(&mut self, relation: &Arc<Relation>) -> Result<OutboxColumns, OutboxError> {
        if let Some((known, columns)) = &self.described
            && Arc::ptr_eq(known, relation)
        {
            return Ok(*columns);
        }
        let find = |name| {
            relation
                .column(name)
                .ok_or(OutboxError::MissingColumn(name))
        };
        let columns = OutboxColumns {
            id: find("id")?,
            run_id: find("run_id")?,
            seq: find("seq")?,
            aggregate_id: find(AGGREGATE_ID)?,
        };
        self.described = Some((Arc::clone(relation), columns));
        Ok(columns)
    }
}

fn wrong(column: &'static str, found: &str, expected: &'static str) -> OutboxError {
    OutboxError::Value {
        column,
        found: format!("{found:?}"),
        expected,
    }
}

fn text<'a>(row: &Tuple<'a>, index: usize, column: &'static str) -> Result<&'a str, OutboxError> {
    match row.get(index) {
        Some(Value::Text(text)) => Ok(text),
        Some(other) => Err(OutboxError::Value {
            column,
            found: format!("{other:?}"),
            expected: "text",
        }),
        None => Err(OutboxError::MissingColumn(column)),
    }
}
