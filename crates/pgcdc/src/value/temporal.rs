//! Conversion of dates and times to the types of other crates.
#![cfg(any(feature = "chrono", feature = "jiff", feature = "time"))]

#[cfg(feature = "chrono")]
mod chrono;
#[cfg(feature = "jiff")]
mod jiff;
mod since_epoch;
mod text;
#[cfg(feature = "time")]
mod time;
