//! A run as one step of something larger: what it says of its own steps is a detail of that one.

use super::{LoadState, RunProgress};
use crate::live::Figures;
use cdc_bench_stack::{Download, StepProgress};

/// Passes on what a run says, beneath a step.
pub(super) struct Within<'a> {
    outer: &'a dyn RunProgress,
    step: &'a str,
}

impl<'a> Within<'a> {
    /// Begins the step.
    pub(super) fn enter(outer: &'a dyn RunProgress, step: &'a str) -> Self {
        outer.begin(step);
        outer.is_a_run(step);
        Self { outer, step }
    }
}

impl StepProgress for Within<'_> {
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

impl RunProgress for Within<'_> {
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
