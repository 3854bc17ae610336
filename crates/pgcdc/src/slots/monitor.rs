//! Heartbeats, and checks of the slot's retained WAL and of the publications, while the stream runs.

use std::time::Duration;

use crate::reader::config::ReaderConfig;
use crate::server::Server;
use crate::server::session::Session;
use crate::slots::WAL_END;
use crate::{ReaderError, SlotName};

/// Prefix of the heartbeat messages in the WAL.
pub(crate) const HEARTBEAT_PREFIX: &str = "pgcdc_heartbeat";
/// Interval of the checks.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Pause before a broken connection is reopened.
const RECONNECT_PAUSE: Duration = Duration::from_secs(2);

/// Heartbeats and checks, with a connection of their own.
pub(crate) struct SlotMonitor {
    server: Server,
    slot: SlotName,
    publications: Vec<String>,
    heartbeat: Option<Duration>,
    limit: Option<u64>,
}

impl SlotMonitor {
    /// `None` when neither heartbeats nor a limit are configured.
    pub(crate) fn new(config: &ReaderConfig) -> Option<Self> {
        let is_needed = config.heartbeat.is_some() || config.max_retained_wal.is_some();
        is_needed.then(|| Self {
            server: config.server.clone(),
            slot: config.slot.name().clone(),
            publications: config.publications.clone(),
            heartbeat: config.heartbeat,
            limit: config.max_retained_wal,
        })
    }

    /// Runs until there is a reason for the stream to end. A connection that breaks is reopened.
    pub(crate) async fn run(&self) -> ReaderError {
        loop {
            match self.session().await {
                Err(error) if !error.is_permanent() => {
                    tracing::warn!(%error, slot = %self.slot, "heartbeats and the guard of the retained WAL pause; trying again");
                    tokio::time::sleep(RECONNECT_PAUSE).await;
                }
                // A guard that cannot work is none.
                Err(error) | Ok(error) => return error,
            }
        }
    }

    async fn session(&self) -> Result<ReaderError, ReaderError> {
        let session = Session::open(&self.server).await?;
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
                session
                    .query(&format!(
                        "SELECT pg_logical_emit_message(true, '{HEARTBEAT_PREFIX}', '')"
                    ))
                    .await?;
            }
            if next_check <= now {
                next_check = now + CHECK_INTERVAL;
                if let Some(error) = self.check(&session).await? {
                    return Ok(error);
                }
            }
            tokio::time::sleep(interval).await;
        }
    }

    /// Returns the reason why the stream must end, if there is one.
    async fn check(&self, session: &Session) -> Result<Option<ReaderError>, ReaderError> {
        if let Some(limit) = self.limit {
            let Some(retained) = self.retained_wal(session).await? else {
                return Ok(Some(ReaderError::SlotGone {
                    server: self.server.address(),
                    slot: self.slot.clone(),
                }));
            };
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
        let known = session.query(PUBLICATIONS).await?;
        let missing = missing_publication(&known, &self.publications);
        Ok(missing.map(|name| ReaderError::NoPublication {
            server: self.server.address(),
            database: self.server.database.clone(),
            publication: name.clone(),
        }))
    }

    /// Bytes of WAL that the slot retains; `None` when it does not exist any more.
    async fn retained_wal(&self, session: &Session) -> Result<Option<u64>, ReaderError> {
        let sql = format!(
            "SELECT greatest(pg_wal_lsn_diff({WAL_END}, restart_lsn), 0)::bigint FROM pg_replication_slots WHERE slot_name = '{}'",
            self.slot
        );
        let rows = session.query(&sql).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let bytes = row.first().and_then(|bytes| bytes.as_deref()?.parse().ok());
        match bytes {
            Some(bytes) => Ok(Some(bytes)),
            None => Err(ReaderError::SlotUnusable {
                server: self.server.address(),
                slot: self.slot.clone(),
                reason: "does not say how much WAL it retains: it is lost".to_owned(),
                remedy: "drop it, and begin anew with an initial copy".to_owned(),
            }),
        }
    }
}

/// The names of all publications.
pub(crate) const PUBLICATIONS: &str = "SELECT pubname FROM pg_publication";

/// The first of these publications that is not among those the server knows.
pub(crate) fn missing_publication<'a>(
    known: &[Vec<Option<String>>],
    names: &'a [String],
) -> Option<&'a String> {
    let exists = |name: &&String| {
        let is_it = |row: &Vec<Option<String>>| row.first() == Some(&Some((*name).clone()));
        known.iter().any(is_it)
    };
    names.iter().find(|name| !exists(name))
}
