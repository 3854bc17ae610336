//! What goes on beside a stream: heartbeats, and an eye on the WAL that its slot holds back and on its publications.

use std::time::Duration;

use pgwire_replication::{PgWireError, ReplicationClient};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::config::{ReaderConfig, Server};
use super::{ReaderError, SlotName};

/// Messages of ours in the WAL.
pub(super) const HEARTBEAT_PREFIX: &str = "pgcdc_heartbeat";
/// How often the slot is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Pause after a connection of its own broke.
const PAUSE: Duration = Duration::from_secs(2);

/// A task with a connection of its own; ended when dropped.
pub(super) struct Watch {
    task: Option<JoinHandle<()>>,
    failure: Option<oneshot::Receiver<ReaderError>>,
}

impl Watch {
    /// Starts it on the current runtime, when there is something for it to do.
    pub(super) fn start(config: &ReaderConfig) -> Self {
        if config.heartbeat.is_none() && config.max_retained_wal.is_none() {
            return Self {
                task: None,
                failure: None,
            };
        }
        let (failed, failure) = oneshot::channel();
        let duty = Duty {
            server: config.server.clone(),
            slot: config.slot.name().clone(),
            publications: config.publications.clone(),
            heartbeat: config.heartbeat,
            limit: config.max_retained_wal,
        };
        let task = tokio::spawn(async move {
            let error = duty.go_on().await;
            // Whoever would hear of it may be gone.
            let _ = failed.send(error);
        });
        Self {
            task: Some(task),
            failure: Some(failure),
        }
    }

    /// Resolves when the stream is to end for what was seen; else never.
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

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

struct Duty {
    server: Server,
    slot: SlotName,
    publications: Vec<String>,
    heartbeat: Option<Duration>,
    limit: Option<u64>,
}

impl Duty {
    /// Goes on until there is a reason for the stream to end. A connection that breaks is opened again.
    async fn go_on(&self) -> ReaderError {
        loop {
            match self.session().await {
                Ok(error) => return error,
                Err(error) => {
                    tracing::debug!(%error, "the connection beside the WAL stream broke");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn session(&self) -> Result<ReaderError, PgWireError> {
        let mut client = ReplicationClient::connect_gated(self.server.session()).await?;
        let interval = self.heartbeat.map_or(LOOK, |heartbeat| heartbeat.min(LOOK));
        let mut beat = tokio::time::Instant::now();
        let mut look = beat;
        loop {
            let now = tokio::time::Instant::now();
            if let Some(heartbeat) = self.heartbeat
                && beat <= now
            {
                beat = now + heartbeat;
                // Transactional: only a commit makes the slot compute anew what it needs.
                client
                    .simple_query(&format!(
                        "SELECT pg_logical_emit_message(true, '{HEARTBEAT_PREFIX}', '')"
                    ))
                    .await?;
            }
            if look <= now {
                look = now + LOOK;
                if let Some(error) = self.look(&mut client).await? {
                    return Ok(error);
                }
            }
            tokio::time::sleep(interval).await;
        }
    }

    /// Looks for what is to end the stream.
    async fn look(
        &self,
        client: &mut ReplicationClient,
    ) -> Result<Option<ReaderError>, PgWireError> {
        if let Some(limit) = self.limit {
            let retained = self.retained(client).await?;
            if retained > limit {
                return Ok(Some(ReaderError::RetainedWal {
                    server: self.server.address(),
                    slot: self.slot.clone(),
                    retained,
                    limit,
                }));
            }
        }
        // The server goes on without one that was dropped, and sends nothing for it.
        let missing = missing_publication(client, &self.publications).await?;
        Ok(missing.map(|name| ReaderError::NoPublication {
            server: self.server.address(),
            database: self.server.database.clone(),
            publication: name.clone(),
        }))
    }

    /// Bytes of WAL that the slot holds back.
    async fn retained(&self, client: &mut ReplicationClient) -> Result<u64, PgWireError> {
        let question = format!(
            "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint FROM pg_replication_slots WHERE slot_name = '{}'",
            self.slot
        );
        let rows = client.simple_query(&question).await?;
        let bytes = rows.first().and_then(|row| row.first().cloned().flatten());
        Ok(bytes
            .and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse().ok())
            .unwrap_or(0))
    }
}

/// The first of these publications that is not there.
pub(super) async fn missing_publication<'a>(
    client: &mut ReplicationClient,
    names: &'a [String],
) -> Result<Option<&'a String>, PgWireError> {
    let rows = client
        .simple_query("SELECT pubname FROM pg_publication")
        .await?;
    let there = |name: &String| {
        rows.iter()
            .any(|row| matches!(row.first(), Some(Some(found)) if found == name.as_bytes()))
    };
    Ok(names.iter().find(|name| !there(name)))
}
