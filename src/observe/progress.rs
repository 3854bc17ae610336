//! The progress of an observation.

use cdc_bench_model::report::{ObservationReport, ResultFolder};
use cdc_bench_stack::StepProgress;

use crate::live::Figures;

/// Receives the progress of an observation.
pub trait ObserveProgress: StepProgress {
    /// The figures, twice a second.
    fn figures(&self, figures: Figures);

    /// A period has its report in `folder`; what comes is for `next`.
    fn period_over(&self, report: &ObservationReport, folder: &ResultFolder, next: &ResultFolder);
}
