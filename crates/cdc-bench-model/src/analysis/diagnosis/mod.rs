//! The slowest hop, at the median and in the tail, and the reasons that the run's own data show.
//!
//! Each rule uses figures of the run and settings read from the servers, and yields nothing if either is missing. No
//! finding is a valid result.

mod capture;
mod clocks;
mod conditions;
mod consumer;
mod diagnose;
mod evidence;
mod finding;
#[cfg(test)]
mod fixture;
mod host;
mod kafka;
mod load;
mod partitions;
mod source;
mod stalls;
mod store;
mod wording;

pub use conditions::{CheckpointActivity, Conditions, StallEvidence};
pub use diagnose::{Diagnosis, diagnose};
pub use finding::{Finding, Severity};
pub use wording::times;
