//! Replication slots of the source.

use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::error::{SourceError, refused};

/// How many of these slots exist.
///
/// # Errors
/// When the server refuses.
pub(crate) async fn existing_slots(client: &Client, names: &[&str]) -> Result<i64, SourceError> {
    let question = "SELECT count(*) FROM pg_replication_slots WHERE slot_name::text = ANY($1)";
    let row = client.query_one(question, &[&names]).await;
    Ok(row.map_err(refused("read its slots"))?.get(0))
}

/// Drops a slot once it is no longer in use. Does nothing if it does not exist.
///
/// # Errors
/// [`SourceError::SlotActive`] if it is still in use after the limit.
pub async fn drop_slot(client: &Client, name: &str, limit: Duration) -> Result<(), SourceError> {
    let began = Instant::now();
    loop {
        let slot = client
            .query_opt(
                "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1",
                &[&name],
            )
            .await;
        let Some(row) = slot.map_err(refused("read its slots"))? else {
            return Ok(());
        };
        let Some(pid) = row.get::<_, Option<i32>>(0) else {
            match client
                .execute("SELECT pg_drop_replication_slot($1)", &[&name])
                .await
            {
                Ok(_) => return Ok(()),
                // Acquired or dropped by another session in between.
                Err(error) if matches!(error.code(), Some(code) if *code == SqlState::OBJECT_IN_USE || *code == SqlState::UNDEFINED_OBJECT) =>
                {
                    continue;
                }
                Err(error) => {
                    return Err(refused(&format!("drop replication slot \"{name}\""))(error));
                }
            }
        };
        if began.elapsed() > limit {
            return Err(SourceError::SlotActive {
                slot: name.to_owned(),
                pid,
                seconds: limit.as_secs(),
            });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
