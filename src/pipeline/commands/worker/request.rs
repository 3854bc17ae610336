//! What a worker is asked to do, and what it has done.

use std::collections::BTreeSet;
use std::path::PathBuf;

use cdc_bench_model::timeline::Nanos;

use crate::pipeline::distributed::control_record::WorkerRole;

/// Parameters of `worker`.
#[derive(Debug, Clone)]
pub struct WorkerRequest {
    /// Name of the test.
    pub test: String,
    /// Name of the worker.
    pub name: String,
    /// What it offers to do.
    pub roles: BTreeSet<WorkerRole>,
    /// Folder that has a folder for what each worker of a run has recorded.
    pub results: PathBuf,
    /// Whether the NTP daemon is asked how far the machine's clock may be off.
    pub trust_ntp: bool,
    /// How far the machine's clock is taken to be ahead.
    pub clock_skew: Nanos,
    /// How much faster it is taken to run, parts per million.
    pub clock_drift: i32,
}

/// What a worker has done.
#[derive(Debug, Clone)]
pub struct Worked {
    /// Name under which it took part.
    pub worker: String,
    /// The run.
    pub run: String,
    /// Events that it inserted.
    pub inserted: u64,
    /// Events that it wrote into the store, of all paths.
    pub written: u64,
    /// Where its events are.
    pub folder: PathBuf,
}
