//! A reader as a stream of events.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::ReaderError;
use crate::delivery::acknowledger::Acknowledger;
use crate::event::owned::{EventOwner, OwnedEvent, owned_size};
use crate::event_stream::queue::EventQueue;
use crate::reader::config::{Acknowledge, ReaderConfig};
use crate::reader::metrics::ReaderMetrics;
use crate::reader::stats::ReaderStats;
use crate::reader::{Reader, ReaderHandle};

/// The events of a reader, as a [`Stream`]: see [`Reader::events`].
///
/// When the reader fails, the last item is its error; after it, and after a stop, there is none. A future of the next item can
/// be dropped at any time, and loses nothing. Dropping the stream stops the reader without waiting for it; [`Events::stop`] waits.
#[derive(Debug)]
pub struct Events {
    queue: Arc<EventQueue<OwnedEvent>>,
    /// `None` after the last item.
    reader: Option<ReaderHandle>,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    acknowledger: Acknowledger,
    metrics: ReaderMetrics,
}

impl Reader {
    /// Opens the stream as [`Reader::spawn`] does; its events are taken from a queue, by a task of any runtime. While the queue is
    /// full ([`ReaderConfig::buffer`]), the reader waits, and the server with it.
    ///
    /// Nothing is acknowledged by itself ([`Acknowledge::Manual`] is set): [`Events::acknowledger`] tells the reader what a sink has.
    ///
    /// ```no_run
    /// # async fn example(config: pgcdc::ReaderConfig) -> Result<(), Box<dyn std::error::Error>> {
    /// use pgcdc::{OwnedEvent, Reader};
    ///
    /// let mut events = Reader::events(config).await?;
    /// let acknowledger = events.acknowledger();
    /// while let Some(event) = events.next().await {
    ///     match event? {
    ///         OwnedEvent::Change(change) => println!("{} {}", change.operation, change.relation),
    ///         OwnedEvent::Commit(commit) => acknowledger.acknowledge(commit.end_lsn),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Reader::spawn`].
    pub async fn events(mut config: ReaderConfig) -> Result<Events, ReaderError> {
        config.acknowledge = Acknowledge::Manual;
        let queue = Arc::new(EventQueue::new(config.buffer));
        let into = Arc::clone(&queue);
        let mut owner = EventOwner::default();
        let reader = Self::spawn(config, move |event| {
            into.push(owned_size(&event), || owner.own(&event))
        })
        .await?;
        Ok(Events {
            queue,
            ended: Box::pin(reader.ended_token().cancelled_owned()),
            acknowledger: reader.acknowledger(),
            metrics: reader.metrics(),
            reader: Some(reader),
        })
    }
}

impl Events {
    /// The next event; `None` after the last one.
    ///
    /// # Errors
    /// The error that the reader has ended with, once.
    pub async fn next(&mut self) -> Option<Result<OwnedEvent, ReaderError>> {
        std::future::poll_fn(|context| self.poll_event(context)).await
    }

    /// Acknowledges transactions and copied tables.
    #[must_use]
    pub fn acknowledger(&self) -> Acknowledger {
        self.acknowledger.clone()
    }

    /// Counters and positions of the reader; what waits in the queue counts as delivered.
    #[must_use]
    pub fn metrics(&self) -> ReaderMetrics {
        self.metrics.clone()
    }

    /// Stops the reader and waits for it, without blocking the thread. Events that were not taken are dropped; they come again
    /// when they are read anew.
    ///
    /// # Errors
    /// The error that the reader had ended with before, unless it was an item.
    pub async fn stop(mut self) -> Result<ReaderStats, ReaderError> {
        self.queue.close();
        match self.reader.take() {
            Some(reader) => reader.stop_and_wait().await,
            None => Ok(ReaderStats::default()),
        }
    }

    pub(crate) fn poll_event(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<OwnedEvent, ReaderError>>> {
        let Some(reader) = &self.reader else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(event) = self.queue.poll_pop(context) {
            return Poll::Ready(Some(Ok(event)));
        }
        ready!(self.ended.as_mut().poll(context));
        // What came before the end.
        if let Poll::Ready(event) = self.queue.poll_pop(context) {
            return Poll::Ready(Some(Ok(event)));
        }
        let error = reader.error();
        if error.is_some() {
            self.reader = None;
        }
        Poll::Ready(error.map(Err))
    }
}

impl Stream for Events {
    type Item = Result<OwnedEvent, ReaderError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_event(context)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(reader) = self.reader.take() {
            reader.detach();
        }
    }
}
