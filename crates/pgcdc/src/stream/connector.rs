//! Connects to the server and starts the stream: creates the slot, and checks that slot, position and publications are as
//! expected.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::str::FromStr;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::resume::{ResumePoint, SlotDescription, require_own};
use crate::checkpoint::{CheckpointProgress, CheckpointSource};
use crate::error::class::EXISTS;
use crate::reader::config::{Origins, ReaderConfig, Slot};
use crate::slots::creation::create_slot;
use crate::slots::monitor::{PUBLICATIONS, missing_publication};
use crate::wire::{
    ReplicationSession, ReplicationStream, StreamSettings, SystemIdentity, WireError,
};
use crate::{Lsn, ReaderError, SlotName};

/// Where the server's `wal_sender_timeout` is off.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// Shortest interval of status updates.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// Where a stream begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamPosition {
    /// Resume LSN: nothing after it was delivered.
    pub(super) resume_lsn: Lsn,
    /// Last acknowledged position.
    pub(super) acknowledged: Lsn,
}

/// Opens connections of a stream.
pub(super) struct StreamConnector {
    config: Rc<ReaderConfig>,
    /// Position of the slot (`confirmed_flush_lsn`) at the last connection.
    slot_position: Cell<Lsn>,
    /// What the reader is connected to; `None` before the first connection.
    source: RefCell<Option<CheckpointSource>>,
    has_created_slot: Cell<bool>,
}

/// A session that is ready to stream.
pub(super) struct ReadySession {
    session: ReplicationSession,
    /// The server's `wal_sender_timeout`; `None` when it is off.
    sender_timeout: Option<Duration>,
}

impl StreamConnector {
    pub(super) fn new(config: Rc<ReaderConfig>) -> Self {
        Self {
            config,
            slot_position: Cell::default(),
            source: RefCell::default(),
            has_created_slot: Cell::default(),
        }
    }

    /// What the reader is connected to, for the checkpoint.
    pub(super) fn source(&self) -> Option<CheckpointSource> {
        self.source.borrow().clone()
    }

    /// Whether this reader has created the slot, or may have.
    pub(super) fn has_created_slot(&self) -> bool {
        self.has_created_slot.get()
    }

    /// Connects for the first time, and creates the slot if it is to be created.
    pub(super) async fn connect_first(
        &self,
        progress: &CheckpointProgress,
        stop: &CancellationToken,
    ) -> Result<ReadySession, ReaderError> {
        let point = ResumePoint::first(progress, self.config.start_after);
        let (mut session, identity) = self.open().await?;
        require_own(progress, &self.source_of(&identity))?;
        let is_standby = self.require_publications(&mut session).await?;
        self.require_writable(is_standby)?;
        self.require_version(&mut session).await?;
        let found = self.slot(&mut session).await?;
        if let Some(found) = &found {
            found.require_usable(&self.config)?;
        }
        if found.is_none() || matches!(self.config.slot, Slot::Temporary(_)) {
            self.create(&mut session, stop).await?;
        }
        self.require_slot(&mut session, point, &identity, is_standby)
            .await?;
        self.ready(session, &identity).await
    }

