//! The lag of replication slots.

use std::collections::BTreeMap;

use tokio_postgres::Client;

/// Bytes of WAL that each slot's walsender has not sent yet; empty if the server does not answer.
pub(crate) async fn slot_lags(postgres: &Client) -> BTreeMap<String, u64> {
    let lags = query_slot_lags(postgres).await;
    lags.unwrap_or_else(|error| {
        tracing::debug!(%error, "how far slots are behind is not known");
        BTreeMap::new()
    })
}

/// Bytes of WAL that each slot's walsender has not sent yet.
pub(crate) async fn query_slot_lags(
    postgres: &Client,
) -> Result<BTreeMap<String, u64>, tokio_postgres::Error> {
    let question = "SELECT slot_name::text, greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), sent_lsn), 0)::bigint \
        FROM pg_replication_slots JOIN pg_stat_replication ON pid = active_pid WHERE sent_lsn IS NOT NULL";
    let rows = postgres.query(question, &[]).await?;
    let lag = |row: &tokio_postgres::Row| u64::try_from(row.get::<_, i64>(1)).unwrap_or(0);
    Ok(rows.iter().map(|row| (row.get(0), lag(row))).collect())
}
