//! What was gathered of a run.

use cdc_bench_model::report::Environment;
use cdc_bench_model::report::PathRecording;
use cdc_bench_model::timeline::Stamp;
use cdc_bench_stack::StackKind;

use crate::load::{LoadChange, LoadSummary};
use crate::pipeline::monitor::cpu::Used;
use crate::pipeline::monitor::postgres_checkpoints::PostgresCheckpoint;
use crate::pipeline::monitor::resource_usage::ResourceUsage;
use crate::pipeline::request::RunRequest;
use crate::pipeline::run::clocks::MeasuredClocks;
use crate::pipeline::run::trial_outcome::PathOutcome;

/// Everything a run has gathered.
pub(crate) struct RunFacts<'a> {
    pub(crate) request: &'a RunRequest,
    /// In the request's order.
    pub(crate) paths: Vec<PathFacts>,
    pub(crate) stack: StackKind,
    pub(crate) started_at: jiff::Timestamp,
    pub(crate) environment: Environment,
    pub(crate) load: LoadSummary,
    pub(crate) warmup_events: u64,
    pub(crate) shared: Used,
    pub(crate) resource_usage: ResourceUsage,
    /// PostgreSQL's, from the first trial's set-up on.
    pub(crate) checkpoints: Vec<PostgresCheckpoint>,
    pub(crate) finished: Stamp,
    /// Servers of ours that ended by themselves, and when they were started again.
    pub(crate) server_restarts: Vec<(String, jiff::Timestamp)>,
    /// How the load was steered.
    pub(crate) steered: Vec<LoadChange>,
    pub(crate) clocks: MeasuredClocks,
}

/// What was gathered of one path.
pub(crate) struct PathFacts {
    pub(crate) outcome: PathOutcome,
    pub(crate) recording: PathRecording,
    pub(crate) verification: crate::store::StoreVerification,
}
