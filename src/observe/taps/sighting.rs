//! What a tap has seen.

use cdc_bench_model::observation::{CapturedChange, RecordPosition, RecordedChange, SinkChange};
use cdc_bench_model::timeline::Stamp;

use crate::broker::OffsetPoll;

/// Sightings that wait to be joined.
pub(in crate::observe) const QUEUE: usize = 16_384;

/// What a tap has seen.
#[derive(Debug)]
pub(in crate::observe) enum Sighting {
    /// A change of an observed table in the WAL.
    Captured(CapturedChange),
    /// A change in the WAL that is not followed.
    LeftOut(LeftOut),
    /// Everything in the WAL that was committed before this time, on our clock, was read.
    WalRead(Stamp),
    /// A record with a change.
    Recorded(RecordedChange),
    /// A record without one.
    Passed(RecordPosition, Passed),
    /// A record that could not be read, and why.
    Unreadable(RecordPosition, String),
    /// Offsets of the group and of the partitions.
    Offsets(OffsetPoll),
    /// A write in the sink.
    Shown(SinkChange),
    /// A tap is cut, and tries to go on.
    Cut(&'static str, String),
    /// A tap was cut and goes on.
    Resumed(&'static str, String),
    /// A tap cannot go on.
    Failed(String),
}

/// Why a change of the WAL is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::observe) enum LeftOut {
    Table,
    Operation,
    Message,
}

/// A record that is no change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::observe) enum Passed {
    Tombstone,
    Heartbeat,
    Transaction,
    SchemaChange,
    Message,
    OtherTable,
    Other,
}
