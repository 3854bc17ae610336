//! The stream of a reader: opens it, follows it, reopens it when it breaks, and acknowledges positions to the server.

mod ack_writer;
mod back_off;
mod connector;
mod follow;
mod initial_copy;
mod lookup;
mod reopenings;
mod resume;

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::ack_writer::AckWriter;
use self::connector::{ReadySession, StreamConnector, StreamPosition};
use self::initial_copy::InitialCopy;
use self::lookup::CatalogueLookup;
use self::reopenings::Reopenings;
use crate::ReaderError;
use crate::delivery::acknowledger::Acknowledger;
use crate::delivery::spool::Spools;
use crate::delivery::{Delivery, Flow};
use crate::event::Event;
use crate::reader::companion::Companion;
use crate::reader::config::{ReaderConfig, Slot};
use crate::reader::metrics::ReaderMetrics;
use crate::reader::stats::ReaderStats;
use crate::reader::stopping::unless_stopped;
use crate::slots::drop_slot;
use crate::snapshot::{PublishedTable, published_tables};
use crate::wire::ReplicationStream;

/// How often a slot that a refused start has made is tried to be dropped: its session may take a moment to end.
const DROP_ATTEMPTS: u32 = 20;
const DROP_PAUSE: Duration = Duration::from_millis(100);

/// A stream, with the handler that its events are delivered to.
pub(super) struct Stream<H> {
    config: Rc<ReaderConfig>,
    delivery: Delivery<H>,
    acks: AckWriter,
    connector: StreamConnector,
    lookup: CatalogueLookup,
    reopenings: Reopenings,
    /// Transactions that are sent while they run.
    spools: Option<Spools>,
    metrics: ReaderMetrics,
    /// When a checkpoint is due next.
    store_at: Instant,
    stop: CancellationToken,
}

/// How a stream ended.
enum StreamEnd {
    Stopped,
    Broken(ReaderError),
}

