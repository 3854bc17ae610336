//! The stream of a reader: opens it, follows it, reopens it when it breaks, and acknowledges positions to the server.

mod ack_writer;
mod back_off;
mod connector;
mod initial_copy;
mod lookup;

use std::rc::Rc;

use pgwire_replication::{PgWireError, ReplicationClient, ReplicationEvent};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::ack_writer::AckWriter;
use self::back_off::BackOff;
use self::connector::{StreamConnector, StreamPosition};
use self::initial_copy::InitialCopy;
use self::lookup::CatalogueLookup;
use super::ReaderError;
use super::acknowledger::Acknowledger;
use super::config::{ReaderConfig, Slot};
use super::delivery::{Delivery, Flow};
use super::event::Event;
use super::slot_monitor::SlotMonitor;
use super::snapshot::{PublishedTable, published_tables};
use super::stats::ReaderStats;

/// A stream, with the handler that its events are delivered to.
pub(super) struct Stream<H> {
    config: Rc<ReaderConfig>,
    delivery: Delivery<H>,
    acks: AckWriter,
    connector: StreamConnector,
    lookup: CatalogueLookup,
    stop: CancellationToken,
}

/// How a stream ended.
enum StreamEnd {
    Stopped,
    Broken(PgWireError),
}

impl<H: FnMut(Event<'_>) -> Flow> Stream<H> {
    /// Loads the checkpoint, and determines the position to start after.
    pub(super) fn new(
        mut config: ReaderConfig,
        handler: H,
        acknowledger: Acknowledger,
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
            config,
            delivery,
            acks,
            stop,
        })
    }

    /// Runs until the reader is stopped or fails. `started` is sent when no later change can be missed.
    pub(super) async fn run(
        mut self,
        started: oneshot::Sender<()>,
    ) -> Result<ReaderStats, ReaderError> {
        let (mut client, tables) = self.open_first().await?;
        // The receiver may have been dropped: then the handle is gone too, and `stop` is set.
        let _ = started.send(());
        let mut monitor = SlotMonitor::start(&self.config);
        let mut ended = None;
        if !tables.is_empty() {
            if self.copy(tables, &mut monitor).await?.is_break() {
                // The stream has not started: the connection closes, and a temporary slot is dropped with it.
                self.acks.store()?;
                return Ok(self.stats());
            }
            let started = self.connector.start(&mut client).await;
            ended = started.err().map(StreamEnd::Broken);
        }
        loop {
            let end = match ended.take() {
                Some(end) => end,
                None => self.follow(&mut client, &mut monitor).await?,
            };
            match end {
                StreamEnd::Stopped => {
                    self.close(client).await?;
                    return Ok(self.stats());
                }
                StreamEnd::Broken(cause) => match self.reopen(&cause).await? {
                    Some(fresh) => client = fresh,
                    None => return Ok(self.stats()),
                },
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

    /// Connects and creates the slot. The stream starts, unless there are tables to copy before it: those are returned.
    async fn open_first(
        &mut self,
    ) -> Result<(ReplicationClient, Vec<PublishedTable>), ReaderError> {
        let stop = self.stop.clone();
        let opening = async {
            let mut client = self.connector.connect_first(self.position()).await?;
            let tables = self.tables_to_copy().await?;
            if tables.is_empty() {
                let started = self.connector.start(&mut client).await;
                started.map_err(|error| self.config.server.error_from_wire(&error))?;
            }
            Ok((client, tables))
        };
        tokio::select! {
            () = stop.cancelled() => Err(ReaderError::Thread("was stopped before the stream began".to_owned())),
            opened = opening => opened,
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
        monitor: &mut SlotMonitor,
    ) -> Result<Flow, ReaderError> {
        let copy = InitialCopy {
            config: &self.config,
            delivery: &mut self.delivery,
            lookup: &mut self.lookup,
            acks: &mut self.acks,
            monitor,
            stop: self.stop.clone(),
        };
        copy.run(tables).await
    }

    /// Delivers the events of a stream until it ends, and acknowledges in between.
    async fn follow(
        &mut self,
        client: &mut ReplicationClient,
        monitor: &mut SlotMonitor,
    ) -> Result<StreamEnd, ReaderError> {
        let mut store_at = Instant::now();
        loop {
            let event = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(StreamEnd::Stopped),
                error = monitor.failed() => return Err(error),
                () = self.acks.changed() => {
                    // A checkpoint costs a flush of the disk: it is stored once in a status interval.
                    if !self.acks.has_checkpoint() || store_at <= Instant::now() {
                        store_at = self.acknowledge(client)?;
                    }
                    continue;
                }
                () = tokio::time::sleep_until(store_at), if self.acks.is_pending() && self.acks.has_checkpoint() => {
                    store_at = self.acknowledge(client)?;
                    continue;
                }
                event = client.recv() => event,
            };
            match event {
                Ok(Some(event)) => {
                    if let ReplicationEvent::XLogData { data, .. } = &event
                        && self.lookup.is_needed(data, self.delivery.transaction())
                        && let Err(cause) = self.lookup.look_up(data, &mut self.delivery).await
                    {
                        // The next stream repeats the description.
                        return Ok(StreamEnd::Broken(cause));
                    }
                    if self.delivery.event(event)?.is_break() {
                        return Ok(StreamEnd::Stopped);
                    }
                }
                Ok(None) => {
                    return Ok(StreamEnd::Broken(PgWireError::Protocol(
                        "the server ended the stream".to_owned(),
                    )));
                }
                Err(cause) => return Ok(StreamEnd::Broken(cause)),
            }
        }
    }

    /// Stores what was acknowledged and acknowledges it to the server. Returns when a checkpoint is due next.
    fn acknowledge(&mut self, client: &ReplicationClient) -> Result<Instant, ReaderError> {
        let next = Instant::now() + self.config.status_interval;
        self.acks.store()?;
        self.acks.send(client);
        Ok(next)
    }

    /// Reopens the stream after it broke. `None` when the reader was stopped meanwhile.
    ///
    /// # Errors
    /// When a new connection cannot continue the stream.
    async fn reopen(
        &mut self,
        cause: &PgWireError,
    ) -> Result<Option<ReplicationClient>, ReaderError> {
        if let Slot::Temporary(_) = self.config.slot {
            return Err(ReaderError::TemporarySlotLost {
                server: self.config.server.address(),
                last: self.delivery.stats.last_lsn,
                reason: cause.to_string(),
            });
        }
        let error = self.config.server.error_from_wire(cause);
        if error.is_permanent() {
            return Err(error);
        }
        tracing::warn!(%cause, slot = %self.config.slot.name(), "the WAL stream broke; opening it again");
        self.delivery.stream_broke();
        let mut back_off = BackOff::new();
        let mut pause = back_off.pause();
        loop {
            let attempt = async {
                tokio::time::sleep(pause).await;
                self.connector.reopen(self.position()).await
            };
            let opened = tokio::select! {
                () = self.stop.cancelled() => return Ok(None),
                opened = attempt => opened,
            };
            match opened {
                Ok(client) => {
                    self.delivery.stats.reconnects += 1;
                    return Ok(Some(client));
                }
                Err(error) if error.is_permanent() => return Err(error),
                Err(error) => {
                    pause = back_off.pause();
                    tracing::warn!(%error, "trying again in {} ms", pause.as_millis());
                }
            }
        }
    }

    /// Acknowledges the last position and closes the stream.
    async fn close(&mut self, mut client: ReplicationClient) -> Result<(), ReaderError> {
        self.acknowledge(&client)?;
        // A temporary slot is dropped with the connection: its position does not matter.
        if !matches!(self.config.slot, Slot::Temporary(_)) {
            let (slot, interval) = (self.config.slot.name(), self.config.status_interval);
            self.acks.send_last(&client, slot, interval).await;
        }
        if let Err(error) = client.shutdown().await {
            tracing::debug!(%error, "the stream did not close cleanly");
        }
        Ok(())
    }
}
