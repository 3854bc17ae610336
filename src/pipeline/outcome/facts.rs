//! The data gathered in a run, from which the report is built.

use cdc_bench_model::report::{Environment, FootprintSeries, PathRecording, WorkerReport};
use cdc_bench_model::timeline::Stamp;
use cdc_bench_stack::{GcPause, StackKind};

use crate::load::{LoadChange, LoadSummary};
use crate::pipeline::faults::Fault;
use crate::pipeline::monitor::cpu::Used;
use crate::pipeline::monitor::postgres_checkpoints::PostgresCheckpoint;
use crate::pipeline::monitor::postgres_guard::SlotIncident;
use crate::pipeline::monitor::resource_usage::ResourceUsage;
use crate::pipeline::monitor::server_monitor::Silence;
use crate::pipeline::request::RunRequest;
use crate::pipeline::run::fault_runner::MadeFault;
use crate::pipeline::run::measured_clocks::MeasuredClocks;
use crate::pipeline::run::trial_outcome::PathOutcome;

/// The data gathered in a run.
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
    /// PostgreSQL's checkpoints since the set-up of the first trial.
    pub(crate) checkpoints: Vec<PostgresCheckpoint>,
    /// Times in which a server answered nothing.
    pub(crate) silences: Vec<Silence>,
    /// Times in which something was wrong with a slot.
    pub(crate) slots: Vec<SlotIncident>,
    /// What this program and its servers took over the time of the run.
    pub(crate) footprint: FootprintSeries,
    /// Times in which a JVM of ours stood still to collect garbage.
    pub(crate) collections: Vec<GcPause>,
    /// Faults that the run has made, in order.
    pub(crate) faults: Vec<MadeFault>,
    /// Faults whose moment did not come.
    pub(crate) faults_not_made: Vec<Fault>,
    pub(crate) finished: Stamp,
    /// Our own servers that crashed, and when they were restarted.
    pub(crate) server_restarts: Vec<(String, jiff::Timestamp)>,
    /// Changes that the user made to the load.
    pub(crate) load_changes: Vec<LoadChange>,
    pub(crate) clocks: MeasuredClocks,
    /// The workers that did it on other machines.
    pub(crate) workers: Vec<WorkerReport>,
}

/// The data gathered on one path.
pub(crate) struct PathFacts {
    pub(crate) outcome: PathOutcome,
    pub(crate) recording: PathRecording,
    /// `None` where a server did not let it be made.
    pub(crate) verification: Option<crate::store::StoreVerification>,
}

impl PathFacts {
    /// Counts by the stores what workers did that are gone, and cannot say it.
    pub(crate) fn count_by_stores(&mut self) {
        let Some(found) = &self.verification else {
            return;
        };
        let tally = &mut self.outcome.tally;
        let written = found.postgres_count.saturating_sub(found.missing);
        tally.sent = tally.sent.max(found.postgres_count);
        tally.inserted = found.postgres_count;
        // What one had read before it was gone comes to another one again, or was acknowledged and not yet told.
        tally.captured = tally.captured.clamp(written, found.postgres_count);
        tally.consumed = tally.consumed.clamp(written, found.postgres_count);
        tally.written = written;
        self.outcome.drained |= found.missing == 0;
    }
}