impl<H: FnMut(Event<'_>) -> Flow> Stream<H> {
    /// Loads the checkpoint, and determines the position to start after.
    pub(super) fn new(
        mut config: ReaderConfig,
        handler: H,
        acknowledger: Acknowledger,
        metrics: ReaderMetrics,
        stop: CancellationToken,
    ) -> Result<Self, ReaderError> {
        let checkpoint = config.checkpoint.take();
        if checkpoint.is_none()
            && config.snapshot.is_some()
            && !matches!(config.slot, Slot::Temporary(_))
        {
            return Err(ReaderError::CopyWithoutCheckpoint {
                slot: config.slot.name().clone(),
            });
        }
        let mut acks = AckWriter::load(acknowledger.clone(), checkpoint)?;
        let progress = acks.progress();
        let is_past_copies = progress.copied.values().max() <= progress.position.as_ref();
        if config.two_phase && (config.snapshot.is_some() || !is_past_copies) {
            return Err(ReaderError::CopyWithTwoPhase {
                slot: config.slot.name().clone(),
            });
        }
        let mut delivery = Delivery::new(&config, handler, acknowledger);
        for (table, point) in &acks.progress().copied {
            delivery.add_copy(table.clone(), *point);
        }
        // Without either, the server starts at the slot's own position.
        if let Some(lsn) = acks.progress().position.or(config.start_after) {
            delivery.start_after(lsn);
            acks.start_after(lsn);
        }
        let config = Rc::new(config);
        Ok(Self {
            connector: StreamConnector::new(Rc::clone(&config)),
            lookup: CatalogueLookup::new(Rc::clone(&config)),
            delivery,
            acks,
            reopenings: Reopenings::default(),
            spools: config.spool.clone().map(Spools::new),
            metrics,
            store_at: Instant::now(),
            config,
            stop,
        })
    }

    /// Runs until the reader is stopped or fails. `started` is sent when no later change can be missed.
    pub(super) async fn run(
        mut self,
        started: oneshot::Sender<()>,
    ) -> Result<ReaderStats, ReaderError> {
        let begun = async {
            let opened = self.open_first().await?;
            // From here on there is a slot to watch.
            let mut companion = Companion::start(&self.config)?;
            // The receiver may have been dropped: then the handle is gone too, and `stop` is set.
            let _ = started.send(());
            let stream = self.begin(opened, &mut companion).await?;
            Ok((stream, companion))
        };
        match begun.await {
            Ok((Some(stream), mut companion)) => self.follow_all(stream, &mut companion).await?,
            // The handler broke, or the reader was stopped.
            Ok((None, _)) => {}
            Err(error) => {
                self.drop_own_slot().await;
                return Err(error);
            }
        }
        Ok(self.stats())
    }

    /// Connects and creates the slot. The stream starts, unless there are tables to copy before it.
    async fn open_first(&mut self) -> Result<Opened, ReaderError> {
        let stop = self.stop.clone();
        let opening = async {
            let progress = self.acks.progress();
            let ready = self.connector.connect_first(progress, &stop).await?;
            self.acks.set_source(self.connector.source());
            let tables = self.tables_to_copy().await?;
            if tables.is_empty() {
                let stream = self.connector.start(ready, self.position()).await?;
                return Ok(Opened::Streaming(stream));
            }
            Ok(Opened::ToCopy(ready, tables))
        };
        let opened = unless_stopped(&stop, opening).await;
        opened.unwrap_or_else(|| Err(ReaderError::stopped_early()))
    }

    /// Makes the initial copy if there is one to make, and starts the stream after it. `None` when there is to be no stream.
    async fn begin(
        &mut self,
        opened: Opened,
        companion: &mut Companion,
    ) -> Result<Option<ReplicationStream>, ReaderError> {
        let (ready, tables) = match opened {
            Opened::Streaming(stream) => return Ok(Some(stream)),
            Opened::ToCopy(ready, tables) => (ready, tables),
        };
        if self.copy(tables, companion).await?.is_break() {
            // The stream has not started: the connection closes, and a temporary slot is dropped with it.
            self.acks.store()?;
            return Ok(None);
        }
        match self.connector.start(ready, self.position()).await {
            Err(error) if !error.is_permanent() => self.reopen(error).await,
            started => started.map(Some),
        }
    }

    /// Follows the stream, and those that are opened after it, until the reader is stopped or fails.
    async fn follow_all(
        &mut self,
        mut stream: ReplicationStream,
        companion: &mut Companion,
    ) -> Result<(), ReaderError> {
        loop {
            companion.reporter().follow(stream.status());
            let end = self.follow(&mut stream, companion).await;
            match end {
                Ok(StreamEnd::Stopped) => return self.close(stream).await,
                Ok(StreamEnd::Broken(cause)) => {
                    // A server that still follows the old connection would keep the slot from the new one.
                    drop(stream);
                    match self.reopen(cause).await? {
                        Some(fresh) => stream = fresh,
                        None => return Ok(()),
                    }
                }
                Err(error) => {
                    // What was delivered before is acknowledged; the error is the one to report.
                    if let Err(error) = self.close(stream).await {
                        tracing::warn!(%error, "the reader has failed, and its last position is not stored");
                    }
                    return Err(error);
                }
            }
        }
    }

    fn stats(&self) -> ReaderStats {
        ReaderStats {
            acknowledged: self.acks.stored(),
            ..self.delivery.stats
        }
    }

    fn position(&self) -> StreamPosition {
        StreamPosition {
            resume_lsn: self.delivery.resume_lsn(),
            acknowledged: self.acks.acknowledged(),
        }
    }

    /// The published tables that are still to be copied; none when no initial copy is configured.
    async fn tables_to_copy(&mut self) -> Result<Vec<PublishedTable>, ReaderError> {
        if self.config.snapshot.is_none() {
            return Ok(Vec::new());
        }
        let mut tables = published_tables(&self.config, self.lookup.catalogue()).await?;
        tables.retain(|table| !self.acks.is_copied(table.name()));
        Ok(tables)
    }

    async fn copy(
        &mut self,
        tables: Vec<PublishedTable>,
        companion: &mut Companion,
    ) -> Result<Flow, ReaderError> {
        let copy = InitialCopy {
            progress: self.acks.progress().copying.clone(),
            config: &self.config,
            delivery: &mut self.delivery,
            lookup: &mut self.lookup,
            acks: &mut self.acks,
            companion,
            metrics: &self.metrics,
            stop: self.stop.clone(),
        };
        copy.run(tables).await
    }

    /// Reopens the stream after it broke. `None` when the reader was stopped meanwhile.
    ///
    /// # Errors
    /// When a new connection cannot continue the stream.
    async fn reopen(
        &mut self,
        mut cause: ReaderError,
    ) -> Result<Option<ReplicationStream>, ReaderError> {
        if let Slot::Temporary(_) = self.config.slot {
            return Err(ReaderError::TemporarySlotLost {
                server: self.config.server.address(),
                last: self.delivery.stats.last_lsn,
                reason: cause.to_string(),
            });
        }
        self.delivery.stream_broke();
        if let Some(spools) = &mut self.spools {
            spools.clear();
        }
        // A reader that is stopped before the next stream begins has stored what its sink has.
        self.acks.store()?;
        loop {
            let at = (self.delivery.resume_lsn(), self.delivery.stats.changes);
            let pause = self.reopenings.after(cause, at, &self.config).await?;
            let stop = self.stop.clone();
            let attempt = async {
                tokio::time::sleep(pause).await;
                self.connector.reopen(self.position()).await
            };
            let opened = tokio::select! {
                () = stop.cancelled() => {
                    self.acks.store()?;
                    return Ok(None);
                }
                opened = attempt => opened,
            };
            match opened {
                Ok(stream) => {
                    self.delivery.stats.reconnects += 1;
                    self.acks.set_source(self.connector.source());
                    return Ok(Some(stream));
                }
                Err(error) => cause = error,
            }
        }
    }

    /// Acknowledges the last position and closes the stream.
    async fn close(&mut self, stream: ReplicationStream) -> Result<(), ReaderError> {
        self.acks.store()?;
        self.acks.send(stream.status());
        let was_heard = stream.close().await;
        // A temporary slot is dropped with the connection: its position does not matter.
        if !was_heard && !matches!(self.config.slot, Slot::Temporary(_)) {
            tracing::warn!(
                slot = %self.config.slot.name(),
                lsn = %self.acks.stored(),
                "the server has not confirmed the last position; what lies before it may come again"
            );
        }
        Ok(())
    }

    /// Drops the slot that a start has made and that failed before anything came of it: it would retain WAL for nobody.
    async fn drop_own_slot(&self) {
        if self.acks.has_stored()
            || !self.connector.has_created_slot()
            || !matches!(self.config.slot, Slot::Permanent { .. })
        {
            return;
        }
        let slot = self.config.slot.name();
        for _ in 0..DROP_ATTEMPTS {
            match drop_slot(&self.config.server, slot).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, %slot, "dropping the slot of a failed start"),
            }
            tokio::time::sleep(DROP_PAUSE).await;
        }
        tracing::warn!(%slot, "the start has failed, and the slot that it made could not be dropped: it retains WAL; SELECT pg_drop_replication_slot('{slot}')");
    }
}

/// What a start has led to.
enum Opened {
    Streaming(ReplicationStream),
    /// The slot exists, and these tables are to be copied before the stream.
    ToCopy(ReadySession, Vec<PublishedTable>),
}
