//! Record in, document out: decode the envelope, transform it, write it, and only then let its offset go.
//!
//! The stage takes its records from a [`RecordSource`] and writes through [`crate::store::Store`], so that it runs in a
//! test or a bench without a server.

mod dead_letters;
mod decode;
mod stage;

use std::future::Future;

use crate::event::{EventId, EventType};
use crate::timeline::{Stamp, Written};

pub use dead_letters::{DeadLetter, DeadLetters};
pub use decode::{Decoded, Rejected, decode};
pub use stage::{Stage, StageConfig, StageEnd, StageError};

/// One record, stamped.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its value; `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// T2 on the clock of whoever stamped it; `None` when no Kafka was in between.
    pub appended: Option<Stamp>,
    /// T3.
    pub received: Stamp,
}

/// Where records come from.
pub trait RecordSource: Send {
    /// The next record; `None` when there will be no more.
    fn recv(&mut self) -> impl Future<Output = Option<Record>> + Send;

    /// A record that is there already.
    fn try_recv(&mut self) -> Option<Record>;

    /// Everything of `partition` up to and with `offset` is dealt with.
    fn written(&mut self, partition: i32, offset: i64);
}

/// Hears of every event on its way through the stage.
pub trait StageObserver: Send + Sync {
    /// Whether this run's events are to be written; what is not is passed over without a word.
    fn wants(&self, run_id: &str) -> bool;

    /// An event was received and decoded.
    fn consumed(&self, run_id: &str, seq: u64);

    /// The store has acknowledged it.
    fn written(&self, run_id: &str, id: EventId, event_type: EventType, seq: u64, stamps: Written);

    /// A record was put aside.
    fn dead_letter(&self, letter: &DeadLetter);
}
