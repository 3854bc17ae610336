//! Our reader of a path, with the producer behind it if it has one.

use std::sync::Arc;

use cdc_bench_model::timeline::CapturePath;
use pgcdc::ReaderHandle;

use crate::broker::Publisher;
use crate::pipeline::failure::Failure;
use crate::pipeline::run::gate::{Gate, GateState};
use crate::pipeline::run::wal_sinks::SentRecord;

/// A running reader.
pub(crate) struct CaptureWorker {
    /// Dropped before the reader.
    release: Release,
    reader: ReaderHandle,
    publisher: Option<Arc<Publisher<SentRecord>>>,
    /// In front of its handler.
    pub(crate) gate: Gate,
}

/// Lets go, when it is dropped, of a reader that waits for its gate or for room in the producer's queue: it could not end.
struct Release {
    gate: Gate,
    publisher: Option<Arc<Publisher<SentRecord>>>,
}

impl Drop for Release {
    fn drop(&mut self) {
        self.gate.set(GateState::Ended);
        if let Some(publisher) = &self.publisher {
            publisher.abandon();
        }
    }
}

impl CaptureWorker {
    /// A reader with a gate in front of its handler, and the producer behind it.
    pub(crate) fn new(
        reader: ReaderHandle,
        publisher: Option<Arc<Publisher<SentRecord>>>,
        gate: Gate,
    ) -> Self {
        Self {
            release: Release {
                gate: gate.clone(),
                publisher: publisher.clone(),
            },
            reader,
            publisher,
            gate,
        }
    }

    /// Fails if reader or producer has stopped.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if let Some(error) = self
            .publisher
            .as_ref()
            .and_then(|producer| producer.failure())
        {
            return Err(Failure::from(error).context("our producer stopped"));
        }
        if let Some(error) = self.reader.error() {
            return Err(Failure::from(error).context("our WAL reader stopped"));
        }
        Ok(())
    }

    /// Takes no more, waits until what it has taken is delivered, and stops: the server hears of all that was delivered.
    pub(crate) async fn stop(self) {
        self.gate.set(GateState::Ended);
        let Self {
            release,
            reader,
            publisher,
            ..
        } = self;
        let stopped = tokio::task::spawn_blocking(move || {
            let flushed = publisher.as_ref().map(|producer| producer.flush());
            let stopped = reader.stop();
            drop(release);
            (stopped, flushed)
        });
        match stopped.await {
            Ok((stats, flushed)) => {
                match stats {
                    Ok(stats) => tracing::info!(?stats, "WAL reader stopped"),
                    Err(error) => tracing::warn!(%error, "our WAL reader did not stop cleanly"),
                }
                if let Some(Err(error)) = flushed {
                    tracing::warn!(%error, "our producer did not stop cleanly");
                }
            }
            Err(panicked) => tracing::warn!(%panicked, "our WAL reader did not stop cleanly"),
        }
    }

    /// Ends it with all that it has in hand: records in the producer's queue are thrown away.
    pub(crate) async fn kill(self) {
        self.gate.set(GateState::Ended);
        let dropped = tokio::task::spawn_blocking(move || {
            // The producer first: what it delivers from now on is acknowledged to nobody.
            let Self {
                release,
                reader,
                publisher,
                ..
            } = self;
            drop((release, publisher));
            drop(reader);
        });
        if let Err(panicked) = dropped.await {
            tracing::warn!(%panicked, "our WAL reader did not end cleanly");
        }
    }
}

/// Whether our reader captures on this path. On Debezium's it only observes.
pub(crate) fn captures(path: CapturePath) -> bool {
    path != CapturePath::Debezium
}
