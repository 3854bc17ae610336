//! What the consumer reports of each event.

use super::DeadLetter;
use cdc_bench_model::event::{EventId, EventType};
use cdc_bench_model::timeline::ConsumerStamps;

/// Is called for every event on its way through the stage, from several threads.
pub trait StageObserver: Send + Sync {
    /// Whether this run's events are to be written; events of other runs are skipped.
    fn wants(&self, run_id: &str) -> bool;

    /// An event was received and decoded.
    fn consumed(&self, run_id: &str, seq: u64);

    /// The store has acknowledged the event.
    fn written(
        &self,
        run_id: &str,
        id: EventId,
        event_type: EventType,
        seq: u64,
        stamps: ConsumerStamps,
    );

    /// A record is in the dead letters, where a crash does not lose it.
    fn dead_letter(&self, dead_letter: &DeadLetter);
}
