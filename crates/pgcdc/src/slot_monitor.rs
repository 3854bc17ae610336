//! Heartbeats, and checks of the slot's retained WAL and of the publications, while the stream runs.

use std::time::Duration;

use pgwire_replication::{PgWireError, ReplicationClient};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::config::ReaderConfig;
use super::server::Server;
use super::{ReaderError, SlotName};

/// Prefix of the heartbeat messages in the WAL.
pub(super) const HEARTBEAT_PREFIX: &str = "pgcdc_heartbeat";
/// Interval of the checks.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Pause before a broken connection is reopened.
const RECONNECT_PAUSE: Duration = Duration::from_secs(2);

/// A task with its own connection; aborted on drop.
pub(super) struct SlotMonitor {
    task: Option<JoinHandle<()>>,
    failure: Option<oneshot::Receiver<ReaderError>>,
}

impl SlotMonitor {
    /// Starts the task on the current runtime, if heartbeats or a limit are configured.
    pub(super) fn start(config: &ReaderConfig) -> Self {
        if config.heartbeat.is_none() && config.max_retained_wal.is_none() {
            return Self {
                task: None,
                failure: None,
            };
        }
        let (failed, failure) = oneshot::channel();
        let checks = SlotChecks {
            server: config.server.clone(),
            slot: config.slot.name().clone(),
            publications: config.publications.clone(),
            heartbeat: config.heartbeat,
            limit: config.max_retained_wal,
        };
        let task = tokio::spawn(async move {
            let error = checks.run().await;
            // The receiver may have been dropped: then the reader has ended.
            let _ = failed.send(error);
        });
        Self {
            task: Some(task),
            failure: Some(failure),
        }
    }

    /// Resolves with the reason why the stream must end; otherwise never.
    pub(super) async fn failed(&mut self) -> ReaderError {
        if let Some(failure) = &mut self.failure
            && let Ok(error) = failure.await
        {
            self.failure = None;
            return error;
        }
        std::future::pending().await
    }
}

impl Drop for SlotMonitor {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// What the task does.
struct SlotChecks {
    server: Server,
    slot: SlotName,
    publications: Vec<String>,
    heartbeat: Option<Duration>,
    limit: Option<u64>,
}

impl SlotChecks {
    /// Runs until there is a reason for the stream to end. A connection that breaks is reopened.
    async fn run(&self) -> ReaderError {
        loop {
            match self.session().await {
                Ok(error) => return error,
                Err(error) => {
                    tracing::debug!(%error, "the connection beside the WAL stream broke");
                    tokio::time::sleep(RECONNECT_PAUSE).await;
                }
            }
        }
    }

    async fn session(&self) -> Result<ReaderError, PgWireError> {
        let mut client = ReplicationClient::connect_gated(self.server.query_session()).await?;
        let interval = self
            .heartbeat
            .map_or(CHECK_INTERVAL, |heartbeat| heartbeat.min(CHECK_INTERVAL));
        let mut next_heartbeat = tokio::time::Instant::now();
        let mut next_check = next_heartbeat;
        loop {
            let now = tokio::time::Instant::now();
            if let Some(heartbeat) = self.heartbeat
                && next_heartbeat <= now
            {
                next_heartbeat = now + heartbeat;
                // Transactional: the slot advances its restart position at commits only.
                client
                    .simple_query(&format!(
                        "SELECT pg_logical_emit_message(true, '{HEARTBEAT_PREFIX}', '')"
                    ))
                    .await?;
            }
            if next_check <= now {
                next_check = now + CHECK_INTERVAL;
                if let Some(error) = self.check(&mut client).await? {
                    return Ok(error);
                }
            }
            tokio::time::sleep(interval).await;
        }
    }

    /// Returns the reason why the stream must end, if there is one.
    async fn check(
        &self,
        client: &mut ReplicationClient,
    ) -> Result<Option<ReaderError>, PgWireError> {
        if let Some(limit) = self.limit {
            let retained = self.retained_wal(client).await?;
            if retained > limit {
                return Ok(Some(ReaderError::RetainedWal {
                    server: self.server.address(),
                    slot: self.slot.clone(),
                    retained,
                    limit,
                }));
            }
        }
        // The server ignores a publication that was dropped, and sends nothing of its tables.
        let missing = missing_publication(client, &self.publications).await?;
        Ok(missing.map(|name| ReaderError::NoPublication {
            server: self.server.address(),
            database: self.server.database.clone(),
            publication: name.clone(),
        }))
    }

    /// Bytes of WAL that the slot retains.
    async fn retained_wal(&self, client: &mut ReplicationClient) -> Result<u64, PgWireError> {
        let sql = format!(
            "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint FROM pg_replication_slots WHERE slot_name = '{}'",
            self.slot
        );
        let rows = client.simple_query(&sql).await?;
        let bytes = rows.first().and_then(|row| row.first().cloned().flatten());
        Ok(bytes
            .and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse().ok())
            .unwrap_or(0))
    }
}

/// The first of these publications that does not exist.
pub(super) async fn missing_publication<'a>(
    client: &mut ReplicationClient,
    names: &'a [String],
) -> Result<Option<&'a String>, PgWireError> {
    let rows = client
        .simple_query("SELECT pubname FROM pg_publication")
        .await?;
    let exists = |name: &String| {
        rows.iter()
            .any(|row| matches!(row.first(), Some(Some(found)) if found == name.as_bytes()))
    };
    Ok(names.iter().find(|name| !exists(name)))
}
