//! What a tap has seen.

use cdc_bench_model::observation::{
    CapturedChange, EventMetrics, RecordPosition, RecordedChange, SinkChange, SourceLine,
};
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
    /// The records of a partition before this position were read; some of them are none, as markers of transactions.
    ReadUpTo(RecordPosition),
    /// A record that is no change and of no kind that is known here, and why it is not taken for one.
    Unknown(RecordPosition, String),
    /// A record that could not be read, and why.
    Unreadable(RecordPosition, String),
    /// Offsets of the group and of the partitions.
    Offsets(OffsetPoll),
    /// A record of a sink that could not be read, where it is and why.
    SinkUnreadable(String),
    /// A write in the sink.
    Shown(SinkChange),
    /// A line of the consumer's own.
    Consumed(EventMetrics),
    /// A line that says nothing of a record that is observed.
    Line(LineProblem),
    /// A line of the application's.
    Sent(SourceLine),
    /// A line of the application's that says nothing of a row that is observed.
    SourceLine(SourceLineProblem),
    /// What the observation goes along with has ended, and so does it.
    Ended(String),
    /// A tap is cut, and tries to go on.
    Cut(&'static str, String),
    /// A tap was cut and goes on.
    Resumed(&'static str, String),
    /// The sink's tap was cut, and goes on later than where it was: writes in between were not seen.
    SinkSkipped(String),
    /// A tap cannot go on.
    Failed(String),
}

/// A line that is not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::observe) enum LineProblem {
    /// Where it is, and what is wrong with it.
    Unreadable(String),
    /// Its topic is not observed.
    OtherTopic(String),
}

/// A line of the application's that is not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::observe) enum SourceLineProblem {
    /// What is wrong with it.
    Unreadable(String),
    /// Its table is not observed.
    OtherTable(String),
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
}
