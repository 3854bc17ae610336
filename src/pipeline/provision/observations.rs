//! Publications of observations. They are not in the registry, which would be a table in a database that is only looked at: a comment
//! says whose a publication is, and an advisory lock of its maker's session that it is in use.

use postgres_protocol::escape::{escape_identifier, escape_literal};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::resource_registry::{RegistryEntry, ResourceKind};
use super::source::SourceError;

/// Comment on a publication that an observation has made.
const COMMENT: &str = "made by cdc-bench observe";

/// The publications that observations have left in this database: those whose maker is gone.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn left_by_observations(
    client: &Client,
) -> Result<Vec<RegistryEntry>, tokio_postgres::Error> {
    let question = "SELECT p.pubname::text FROM pg_publication p \
           JOIN pg_description d ON d.objoid = p.oid AND d.classoid = 'pg_publication'::regclass \
         WHERE d.description = $1 \
           AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.slot_name = p.pubname AND s.database = current_database()) \
           AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.objsubid = 2 \
             AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
             AND l.classid = 'pg_publication'::regclass AND l.objid = p.oid) \
         ORDER BY 1";
    let rows = client.query(question, &[&COMMENT]).await?;
    let left = rows
        .iter()
        .map(|row| RegistryEntry::lasting(ResourceKind::Publication, row.get(0)));
    Ok(left.collect())
}

/// Makes a publication of these tables (quoted), which is in use as long as this session lasts.
///
/// # Errors
/// When the server refuses, or a table stays locked by others; nothing is made then.
pub(crate) async fn make_publication(
    client: &Client,
    name: &str,
    tables: &[String],
    via_partition_root: bool,
) -> Result<(), SourceError> {
    let options = if via_partition_root {
        " WITH (publish_via_partition_root = true)"
    } else {
        ""
    };
    // A table that is being altered, or vacuumed in full, is not waited for: whoever comes next would wait behind us.
    let make = format!(
        "BEGIN; SET LOCAL lock_timeout = '5s'; \
         CREATE PUBLICATION {quoted} FOR TABLE {tables}{options}; \
         COMMENT ON PUBLICATION {quoted} IS {comment}; \
         SELECT pg_advisory_lock('pg_publication'::regclass::oid::int4, oid::int4) FROM pg_publication WHERE pubname = {literal}; \
         COMMIT",
        quoted = escape_identifier(name),
        tables = tables.join(", "),
        comment = escape_literal(COMMENT),
        literal = escape_literal(name),
    );
    let Err(error) = client.batch_execute(&make).await else {
        return Ok(());
    };
    if let Err(error) = client.batch_execute("ROLLBACK").await {
        tracing::debug!(%error, "the transaction had ended with its connection");
    }
    let reason = match error.as_db_error() {
        Some(refusal) if *refusal.code() == SqlState::LOCK_NOT_AVAILABLE => format!(
            "{}: a table is held by another session (ALTER TABLE, VACUUM); try again when that has ended",
            refusal.message()
        ),
        Some(refusal) => refusal.message().to_owned(),
        None => error.to_string(),
    };
    Err(SourceError::Refused {
        action: format!("make publication \"{name}\" of {}", tables.join(", ")),
        reason,
    })
}

/// Drops a publication of an observation.
///
/// # Errors
/// When the server refuses.
pub(crate) async fn drop_publication(
    client: &Client,
    name: &str,
) -> Result<(), tokio_postgres::Error> {
    let quoted = escape_identifier(name);
    client
        .batch_execute(&format!("DROP PUBLICATION IF EXISTS {quoted}"))
        .await
}
