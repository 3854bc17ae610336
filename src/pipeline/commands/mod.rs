//! The commands: each makes runs, or uses parts of one.

pub(crate) mod capture_job;
mod comparison;
pub(crate) mod consume;
pub(crate) mod dead_letters;
pub(crate) mod doctor;
pub(crate) mod generate;
pub(crate) mod resilience;
pub(crate) mod resume;
pub(crate) mod run;
pub(crate) mod setup;
pub(crate) mod sweep;
pub(crate) mod tune;
pub(crate) mod warm_up;
pub(crate) mod worker;
