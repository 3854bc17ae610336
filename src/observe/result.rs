//! The files of a report.

use cdc_bench_model::report::{
    ObservationReport, ResultFolder, StoredObservation, observation_page,
};

use crate::pipeline::Failure;

/// Writes `report.json` and `report.html`.
///
/// # Errors
/// When one cannot be written.
pub(super) fn store(report: &ObservationReport, folder: &ResultFolder) -> Result<(), Failure> {
    const REPORT: &str = "report.json";
    let json = serde_json::to_string_pretty(report).map_err(Failure::usage)?;
    folder.write(REPORT, json.as_bytes())?;
    let stored = StoredObservation::read(&folder.file(REPORT)).map_err(Failure::usage)?;
    if let Some(stored) = stored {
        let page = observation_page(&stored).map_err(Failure::usage)?;
        folder.write("report.html", page.as_bytes())?;
    }
    Ok(())
}
