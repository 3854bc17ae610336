//! The run's clock as the reader's time source, so that T1 is on the same time line as our other stamps.

use cdc_bench_model::timeline::{Clock, Stamp};
use pgcdc::{TimeSource, UnixNanos};

/// The run's clock as the reader's time source.
#[derive(Debug)]
pub struct ReaderClock(pub Clock);

impl TimeSource for ReaderClock {
    fn now(&self) -> UnixNanos {
        to_unix_nanos(self.0.now())
    }
}

/// A stamp as the reader's time.
pub(crate) fn to_unix_nanos(stamp: Stamp) -> UnixNanos {
    UnixNanos(stamp.0)
}

/// The reader's time as a stamp.
pub(crate) fn to_stamp(time: UnixNanos) -> Stamp {
    Stamp(time.0)
}
