//! Arguments for objectives, shared by all commands that judge them.

use cdc_bench_model::analysis::Targets;

use crate::load::Rate;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct ObjectiveArgs {
    /// Objective: median of the total, ms
    #[arg(long, value_name = "MS", default_value_t = 30.0)]
    max_p50: f64,
    /// Objective: 95th percentile of the total, ms
    #[arg(long, value_name = "MS", default_value_t = 100.0)]
    max_p95: f64,
    /// Objective: 99th percentile of the total, ms
    #[arg(long, value_name = "MS", default_value_t = 200.0)]
    max_p99: f64,
    /// Objective: success, percent
    #[arg(long, value_name = "PERCENT", default_value_t = 99.9)]
    min_success: f64,
}

impl ObjectiveArgs {
    /// The targets, with a minimum throughput if there is one, of the offered load.
    pub(super) fn targets(&self, throughput_per_s: Option<f64>, offered: Option<Rate>) -> Targets {
        Targets {
            p50_ms: self.max_p50,
            p95_ms: self.max_p95,
            p99_ms: self.max_p99,
            throughput_per_s,
            offered_per_s: offered.and_then(Rate::per_second),
            success_percent: self.min_success,
            ..Targets::default()
        }
    }
}
