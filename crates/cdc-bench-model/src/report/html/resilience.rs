//! The page of `resilience`: what every fault did to every path, and links to the pages of its runs.

use askama::Template;

use super::PageError;
use crate::report::fault_table;
use crate::report::{ResilienceReport, ResilienceRun};

/// The page of a matrix of faults.
///
/// # Errors
/// When the template cannot be rendered.
pub fn resilience_page(report: &ResilienceReport) -> Result<String, PageError> {
    let page = ResiliencePage {
        report,
        headline: report.headline(),
        summary: report.summary(),
        columns: &fault_table::COLUMNS,
        caption: fault_table::CAPTION,
        rows: report.runs.iter().flat_map(rows).collect(),
        version: env!("CARGO_PKG_VERSION"),
    };
    Ok(page.render()?)
}

#[derive(Template)]
#[template(path = "resilience.html")]
struct ResiliencePage<'a> {
    report: &'a ResilienceReport,
    headline: String,
    summary: Vec<String>,
    columns: &'static [&'static str],
    caption: &'static str,
    rows: Vec<Row<'a>>,
    version: &'static str,
}

/// What a fault did to a path, and where the run of it is.
struct Row<'a> {
    cells: Vec<String>,
    folder: &'a str,
}

fn rows(run: &ResilienceRun) -> Vec<Row<'_>> {
    let row = |cells: [String; fault_table::COLUMNS.len()]| Row {
        cells: cells.into(),
        folder: &run.folder,
    };
    fault_table::rows(&run.faults)
        .into_iter()
        .map(row)
        .collect()
}
