//! Collects events into batches.

use std::future::Future;

use tokio::time::{Instant, timeout_at};

use super::batch::Batch;
use super::config::DeliveryConfig;
use crate::event_stream::events::Events;
use crate::{ReaderError, ReaderStats};

/// The batch in the making.
pub(super) struct Collector {
    events: Events,
    config: DeliveryConfig,
    batch: Batch,
    /// When what is complete is to be written.
    due: Option<Instant>,
}

impl Collector {
    pub(super) fn new(events: Events, config: DeliveryConfig) -> Self {
        Self {
            events,
            config,
            batch: Batch::default(),
            due: None,
        }
    }

    /// The next batch; `None` when the reader has ended. It may be dropped at any time, and loses nothing.
    pub(super) async fn next(&mut self) -> Result<Option<Batch>, ReaderError> {
        loop {
            let is_full =
                self.batch.rows() >= self.config.rows || self.batch.bytes() >= self.config.bytes;
            // What is complete is written; a transaction that fills a batch alone does not wait for its end.
            if is_full {
                return Ok(Some(self.take()));
            }
            let next = self.events.next();
            let event = match self.due.filter(|_| self.batch.is_at_boundary()) {
                Some(due) => match timeout_at(due, next).await {
                    Ok(event) => event,
                    Err(_) => return Ok(Some(self.take())),
                },
                None => next.await,
            };
            let Some(event) = event else {
                return Ok((!self.batch.is_empty()).then(|| self.take()));
            };
            self.batch.push(event?);
            if !self.batch.is_empty() && self.due.is_none() {
                self.due = Some(Instant::now() + self.config.wait);
            }
        }
    }

    fn take(&mut self) -> Batch {
        self.due = None;
        self.batch.take()
    }

    /// Stops the reader.
    pub(super) fn stop(self) -> impl Future<Output = Result<ReaderStats, ReaderError>> {
        self.events.stop()
    }
}
