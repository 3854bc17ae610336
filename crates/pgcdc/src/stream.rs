//! The connection side of a reader: opens the stream, follows it, opens it again when it breaks, and tells the server what
//! was acknowledged.

use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use pgwire_replication::{Lsn as WireLsn, PgWireError, ReplicationClient, ReplicationEvent};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::catalogue::Catalogue;
use super::checkpoint::Progress;
use super::config::{ReaderConfig, Slot};
use super::event::Event;
use super::handover::{Flow, Handover};
use super::pgoutput::{self, Message, RelationMessage};
use super::reader::ReaderStats;
use super::snapshot::{Copying, Published, published};
use super::watch::{Watch, missing_publication};
use super::{Lsn, ReaderError};

/// First and longest pause before a broken stream is opened again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// Longest wait for the server to accept the stream.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Longest wait for the last position to be told.
const FAREWELL_LIMIT: Duration = Duration::from_secs(5);

/// A stream and whoever it is handed to.
pub(super) struct Stream<H> {
    config: ReaderConfig,
    handover: Handover<H>,
    catalogue: Catalogue,
    /// What the checkpoint has.
    progress: Progress,
    /// Where the slot stood when the stream was opened last.
    slot_at: Cell<Lsn>,
    stop: CancellationToken,
}

/// How a stream ended.
enum Ended {
    Stopped,
    Broken(PgWireError),
}