    /// Creates the slot, if it is to be created, and there was none of its name.
    async fn create(
        &self,
        session: &mut ReplicationSession,
        stop: &CancellationToken,
    ) -> Result<(), ReaderError> {
        let Some(command) = self.config.slot.create_command(self.config.two_phase) else {
            return Ok(());
        };
        // A creation that is cut off may have made it.
        self.has_created_slot.set(true);
        match create_slot(session, &self.config, stop, &command).await {
            Ok(_) => Ok(()),
            // Another was quicker: it is not ours to drop.
            Err(ReaderError::Server { message, .. })
                if message.code == EXISTS && matches!(self.config.slot, Slot::Permanent { .. }) =>
            {
                self.has_created_slot.set(false);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Connects and starts the stream again.
    pub(super) async fn reopen(
        &self,
        position: StreamPosition,
    ) -> Result<ReplicationStream, ReaderError> {
        let (mut session, identity) = self.open().await?;
        let earlier = self.source();
        let point = ResumePoint {
            position: Some(position.acknowledged.max(self.slot_position.get())),
            timeline: earlier.as_ref().map(|source| source.timeline),
        };
        let found = self.source_of(&identity);
        if let Some(earlier) = earlier
            && earlier.system != found.system
        {
            return Err(ReaderError::ForeignCheckpoint {
                stored: earlier.to_string(),
                found: found.to_string(),
            });
        }
        let is_standby = self.require_publications(&mut session).await?;
        self.require_slot(&mut session, point, &identity, is_standby)
            .await?;
        let session = self.ready(session, &identity).await?;
        self.start(session, position).await
    }

    /// Starts the stream.
    pub(super) async fn start(
        &self,
        ready: ReadySession,
        position: StreamPosition,
    ) -> Result<ReplicationStream, ReaderError> {
        let silence_limit = self.config.silence_limit.or(ready.sender_timeout);
        // The server hears of us three times before it would give us up.
        let interval = match ready.sender_timeout {
            Some(timeout) => self.config.status_interval.min(timeout / 3),
            None => self.config.status_interval,
        };
        let settings = StreamSettings {
            acknowledged: position.acknowledged,
            status_interval: interval.max(SHORTEST_INTERVAL),
            silence_limit: silence_limit.unwrap_or(SILENCE_LIMIT),
            max_message: self.config.max_message,
        };
        let command = self.config.start_command(position.resume_lsn);
        let started = ready.session.start(&command, settings).await;
        started.map_err(|error| self.error(&error))
    }

    fn error(&self, error: &WireError) -> ReaderError {
        self.config.server.reader_error(error)
    }

    async fn open(&self) -> Result<(ReplicationSession, SystemIdentity), ReaderError> {
        let opened = async {
            let mut session = ReplicationSession::open(&self.config.server).await?;
            let identity = session.identify().await?;
            Ok((session, identity))
        };
        opened.await.map_err(|error| self.error(&error))
    }

    fn source_of(&self, identity: &SystemIdentity) -> CheckpointSource {
        CheckpointSource {
            system: identity.system.clone(),
            timeline: identity.timeline,
            database: self.config.server.database.clone(),
            slot: self.config.slot.name().to_string(),
        }
    }

    async fn ready(
        &self,
        mut session: ReplicationSession,
        identity: &SystemIdentity,
    ) -> Result<ReadySession, ReaderError> {
        let timeout_ms: Option<u64> = self.setting(&mut session, "wal_sender_timeout").await?;
        self.limit_server_memory(&mut session).await?;
        *self.source.borrow_mut() = Some(self.source_of(identity));
        Ok(ReadySession {
            session,
            sender_timeout: timeout_ms.filter(|ms| *ms > 0).map(Duration::from_millis),
        })
    }

    /// A setting of the session that is a number, in its own unit.
    async fn setting<T: FromStr>(
        &self,
        session: &mut ReplicationSession,
        name: &str,
    ) -> Result<Option<T>, ReaderError> {
        let sql = format!("SELECT setting FROM pg_settings WHERE name = '{name}'");
        let rows = session.query(&sql).await;
        let rows = rows.map_err(|error| self.error(&error))?;
        let text = rows.first().and_then(|row| row.first()?.as_deref());
        Ok(text.and_then(|text| text.parse().ok()))
    }

    /// Lets the session send large transactions as early as configured: see [`SpoolConfig`](crate::SpoolConfig).
    async fn limit_server_memory(
        &self,
        session: &mut ReplicationSession,
    ) -> Result<(), ReaderError> {
        const NAME: &str = "logical_decoding_work_mem";
        /// The least that the server takes.
        const LEAST_KB: usize = 64;
        let spool = self.config.spool.as_ref();
        let Some(bytes) = spool.and_then(|spool| spool.server_memory) else {
            return Ok(());
        };
        let limit_kb = (bytes / 1_024).max(LEAST_KB);
        let has_more = |kb: usize| kb > limit_kb;
        if self.setting(session, NAME).await?.is_some_and(has_more) {
            let set = session.query(&format!("SET {NAME} = {limit_kb}")).await;
            set.map_err(|error| self.error(&error))?;
        }
        Ok(())
    }

    /// Some server versions stream nothing for a publication that does not exist, and report it in their log alone. Returns
    /// whether the server is a standby.
    async fn require_publications(
        &self,
        session: &mut ReplicationSession,
    ) -> Result<bool, ReaderError> {
        let known = session.query(PUBLICATIONS).await;
        let known = known.map_err(|error| self.error(&error))?;
        let server = &self.config.server;
        if let Some(name) = missing_publication(&known, &self.config.publications) {
            return Err(ReaderError::NoPublication {
                server: server.address(),
                database: server.database.clone(),
                publication: name.clone(),
            });
        }
        let rows = session.query("SELECT pg_is_in_recovery()").await;
        let rows = rows.map_err(|error| self.error(&error))?;
        Ok(rows.first().and_then(|row| row.first()?.as_deref()) == Some("t"))
    }

    /// A guard that cannot work is an error and not a silence.
    fn require_writable(&self, is_standby: bool) -> Result<(), ReaderError> {
        if is_standby && self.config.heartbeat.is_some() {
            return Err(ReaderError::Standby {
                server: self.config.server.address(),
                reason:
                    "a heartbeat cannot be written there; write it on the primary, or leave it out"
                        .to_owned(),
            });
        }
        Ok(())
    }

    /// An older server calls what it does not know a syntax error.
    async fn require_version(&self, session: &mut ReplicationSession) -> Result<(), ReaderError> {
        let Some((needed, what, remedy)) = self.needed_version() else {
            return Ok(());
        };
        let number: Option<u32> = self.setting(session, "server_version_num").await?;
        let version = number.unwrap_or(0) / 10_000;
        if version >= needed {
            return Ok(());
        }
        Err(ReaderError::SlotUnusable {
            server: self.config.server.address(),
            slot: self.config.slot.name().clone(),
            reason: format!("{what}: that needs PostgreSQL {needed}, and this is {version}"),
            remedy: remedy.to_owned(),
        })
    }

    /// The version that the configuration needs, for what, and what to do without it.
    fn needed_version(&self) -> Option<(u32, &'static str, &'static str)> {
        let failover = matches!(self.config.slot, Slot::Permanent { failover: true, .. });
        if failover {
            return Some((
                17,
                "cannot be synchronised to standbys",
                "leave failover out",
            ));
        }
        let local = self.config.origins == Origins::Local;
        self.config.two_phase.then_some(if local {
            (
                16,
                "cannot leave out what was prepared elsewhere",
                "leave out ReaderConfig::two_phase, or deliver transactions of any origin",
            )
        } else {
            (
                15,
                "cannot send transactions when they are prepared",
                "leave out ReaderConfig::two_phase",
            )
        })
    }

    async fn slot(
        &self,
        session: &mut ReplicationSession,
    ) -> Result<Option<SlotDescription>, ReaderError> {
        let name: &SlotName = self.config.slot.name();
        let rows = session.query(&SlotDescription::query(name)).await;
        let rows = rows.map_err(|error| self.error(&error))?;
        let Some(json) = rows.first().and_then(|row| row.first()?.as_deref()) else {
            return Ok(None);
        };
        let slot = serde_json::from_str(json).map_err(|error| ReaderError::Protocol {
            server: self.config.server.address(),
            reason: format!("its description of slot \"{name}\": {error}"),
        });
        slot.map(Some)
    }

    /// Refuses a slot that cannot be read, or not from the position to go on from. When it stands after that position, the changes in between are lost, and the server does not
    /// report it.
    async fn require_slot(
        &self,
        session: &mut ReplicationSession,
        point: ResumePoint,
        identity: &SystemIdentity,
        is_standby: bool,
    ) -> Result<(), ReaderError> {
        let (server, slot) = (&self.config.server, self.config.slot.name());
        // The start of the stream reports a slot that does not exist.
        let found = self.slot(session).await?;
        if let Some(found) = &found {
            found.require_usable(&self.config)?;
        }
        let confirmed = found.and_then(|slot| slot.confirmed());
        if point.needs_history(identity) {
            let command = format!("TIMELINE_HISTORY {}", identity.timeline);
            let rows = session.query(&command).await;
            let rows = rows.map_err(|error| self.error(&error))?;
            let history = rows.first().and_then(|row| row.get(1)?.as_deref());
            point.require_in_history(history.unwrap_or_default(), identity, server)?;
        }
        point.require(identity, is_standby, confirmed, slot, server)?;
        if let Some(confirmed) = confirmed {
            self.slot_position.set(confirmed);
        }
        Ok(())
    }
}
