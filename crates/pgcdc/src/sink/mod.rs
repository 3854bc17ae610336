//! Sinks: where a reader's changes are delivered, in batches, with retries.

mod batch;
mod collect;
mod config;
mod deliver;
mod error;
mod pauses;

pub use batch::Batch;
pub use config::DeliveryConfig;
pub use deliver::{DeliveryStats, deliver};
pub use error::{DeliveryError, SinkStep};

use std::error::Error;
use std::future::Future;

use crate::Lsn;

/// The position that a sink keeps with its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkPosition {
    /// It keeps none: that of the slot or the checkpoint counts.
    NotKept,
    /// It keeps one, and has stored none yet.
    Beginning,
    /// It has everything up to this [`Batch::position`].
    At(Lsn),
}

/// Where changes are delivered to: see [`deliver`].
///
/// The methods are written as `async fn`. They are called one at a time.
///
/// At least once: [`Sink::position`] is left as it is. A batch whose write failed is written again, and one that was written but
/// not yet acknowledged when the program ended comes again, so writing must be idempotent: an upsert by key, for instance.
///
/// Exactly once: the sink stores [`Batch::position`] in the same transaction as the batch, and returns it from [`Sink::position`].
/// The stream then starts there, and a write of which it is not known whether it has succeeded is not repeated if it has. A
/// failure within a transaction that is larger than a batch ends the delivery, since the sink's own transaction is lost with it.
pub trait Sink: Send {
    /// Its errors; `anyhow::Error` is one, too.
    type Error: Into<Box<dyn Error + Send + Sync>> + Send;

    /// The position that the sink has stored with its data.
    fn position(&mut self) -> impl Future<Output = Result<SinkPosition, Self::Error>> + Send {
        async { Ok(SinkPosition::NotKept) }
    }

    /// Writes a batch.
    fn write(&mut self, batch: &Batch) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Makes durable what was written, if [`Sink::write`] does not: it is acknowledged after this.
    fn flush(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        async { Ok(()) }
    }

    /// Whether the error may pass: then it is tried again. Otherwise the delivery ends with it at once.
    fn is_transient(&self, error: &Self::Error) -> bool {
        let _ = error;
        true
    }
}
