//! Checks that the source can be captured: settings, rights, free slots, columns.

use cdc_bench_model::RunId;
use cdc_bench_model::event::{SCHEMA, TABLE};
use pgcdc::SlotName;
use tokio_postgres::Client;

use super::connections::check_connections;
use super::error::{SourceError, refused};

/// Columns that the outbox table must have.
pub(super) const COLUMNS: [&str; 8] = [
    "id",
    "run_id",
    "seq",
    "event_type",
    "aggregate_type",
    "aggregate_id",
    "payload",
    "created_at",
];

/// Requirements on the source.
#[derive(Debug, Clone, Default)]
pub(crate) struct SourceNeeds {
    /// The run that it is prepared for; `None`: resources stay until `cleanup`.
    pub(crate) run_id: Option<RunId>,
    /// Slots and WAL senders that must be free.
    pub(crate) slots: i64,
    /// Connections that must be free, those of replication not counted.
    pub(crate) connections: i64,
    /// A permanent slot for our reader.
    pub(crate) permanent_slot: Option<SlotName>,
}

/// Checks that the source can be captured: what [`check_decoding`] asks for, and the right to create.
///
/// # Errors
/// The first problem.
pub(crate) async fn check_source(client: &Client, needs: &SourceNeeds) -> Result<(), SourceError> {
    check_decoding(client, needs.slots).await?;
    let question = "SELECT rolname::text, \
        has_database_privilege(current_database(), 'CREATE') OR (EXISTS (SELECT FROM pg_namespace WHERE nspname = 'cdc_bench') \
          AND EXISTS (SELECT FROM pg_tables WHERE schemaname = 'activity' AND tablename = 'event_outbox')), \
        current_database()::text \
        FROM pg_roles WHERE rolname = current_user";
    let row = client
        .query_one(question, &[])
        .await
        .map_err(refused("read its rights"))?;
    if !row.get::<_, bool>(1) {
        return Err(SourceError::NoCreate {
            role: row.get(0),
            database: row.get(2),
        });
    }
    check_connections(client, needs.connections).await
}

/// Checks that so many more slots can be read: `wal_level`, free slots and WAL senders, and whether a standby of this version
/// decodes.
///
/// # Errors
/// The first problem.
pub(crate) async fn check_decoding(client: &Client, needed: i64) -> Result<(), SourceError> {
    let question = "SELECT current_setting('wal_level'), \
        current_setting('max_replication_slots')::bigint, (SELECT count(*) FROM pg_replication_slots), \
        current_setting('max_wal_senders')::bigint, (SELECT count(*) FROM pg_stat_replication), \
        pg_is_in_recovery() AND current_setting('server_version_num')::int4 < 160000, current_setting('server_version')";
    let row = client
        .query_one(question, &[])
        .await
        .map_err(refused("read its settings"))?;
    if row.get(5) {
        return Err(SourceError::OldStandby {
            version: row.get(6),
        });
    }
    let wal_level: String = row.get(0);
    if wal_level != "logical" {
        return Err(SourceError::WalLevel { found: wal_level });
    }
    let (max, used): (i64, i64) = (row.get(1), row.get(2));
    if max - used < needed {
        return Err(SourceError::Slots {
            free: max - used,
            max,
            needed,
        });
    }
    let (max, used): (i64, i64) = (row.get(3), row.get(4));
    if max - used < needed {
        return Err(SourceError::Senders {
            free: max - used,
            max,
            needed,
        });
    }
    Ok(())
}

/// Checks that the outbox table has the columns that it needs.
///
/// # Errors
/// [`SourceError::Columns`], or when the server refuses.
pub(crate) async fn check_columns(client: &Client) -> Result<(), SourceError> {
    let question = "SELECT column_name::text FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2";
    let rows = client
        .query(question, &[&SCHEMA, &TABLE])
        .await
        .map_err(refused("read its catalogues"))?;
    let present: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let missing: Vec<_> = COLUMNS
        .into_iter()
        .filter(|name| !present.iter().any(|p| p == name))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(SourceError::Columns {
            missing: missing.join(", "),
        })
    }
}
