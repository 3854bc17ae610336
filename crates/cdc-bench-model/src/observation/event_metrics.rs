//! What a consumer reports of a record that it has consumed, by its own clock.

use std::sync::Arc;

use super::RecordPosition;
use crate::timeline::{Nanos, Stamp};

/// What a consumer reports of a record: a line of its `EventMetrics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventMetrics {
    /// Which record.
    pub position: RecordPosition,
    /// When it received the record, on its clock, uncorrected.
    pub received: Option<Stamp>,
    /// What became of the record.
    pub outcome: Consumption,
    /// When we had the report, on our clock.
    pub reported: Stamp,
}

/// What a consumer did with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consumption {
    /// It was written at this time, on the consumer's clock, uncorrected (T5).
    Written(Stamp),
    /// It was not written, and why. A later report may say that it was.
    Failed(Arc<str>),
}

/// Resolution of a clock that counts microseconds, and of one that counts milliseconds.
const MICROSECOND: Nanos = Nanos::from_micros(1);
const MILLISECOND: Nanos = Nanos::from_millis(1);

/// The resolution that a reading may have: a clock of whole milliseconds shows in all of its readings.
pub(super) fn resolution(reading: Stamp) -> Nanos {
    if reading.0 % MILLISECOND.0 == 0 {
        MILLISECOND
    } else {
        MICROSECOND
    }
}
