//! Record in, document out: decode the envelope, transform it, write it, and only then let its offset go.
//!
//! The stage takes its records from a [`RecordSource`] and writes through [`crate::store::Store`], so that it runs in a
//! test or a bench without a server.

mod dead_letters;
mod decode;
mod lane;
mod records;
mod stage;
mod under_way;
mod worker;
mod write;

use std::future::Future;

use cdc_bench_model::event::{EventId, EventType};
use cdc_bench_model::timeline::ConsumerStamps;

pub use dead_letters::{DeadLetter, DeadLetters};
pub use decode::{Decoded, Decoder, Facts, Rejected};
pub use records::{Kept, Record, RecordBatch};
pub use stage::{Stage, StageConfig, StageEnd, StageError};

/// Where records come from.
pub trait RecordSource: Send {
    /// The records that are there, as many as came together; waits where there is none. `None`: there will be no more.
    /// Nothing is lost when the future is dropped before it is ready.
    fn recv(&mut self) -> impl Future<Output = Option<RecordBatch>> + Send;

    /// Everything of `partition` up to and with `offset` is dealt with. Offsets of a partition ascend from call to call.
    fn written(&mut self, partition: i32, offset: i64);
}

/// Hears of every event on its way through the stage.
pub trait StageObserver: Send + Sync {
    /// Whether this run's events are to be written; what is not is passed over without a word.
    fn wants(&self, run_id: &str) -> bool;

    /// An event was received and decoded.
    fn consumed(&self, run_id: &str, seq: u64);

    /// The store has acknowledged it.
    fn written(
        &self,
        run_id: &str,
        id: EventId,
        event_type: EventType,
        seq: u64,
        stamps: ConsumerStamps,
    );

    /// A record was put aside.
    fn dead_letter(&self, letter: &DeadLetter);
}
