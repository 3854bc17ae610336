//! The progress that a run reports.

use cdc_bench_model::timeline::Nanos;
use cdc_bench_stack::{Download, StepProgress};

use crate::live::Figures;
use crate::load::LoadControl;

/// Progress of the load.
#[derive(Debug, Clone, Copy)]
pub struct LoadState {
    /// `warm-up`, `load` or `drain`.
    pub phase: &'static str,
    /// Events of the load, if it is limited by their number.
    pub target: Option<u64>,
    /// Events committed.
    pub inserted: u64,
    /// Events in the store.
    pub written: u64,
    /// Events stored per second, over about the last second.
    pub written_per_s: f64,
    /// Median of the total so far.
    pub p50: Option<Nanos>,
    /// 99th percentile of the total so far.
    pub p99: Option<Nanos>,
    /// Refused INSERTs and dead letters.
    pub errors: u64,
}

/// Receives the progress of a run.
pub trait RunProgress: StepProgress {
    /// Progress of the load, several times a second.
    fn load(&self, state: &LoadState);

    /// The load has ended.
    fn load_over(&self);

    /// The figures of the run, several times a second while events are in flight.
    fn figures(&self, _: Figures) {}

    /// The step that has begun is one run of several; the progress of that run is reported as details of this step.
    fn begin_nested_run(&self, _: &str) {}

    /// The user's control of the load, where the command allows it.
    fn pace(&self) -> Option<LoadControl> {
        None
    }
}

/// Reports the progress of a run as details of one step.
pub(crate) struct NestedProgress<'a> {
    outer: &'a dyn RunProgress,
    step: &'a str,
}

impl<'a> NestedProgress<'a> {
    /// Begins the step.
    pub(crate) fn begin_step(outer: &'a dyn RunProgress, step: &'a str) -> Self {
        outer.begin(step);
        outer.begin_nested_run(step);
        Self { outer, step }
    }
}

impl StepProgress for NestedProgress<'_> {
    fn begin(&self, step: &str) {
        self.outer.update(self.step, step);
    }

    fn update(&self, step: &str, detail: &str) {
        self.outer.update(self.step, &format!("{step}: {detail}"));
    }

    fn download(&self, _: &str, download: &Download) {
        self.outer.download(self.step, download);
    }

    fn end(&self, _: &str, _: &str) {
        self.outer.update(self.step, "");
    }
}

impl RunProgress for NestedProgress<'_> {
    fn load(&self, state: &LoadState) {
        self.outer.load(state);
    }

    fn load_over(&self) {
        self.outer.load_over();
    }

    fn figures(&self, figures: Figures) {
        self.outer.figures(figures);
    }
}
