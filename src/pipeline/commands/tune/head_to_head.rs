//! The head-to-head of a tuning: the recommended configuration against the defaults.

use cdc_bench_model::report::{
    ComparisonRequest, HeadToHead, RUN_NOISE, Side, Stored, compare_results,
};
use cdc_bench_model::timeline::CapturePath;

use crate::pipeline::failure::Failure;

/// Settings in which two results of a tuning may differ.
const VARIED: [&str; 4] = [
    "connector",
    "kafka.consumer",
    "run.batch_size",
    "run.writes_in_flight",
];

/// Compares the results of both sides, with as many results each as there were rounds.
pub(super) fn compare_sides(
    stock: Vec<Stored>,
    recommended: Vec<Stored>,
    rounds: u32,
) -> Result<HeadToHead, Failure> {
    let cpu = mean_cpu(&stock).zip(mean_cpu(&recommended));
    let side = |results| Side {
        results,
        path: Some(CapturePath::Debezium.to_string()),
    };
    let comparison = compare_results(&ComparisonRequest {
        baseline: side(stock),
        candidate: side(recommended),
        varied: VARIED.map(str::to_owned).to_vec(),
        force: false,
        run_noise: RUN_NOISE,
    })
    .map_err(Failure::usage)?;
    Ok(HeadToHead {
        rounds,
        cpu_s_per_million: cpu.map(|(stock, recommended)| [stock, recommended]),
        comparison,
    })
}

/// Mean processor time per million events of several results; `None` if one of them does not have it.
#[allow(clippy::cast_precision_loss)] // a handful of runs
fn mean_cpu(results: &[Stored]) -> Option<f64> {
    let costs = results.iter().map(|stored| {
        let paths = &stored.report.paths;
        paths.get(CapturePath::Debezium.as_str())?.cpu_cost()
    });
    let sum: f64 = costs.sum::<Option<f64>>()?;
    Some((sum / results.len().max(1) as f64 * 10.0).round() / 10.0)
}