impl<H: FnMut(Event<'_>) -> Flow> Stream<H> {
    pub(super) fn new(
        config: ReaderConfig,
        handover: Handover<H>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            config,
            handover,
            catalogue: Catalogue::default(),
            progress: Progress::default(),
            slot_at: Cell::default(),
            stop,
        }
    }

    pub(super) async fn run(
        mut self,
        started: oneshot::Sender<()>,
    ) -> Result<ReaderStats, ReaderError> {
        self.begin()?;
        let (mut client, to_copy) = self.first().await?;
        // Whoever waited for the start may have gone away: then the handle is gone too, and `stop` is set.
        let _ = started.send(());
        let mut watch = Watch::start(&self.config);
        let mut ended = None;
        if !to_copy.is_empty() {
            if self.copy(to_copy, &mut watch).await?.is_break() {
                // There is no stream yet to end: the connection goes, and a temporary slot with it.
                self.acknowledge()?;
                return Ok(self.handover.stats);
            }
            ended = self.start(&mut client).await.err().map(Ended::Broken);
        }
        loop {
            let end = match ended.take() {
                Some(end) => end,
                None => self.follow(&mut client, &mut watch).await?,
            };
            match end {
                Ended::Stopped => {
                    self.acknowledge()?;
                    self.tell(&client);
                    self.tell_the_last(&client).await;
                    if let Err(error) = client.shutdown().await {
                        tracing::debug!(%error, "the stream did not close cleanly");
                    }
                    return Ok(self.handover.stats);
                }
                Ended::Broken(cause) => {
                    if let Slot::Temporary(_) = self.config.slot {
                        return Err(ReaderError::TemporarySlotLost {
                            server: self.config.server.address(),
                            last: self.handover.stats.last_lsn,
                            reason: cause.to_string(),
                        });
                    }
                    self.reject_permanent(&cause)?;
                    match self.reopen(&cause).await? {
                        Some(fresh) => client = fresh,
                        None => return Ok(self.handover.stats),
                    }
                }
            }
        }
    }

    /// The position to begin behind, where it is not the slot's own, and what is copied already.
    fn begin(&mut self) -> Result<(), ReaderError> {
        if let Some(checkpoint) = &mut self.config.checkpoint {
            self.progress = checkpoint.load().map_err(ReaderError::checkpoint)?;
        } else if self.config.snapshot.is_some() && !matches!(self.config.slot, Slot::Temporary(_))
        {
            return Err(ReaderError::CopyWithoutCheckpoint {
                slot: self.config.slot.name().clone(),
            });
        }
        for (table, point) in &self.progress.copied {
            self.handover.has_copy(table.clone(), *point);
        }
        if let Some(lsn) = self.progress.position.or(self.config.start_after) {
            self.handover.place.handled = lsn;
            self.handover.place.told = lsn;
            self.handover.acknowledger.acknowledge(lsn);
            self.handover.stats.acknowledged = lsn;
        }
        Ok(())
    }

    /// Makes the slot. The stream begins, unless there are tables to copy before it.
    async fn first(&mut self) -> Result<(ReplicationClient, Vec<Published>), ReaderError> {
        let stop = self.stop.clone();
        let opening = async {
            let mut client = self.within_limit(self.connect(true)).await?;
            let to_copy = self.tables_left().await?;
            if to_copy.is_empty() {
                let started = self.start(&mut client).await;
                started.map_err(|error| self.sorted(&error))?;
            }
            Ok((client, to_copy))
        };
        tokio::select! {
            () = stop.cancelled() => Err(ReaderError::Thread("was stopped before the stream began".to_owned())),
            opened = opening => opened,
        }
    }

    /// The published tables that are not copied yet, where they are to be.
    async fn tables_left(&mut self) -> Result<Vec<Published>, ReaderError> {
        if self.config.snapshot.is_none() {
            return Ok(Vec::new());
        }
        let mut tables = published(&self.config, &mut self.catalogue).await?;
        tables.retain(|table| !self.progress.copied.contains_key(table.name()));
        Ok(tables)
    }

    fn sorted(&self, error: &PgWireError) -> ReaderError {
        let server = &self.config.server;
        ReaderError::of(error, &server.address(), &server.user)
    }

    async fn within_limit<T>(
        &self,
        opening: impl Future<Output = Result<T, ReaderError>>,
    ) -> Result<T, ReaderError> {
        let opened = tokio::time::timeout(START_LIMIT, opening).await;
        opened.unwrap_or_else(|_| {
            Err(ReaderError::Connection {
                server: self.config.server.address(),
                reason: format!(
                    "the stream did not begin within {} s",
                    START_LIMIT.as_secs()
                ),
            })
        })
    }

    /// Connects, and makes the slot the first time.
    async fn connect(&self, first: bool) -> Result<ReplicationClient, ReaderError> {
        let acknowledged = self.handover.acknowledger.acknowledged();
        let wire = self.config.wire(self.handover.place.handled, acknowledged);
        let mut client = ReplicationClient::connect_gated(wire)
            .await
            .map_err(|error| self.sorted(&error))?;
        self.require_publications(&mut client).await?;
        if first && let Some(creation) = self.config.slot.creation() {
            match client.simple_query(&creation).await {
                // 42710: it is there already.
                Err(error)
                    if error.to_string().contains("42710")
                        && matches!(self.config.slot, Slot::Permanent { .. }) => {}
                made => drop(made.map_err(|error| self.sorted(&error))?),
            }
        }
        self.require_the_slot_where_it_was(&mut client, first)
            .await?;
        Ok(client)
    }

    /// Starts the stream.
    async fn start(&self, client: &mut ReplicationClient) -> Result<(), PgWireError> {
        let started = async {
            client.start().await?;
            client.wait_started().await
        };
        tokio::time::timeout(START_LIMIT, started)
            .await
            .unwrap_or_else(|_| {
                Err(PgWireError::Protocol(format!(
                    "the stream did not begin within {} s",
                    START_LIMIT.as_secs()
                )))
            })
    }

    /// Connects and starts the stream again.
    async fn open(&self) -> Result<ReplicationClient, ReaderError> {
        let mut client = self.within_limit(self.connect(false)).await?;
        let started = self.start(&mut client).await;
        started.map_err(|error| self.sorted(&error))?;
        Ok(client)
    }

    /// Copies tables. When a connection breaks, those that are not whole are copied anew.
    async fn copy(
        &mut self,
        mut tables: Vec<Published>,
        watch: &mut Watch,
    ) -> Result<Flow, ReaderError> {
        let mut pause = BACK_OFF.0;
        loop {
            let before = self.handover.stats.copied_rows;
            let error = match self.copy_once(&tables, watch).await {
                Err(error) if !error.is_permanent() => error,
                ended => return ended,
            };
            tracing::warn!(%error, "the initial copy broke; trying again in {} ms", pause.as_millis());
            if self.handover.stats.copied_rows > before {
                pause = BACK_OFF.0;
            }
            tokio::select! {
                () = self.stop.cancelled() => return Ok(Flow::Break(())),
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(BACK_OFF.1);
            tables.retain(|table| !self.handover.is_copied(table.name()));
        }
    }

    async fn copy_once(
        &mut self,
        tables: &[Published],
        watch: &mut Watch,
    ) -> Result<Flow, ReaderError> {
        let stop = self.stop.clone();
        let connections = self.config.snapshot.unwrap_or_default().connections;
        for table in tables {
            self.learn_types(&table.description())
                .await
                .map_err(|error| self.sorted(&error))?;
        }
        let (mut copying, plan) = tokio::select! {
            () = stop.cancelled() => return Ok(Flow::Break(())),
            begun = Copying::begin(&self.config, connections, tables, &mut self.handover) => begun?,
        };
        if self.handover.snapshot_begins(&plan).is_break() {
            return Ok(Flow::Break(()));
        }
        loop {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Flow::Break(())),
                error = watch.failed() => return Err(error),
                next = copying.next(&mut self.handover) => next?,
            };
            self.acknowledge()?;
            match next {
                Some(Flow::Continue(())) => {}
                Some(Flow::Break(())) => return Ok(Flow::Break(())),
                None => return Ok(Flow::Continue(())),
            }
        }
    }

    /// A server may stream nothing for a publication that is not there, and say so in its log alone.
    async fn require_publications(
        &self,
        client: &mut ReplicationClient,
    ) -> Result<(), ReaderError> {
        let server = &self.config.server;
        let missing = missing_publication(client, &self.config.publications).await;
        match missing.map_err(|error| self.sorted(&error))? {
            Some(name) => Err(ReaderError::NoPublication {
                server: server.address(),
                database: server.database.clone(),
                publication: name.clone(),
            }),
            None => Ok(()),
        }
    }

    /// A slot that somebody else has read from in between does not have what they acknowledged any more, and the server
    /// says nothing of it.
    async fn require_the_slot_where_it_was(
        &self,
        client: &mut ReplicationClient,
        first: bool,
    ) -> Result<(), ReaderError> {
        let (server, slot) = (&self.config.server, self.config.slot.name());
        let question = format!(
            "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{slot}'"
        );
        let rows = client
            .simple_query(&question)
            .await
            .map_err(|error| ReaderError::of(&error, &server.address(), &server.user))?;
        let stands = rows.first().and_then(|row| row.first().cloned().flatten());
        let stands = stands.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok());
        // What is not there is said when the stream is to start.
        let Some(stands) = stands else {
            return Ok(());
        };
        let ours = self.handover.acknowledger.acknowledged();
        if !first && stands > ours.max(self.slot_at.get()) {
            return Err(ReaderError::SlotMoved {
                server: server.address(),
                slot: slot.clone(),
                ours,
                stands,
            });
        }
        self.slot_at.set(stands);
        Ok(())
    }

    /// What a new connection would not change.
    fn reject_permanent(&self, cause: &PgWireError) -> Result<(), ReaderError> {
        let error = self.sorted(cause);
        if error.is_permanent() {
            return Err(error);
        }
        Ok(())
    }

    /// Opens the stream again after it broke. `None` when it was asked to stop meanwhile.
    async fn reopen(
        &mut self,
        cause: &PgWireError,
    ) -> Result<Option<ReplicationClient>, ReaderError> {
        tracing::warn!(%cause, slot = %self.config.slot.name(), "the WAL stream broke; opening it again");
        self.handover.stream_broke();
        let mut pause = BACK_OFF.0;
        loop {
            let attempt = async {
                tokio::time::sleep(pause).await;
                self.open().await
            };
            let opened = tokio::select! {
                () = self.stop.cancelled() => return Ok(None),
                opened = attempt => opened,
            };
            match opened {
                Ok(client) => {
                    self.handover.stats.reconnects += 1;
                    return Ok(Some(client));
                }
                Err(error) if error.is_permanent() => return Err(error),
                Err(error) => tracing::warn!(%error, "trying again in {} ms", pause.as_millis()),
            }
            pause = (pause * 2).min(BACK_OFF.1);
        }
    }

    async fn follow(
        &mut self,
        client: &mut ReplicationClient,
        watch: &mut Watch,
    ) -> Result<Ended, ReaderError> {
        let acknowledger = self.handover.acknowledger.clone();
        let mut store = Instant::now();
        loop {
            let event = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(Ended::Stopped),
                error = watch.failed() => return Err(error),
                () = acknowledger.raised() => {
                    // A checkpoint costs a disk's flush: as often as the server hears of it, and no oftener.
                    if self.config.checkpoint.is_none() || store <= Instant::now() {
                        store = Instant::now() + self.config.status_interval;
                        self.acknowledge()?;
                        self.tell(client);
                    }
                    continue;
                }
                () = tokio::time::sleep_until(store), if self.is_behind() && self.config.checkpoint.is_some() => {
                    store = Instant::now() + self.config.status_interval;
                    self.acknowledge()?;
                    self.tell(client);
                    continue;
                }
                event = client.recv() => event,
            };
            match event {
                Ok(Some(event)) => {
                    if self.config.describe
                        && let ReplicationEvent::XLogData { data, .. } = &event
                        && data.first() == Some(&b'R')
                    {
                        // The description comes again with the next stream.
                        if let Err(cause) = self.look_up(data).await {
                            return Ok(Ended::Broken(cause));
                        }
                    }
                    if self.handover.event(event)?.is_break() {
                        return Ok(Ended::Stopped);
                    }
                }
                Ok(None) => {
                    return Ok(Ended::Broken(PgWireError::Protocol(
                        "the server ended the stream".to_owned(),
                    )));
                }
                Err(cause) => return Ok(Ended::Broken(cause)),
            }
        }
    }

    /// Asks the catalogue for what a description does not say.
    async fn look_up(&mut self, data: &Bytes) -> Result<(), PgWireError> {
        // What is no description is an error where it is handled.
        let Ok(Message::Relation(description)) = pgoutput::decode(data) else {
            return Ok(());
        };
        self.learn_types(&description).await?;
        let server = &self.config.server;
        let columns = self.catalogue.columns(server, description.oid).await?;
        // A table that was dropped since is in the stream alone.
        self.handover.looked_up = (!columns.is_empty()).then_some(columns);
        Ok(())
    }

    /// Asks the catalogue what the types of the database's own are, where a description has one that is not known.
    async fn learn_types(&mut self, description: &RelationMessage<'_>) -> Result<(), PgWireError> {
        if self.config.describe && self.handover.relations.lacks_a_type_of(description) {
            let types = self.catalogue.types(&self.config.server).await?;
            self.handover.relations.types_mut().learn(&types);
        }
        Ok(())
    }

    fn is_behind(&self) -> bool {
        self.handover.acknowledger.acknowledged() > self.handover.stats.acknowledged
    }

    /// Tells the checkpoint what was acknowledged. The server hears of it after that: see [`Stream::tell`].
    fn acknowledge(&mut self) -> Result<(), ReaderError> {
        let copies = self.handover.acknowledger.take_copies();
        if !self.is_behind() && copies.is_empty() {
            return Ok(());
        }
        if self.is_behind() {
            self.progress.position = Some(self.handover.acknowledger.acknowledged());
        }
        self.progress.copied.extend(copies);
        if let Some(checkpoint) = &mut self.config.checkpoint {
            checkpoint
                .store(&self.progress)
                .map_err(ReaderError::checkpoint)?;
        }
        if let Some(lsn) = self.progress.position {
            self.handover.stats.acknowledged = lsn;
        }
        Ok(())
    }

    /// Tells the server what was acknowledged.
    fn tell(&self, client: &ReplicationClient) {
        client.update_applied_lsn(WireLsn::from_u64(self.handover.stats.acknowledged.0));
    }

    /// The server hears the last position before the connection closes, so that it does not send again what was
    /// acknowledged. The protocol library tells it once in a status interval.
    async fn tell_the_last(&self, client: &ReplicationClient) {
        if let Slot::Temporary(_) = self.config.slot {
            return;
        }
        let limit = (self.config.status_interval + Duration::from_millis(500)).min(FAREWELL_LIMIT);
        let told = async {
            while client.feedback_pending_since().is_some() && client.is_running() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(limit, told).await.is_err() {
            tracing::warn!(
                slot = %self.config.slot.name(),
                lsn = %self.handover.stats.acknowledged,
                "the server has not heard of the last position; what lies before it comes again"
            );
        }
    }
}
