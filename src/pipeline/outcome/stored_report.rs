//! Stores a report in its folder and reads it back, so that this command reads what later ones will.

use cdc_bench_model::report::{Report, ResultFolder, Stored};

use crate::pipeline::failure::Failure;

/// Writes `report.json` and reads it back.
///
/// # Errors
/// When it cannot be written.
pub(in crate::pipeline) fn store_report(
    report: &Report,
    folder: &ResultFolder,
) -> Result<Stored, Failure> {
    let json = serde_json::to_vec_pretty(report).map_err(Failure::usage)?;
    folder.write("report.json", &json)?;
    Stored::read(&folder.file("report.json")).map_err(Failure::usage)
}
