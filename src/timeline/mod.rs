//! Stamps, hops and clocks: when each event was where, on one clock, and how far that can be trusted.

mod clock;
mod hops;
mod join;
mod offset;

pub use clock::{Clock, Nanos, Stamp};
pub use hops::{Hop, Hops, Stamps};
pub use join::{Captured, Corrections, Joined, Joiner, Tally, Written};
pub use offset::{ClockOffset, OffsetEstimator};
