//! Stamps, hops and clocks: when each event was where, on one clock, and how far that can be trusted.

mod clock;
mod hops;
mod offset;

pub use clock::{Clock, Nanos, Stamp};
pub use hops::{Hop, Hops, Stamps};
pub use offset::{ClockOffset, OffsetEstimator};
