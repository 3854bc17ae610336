//! What the stamps say: quantiles per hop, objectives, the slowest hop and the likely reason.

mod achieved_rate;
mod activity;
mod causality;
mod comparison;
mod diagnosis;
mod digest;
mod frontier;
mod knee;
mod objectives;
mod order;
mod over_time;
mod partition_lags;
mod path_statistics;
mod quantiles;
mod recovery;
mod scaling;
mod stalls;
mod tail;
mod throughput;
mod writer_activity;
mod written_histogram;

pub use achieved_rate::AchievedRate;
pub use activity::Activity;
pub use causality::{Violation, violations};
pub use comparison::{
    COMPARED, Comparison, Difference, DifferenceVerdict, Effect, Outcome, Pairing, QUANTILES,
    Sample, Terms, compare,
};
pub use diagnosis::{
    CheckpointActivity, Conditions, Diagnosis, Finding, Severity, StallEvidence, diagnose, times,
};
pub use digest::{Digest, DigestedEvent, PathDigest};
pub use frontier::{Cost, best, fronts};
pub use knee::{Knee, NoKnee, knee};
pub use objectives::{MATCH_PERCENT, Objective, RunFigures, Targets};
pub use order::OrderCheck;
pub use over_time::{OverTime, Period};
pub use partition_lags::PartitionLags;
pub use path_statistics::PathStatistics;
pub use quantiles::{HopStatistics, SignedHistogram};
pub use recovery::{Recovery, recovery};
pub use scaling::{ScalingPoint, bend};
pub use stalls::{Stall, Usual, stalls};
pub use tail::Tail;
pub use throughput::{Throughput, ThroughputMeter};
pub use writer_activity::WriterActivity;
