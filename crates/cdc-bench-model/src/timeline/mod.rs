//! Stamps, hops and clocks: when each event was where, on one clock, and how far that can be trusted.

mod clock;
mod foreign;
mod hops;
mod join;
mod offset;
mod path;
mod track;

pub use clock::{Clock, Nanos, Stamp};
pub use foreign::{Corrections, ForeignClocks, HALF_MILLISECOND};
pub use hops::{Hop, Hops, Stamps};
pub use join::{Captured, Joined, Joiner, Tally, Written};
pub use offset::{ClockOffset, OffsetEstimator};
pub use path::{CapturePath, ClockBounds, InKafka, UnknownPath};
pub use track::{ClockTrack, Line};
