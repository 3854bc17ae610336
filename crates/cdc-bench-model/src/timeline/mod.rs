//! Stamps, hops and clocks: when each event was where, on one clock, and how far that can be trusted.

mod capture_path;
mod clock;
mod foreign_clocks;
mod hops;
mod in_kafka;
mod join;
mod joined;
mod offset;

mod tally;
mod track;

pub use capture_path::{CapturePath, UnknownPath};
pub use clock::{Clock, Nanos, Stamp};
pub use foreign_clocks::{Corrections, ForeignClocks};
pub use hops::{Hop, Hops, Stamps};
pub use in_kafka::{ClockBounds, HALF_MILLISECOND, InKafka};
pub use join::Joiner;
pub use joined::{Captured, ConsumerStamps, Joined};
pub use offset::{ClockOffset, OffsetEstimator};
pub use tally::Tally;
pub use track::{ClockTrack, OffsetLine};
