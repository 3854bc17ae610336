//! The statements that insert outbox rows, and their parameters.

use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use cdc_bench_model::event::{OutboxRow, SCHEMA};

const COLUMNS: &str = "run_id, id, seq, event_type, aggregate_type, aggregate_id, payload";

/// A statement of one row.
pub(super) fn insert_row(table: &str) -> String {
    format!(
        "INSERT INTO {SCHEMA}.{table} ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb)"
    )
}

/// A statement of several rows.
pub(super) fn insert_rows(table: &str) -> String {
    format!(
        "INSERT INTO {SCHEMA}.{table} ({COLUMNS}) \
         SELECT $1::text, given.id, given.seq, given.event_type, given.aggregate_type, given.aggregate_id, \
         given.payload::jsonb \
         FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::uuid[], $7::text[]) \
         AS given (id, seq, event_type, aggregate_type, aggregate_id, payload)"
    )
}

/// Makes a second try of rows harmless whose first try may have been committed.
pub(super) const UNLESS_THERE: &str = " ON CONFLICT (id) DO NOTHING";

/// COPY.
pub(super) fn copy_rows(table: &str) -> String {
    format!("COPY {SCHEMA}.{table} ({COLUMNS}) FROM STDIN (FORMAT binary)")
}

pub(super) async fn execute_one(
    client: &Client,
    insert: &Statement,
    run_id: &str,
    row: &OutboxRow,
) -> Result<u64, tokio_postgres::Error> {
    let event_type = row.event_type.as_str();
    let aggregate_type = row.event_type.aggregate_type();
    client
        .execute(
            insert,
            &[
                &run_id,
                &row.id.0,
                &column_seq(row),
                &event_type,
                &aggregate_type,
                &row.aggregate_id,
                &row.payload,
            ],
        )
        .await
}

pub(super) async fn execute_many(
    client: &Client,
    insert: &Statement,
    run_id: &str,
    rows: &[OutboxRow],
) -> Result<u64, tokio_postgres::Error> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id.0).collect();
    let seqs: Vec<i64> = rows.iter().map(column_seq).collect();
    let kinds = rows.iter().map(|row| row.event_type);
    let event_types: Vec<&str> = kinds.clone().map(|kind| kind.as_str()).collect();
    let aggregate_types: Vec<&str> = kinds.map(|kind| kind.aggregate_type()).collect();
    let aggregates: Vec<Uuid> = rows.iter().map(|row| row.aggregate_id).collect();
    let payloads: Vec<&str> = rows.iter().map(|row| row.payload.as_str()).collect();
    client
        .execute(
            insert,
            &[
                &run_id,
                &ids,
                &seqs,
                &event_types,
                &aggregate_types,
                &aggregates,
                &payloads,
            ],
        )
        .await
}

/// The `seq` column of a row.
pub(super) fn column_seq(row: &OutboxRow) -> i64 {
    i64::try_from(row.seq).unwrap_or(i64::MAX)
}
