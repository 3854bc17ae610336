//! Which hop is slow, at the median and in the tail, and why, as far as the run itself can tell.
//!
//! Each rule looks at evidence of the run and at settings read from the servers, and says nothing where either is missing.
//! "Nothing stands out" is an answer.

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
mod source;
mod store;
mod wording;

pub use conditions::{CheckpointActivity, Conditions};
pub use diagnose::{Diagnosis, diagnose};
pub use finding::{Finding, Severity};
pub use wording::times;
