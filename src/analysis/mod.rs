//! What the stamps say: quantiles per hop, objectives, the slowest hop and the likely reason.

mod diagnosis;
mod objectives;
mod quantiles;
mod throughput;

pub use diagnosis::{Conditions, Diagnosis, Finding, Severity, diagnose};
pub use objectives::{Measured, Objective, Targets};
pub use quantiles::{HopStatistics, PathStatistics, SignedHistogram};
pub use throughput::{Throughput, ThroughputMeter};
