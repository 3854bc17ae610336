//! The lag of replication slots, and the WAL that they hold back.

use std::collections::BTreeMap;

use tokio_postgres::Client;

/// How far a slot is behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SlotLag {
    /// Bytes of WAL that its walsender has not sent yet; `None` where nobody reads it.
    pub(crate) unsent: Option<u64>,
    /// Bytes of WAL that it keeps on the server's disk.
    pub(crate) held: Option<u64>,
}

/// Bytes of WAL that each slot's walsender has not sent yet; empty if the server does not answer.
pub(crate) async fn slot_lags(postgres: &Client) -> BTreeMap<String, u64> {
    match query_slots(postgres).await {
        Ok(slots) => {
            let unsent = slots.into_iter();
            unsent
                .filter_map(|(name, slot)| Some((name, slot.unsent?)))
                .collect()
        }
        Err(error) => {
            tracing::debug!(%error, "how far slots are behind is not known");
            BTreeMap::new()
        }
    }
}

/// Every slot's lag.
pub(crate) async fn query_slots(
    postgres: &Client,
) -> Result<BTreeMap<String, SlotLag>, tokio_postgres::Error> {
    let question = "SELECT slot_name::text, \
        greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), sent_lsn), 0)::bigint, \
        greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint \
        FROM pg_replication_slots LEFT JOIN pg_stat_replication ON pid = active_pid";
    let rows = postgres.query(question, &[]).await?;
    let bytes = |row: &tokio_postgres::Row, column| {
        let bytes: Option<i64> = row.get(column);
        bytes.and_then(|bytes| u64::try_from(bytes).ok())
    };
    let lag = |row: &tokio_postgres::Row| SlotLag {
        unsent: bytes(row, 1),
        held: bytes(row, 2),
    };
    Ok(rows.iter().map(|row| (row.get(0), lag(row))).collect())
}
