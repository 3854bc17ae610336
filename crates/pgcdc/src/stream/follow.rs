//! Follows a stream: delivers what it brings, keeps transactions under way, and acknowledges in between.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Stream, StreamEnd};
use crate::delivery::Flow;
use crate::delivery::spool::{Frame, SpoolReader, Spooled, Spools};
use crate::event::Event;
use crate::reader::companion::Companion;
use crate::wire::{ReplicationStream, StreamMessage, StreamStatus};
use crate::{Lsn, ReaderError};

/// Messages between two looks at whether the reader is to stop, and whether an acknowledgement is due.
const LOOK_INTERVAL: u32 = 64;
/// Without a checkpoint: between two times at which acknowledgements are taken over. Each would wake this thread otherwise, and the
/// server is told of them in the status interval only.
const ACKNOWLEDGE_INTERVAL: Duration = Duration::from_millis(100);

impl<H: FnMut(Event<'_>) -> Flow> Stream<H> {
    /// Delivers the events of a stream until it ends, and acknowledges in between.
    pub(super) async fn follow(
        &mut self,
        stream: &mut ReplicationStream,
        companion: &mut Companion,
    ) -> Result<StreamEnd, ReaderError> {
        let status = Arc::clone(stream.status());
        loop {
            let delivered = self.deliver_all(stream, &status).await;
            self.publish_metrics();
            let (bytes, wal_end) = stream.take_received();
            self.metrics.add_received(bytes, wal_end);
            match delivered? {
                Some(end) => return Ok(end),
                // Silence counts from here: while the handler was at work nobody listened.
                None => stream.is_heard(),
            }
            loop {
                self.acknowledge_if_due(&status)?;
                // What is pending waits for its time: further acknowledgements need not wake this thread.
                let is_pending = self.acks.is_pending();
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return Ok(StreamEnd::Stopped),
                    error = companion.failed() => return Err(error),
                    () = self.acks.changed(), if !is_pending => {}
                    () = tokio::time::sleep_until(self.store_at), if is_pending => {}
                    filled = stream.fill() => match filled {
                        Ok(()) => break,
                        Err(cause) => return Ok(StreamEnd::Broken(self.config.server.reader_error(&cause))),
                    },
                }
            }
        }
    }

    /// Delivers what was read. `None` when all of it was.
    async fn deliver_all(
        &mut self,
        stream: &mut ReplicationStream,
        status: &StreamStatus,
    ) -> Result<Option<StreamEnd>, ReaderError> {
        let mut until_look = LOOK_INTERVAL;
        loop {
            let message = match stream.next() {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(None),
                Err(cause) => {
                    let error = self.config.server.reader_error(&cause);
                    return Ok(Some(StreamEnd::Broken(error)));
                }
            };
            let delivered = match message {
                StreamMessage::KeepAlive { .. } => {
                    Ok(self.delivery.message(message)?.is_continue())
                }
                StreamMessage::Wal { lsn, data } => match self.spool(lsn, data)? {
                    Spooled::No => self.deliver(lsn, data).await,
                    Spooled::Kept => Ok(true),
                    Spooled::Ended(spool, frame) => {
                        self.deliver_spooled(spool, frame, status).await
                    }
                },
            };
            match delivered {
                Ok(true) => {}
                Ok(false) => return Ok(Some(StreamEnd::Stopped)),
                // The next stream repeats it.
                Err(cause) if !cause.is_permanent() => return Ok(Some(StreamEnd::Broken(cause))),
                Err(error) => return Err(error),
            }
            until_look -= 1;
            if until_look == 0 {
                until_look = LOOK_INTERVAL;
                if self.look(status)?.is_break() {
                    return Ok(Some(StreamEnd::Stopped));
                }
            }
        }
    }

    /// Whether to go on, within a long delivery; acknowledges what is due.
    fn look(&mut self, status: &StreamStatus) -> Result<Flow, ReaderError> {
        if self.stop.is_cancelled() {
            return Ok(Flow::Break(()));
        }
        self.publish_metrics();
        self.acknowledge_if_due(status)?;
        Ok(Flow::Continue(()))
    }

    fn publish_metrics(&self) {
        let delivery = &self.delivery;
        let (delivered, commit_time) = (delivery.resume_lsn(), delivery.last_commit());
        self.metrics
            .set_delivered(&delivery.stats, delivered, commit_time);
        let kept = self.spools.as_ref().map_or(0, Spools::kept);
        self.metrics.set_spooled(kept);
    }

    /// Keeps a message of a transaction that is sent while it runs.
    fn spool<'a>(&mut self, lsn: Lsn, data: &'a [u8]) -> Result<Spooled<'a>, ReaderError> {
        match &mut self.spools {
            Some(spools) => spools.take(lsn, data),
            None => Ok(Spooled::No),
        }
    }

    /// Delivers a message, after looking up what it needs. False when the reader is to stop.
    async fn deliver(&mut self, lsn: Lsn, data: &[u8]) -> Result<bool, ReaderError> {
        if self.lookup.is_needed(data, self.delivery.transaction()) {
            let stop = self.stop.clone();
            tokio::select! {
                () = stop.cancelled() => return Ok(false),
                looked_up = self.lookup.look_up(data, &mut self.delivery) => looked_up?,
            }
        }
        Ok(self.delivery.data(lsn, data)?.is_continue())
    }

    /// Delivers a transaction that was sent while it ran. False when the reader is to stop.
    async fn deliver_spooled(
        &mut self,
        mut spool: Box<SpoolReader>,
        frame: Frame<'_>,
        status: &StreamStatus,
    ) -> Result<bool, ReaderError> {
        let Frame { lsn, begin, end } = frame;
        if self.delivery.decoded(lsn, begin)?.is_break() {
            return Ok(false);
        }
        let mut until_look = LOOK_INTERVAL;
        while let Some((at, data)) = spool.next()? {
            if !self.deliver(at, data).await? {
                return Ok(false);
            }
            until_look -= 1;
            if until_look == 0 {
                until_look = LOOK_INTERVAL;
                if self.look(status)?.is_break() {
                    return Ok(false);
                }
            }
        }
        Ok(self.delivery.decoded(lsn, end)?.is_continue())
    }

    /// Stores what was acknowledged and acknowledges it to the server. A checkpoint costs a flush of the disk: it is stored
    /// once in a status interval.
    fn acknowledge_if_due(&mut self, status: &StreamStatus) -> Result<(), ReaderError> {
        if !self.acks.is_pending() || Instant::now() < self.store_at {
            return Ok(());
        }
        self.acks.store()?;
        self.acks.send(status);
        self.metrics.set_acknowledged(self.acks.stored());
        let interval = self.config.status_interval;
        self.store_at = Instant::now()
            + if self.acks.has_checkpoint() {
                interval
            } else {
                interval.min(ACKNOWLEDGE_INTERVAL)
            };
        Ok(())
    }
}
