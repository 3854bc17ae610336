//! The run's clock as the reader's, so that T1 is on the same time line as every other stamp of ours.

use cdc_bench_model::timeline::{Clock, Stamp};
use pgcdc::{TimeSource, UnixNanos};

/// The run's clock, where the reader stamps what it receives.
#[derive(Debug)]
pub struct ReaderClock(pub Clock);

impl TimeSource for ReaderClock {
    fn now(&self) -> UnixNanos {
        unix_nanos(self.0.now())
    }
}

/// A stamp as the reader's crates take one.
pub(crate) fn unix_nanos(stamp: Stamp) -> UnixNanos {
    UnixNanos(stamp.0)
}

/// A time of the reader's as a stamp.
pub(crate) fn stamp(time: UnixNanos) -> Stamp {
    Stamp(time.0)
}
