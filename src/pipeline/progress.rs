//! What a run says while it goes on.

use cdc_bench_model::timeline::Nanos;
use cdc_bench_stack::{Download, StepProgress};

use crate::live::Figures;
use crate::load::LoadControl;

/// How the load stands, for whoever watches.
#[derive(Debug, Clone, Copy)]
pub struct LoadState {
    /// `warm-up`, `load` or `drain`.
    pub phase: &'static str,
    /// Events to come, where the load is limited by their number.
    pub target: Option<u64>,
    /// Committed.
    pub inserted: u64,
    /// In the store.
    pub written: u64,
    /// Into the store, over the last second or so.
    pub written_per_s: f64,
    /// Median of the total so far.
    pub p50: Option<Nanos>,
    /// 99th percentile of the total so far.
    pub p99: Option<Nanos>,
    /// Refused INSERTs and dead letters.
    pub errors: u64,
}

/// Hears how a run goes on.
pub trait RunProgress: StepProgress {
    /// Several times a second while events are under way.
    fn load(&self, state: &LoadState);

    /// The events are through.
    fn load_over(&self);

    /// The run as it stands, several times a second while events are under way.
    fn figures(&self, _: Figures) {}

    /// The step that has begun is a run, one of several; what it says of itself comes as details of this step.
    fn is_a_run(&self, _: &str) {}

    /// By what whoever watches steers the load, where he may.
    fn pace(&self) -> Option<LoadControl> {
        None
    }
}

/// Passes on what a run says, beneath a step.
pub(crate) struct NestedProgress<'a> {
    outer: &'a dyn RunProgress,
    step: &'a str,
}

impl<'a> NestedProgress<'a> {
    /// Begins the step.
    pub(crate) fn enter(outer: &'a dyn RunProgress, step: &'a str) -> Self {
        outer.begin(step);
        outer.is_a_run(step);
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
