//! What a command of several runs found: into its folder, and printed.

use serde::Serialize;

use super::output::{print, print_line};
use crate::pipeline::Failure;
use cdc_bench_model::report::ResultFolder;

/// Writes `NAME.json`, and `NAME.html` where there is a page; prints the text and the folder, or the JSON alone.
pub(super) fn tell(
    (folder, name): (&ResultFolder, &str),
    report: &impl Serialize,
    page: Option<&str>,
    text: impl FnOnce() -> String,
    wants_json: bool,
) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(report).map_err(Failure::usage)?;
    folder.write(&format!("{name}.json"), json.as_bytes())?;
    if let Some(page) = page {
        folder.write(&format!("{name}.html"), page.as_bytes())?;
    }
    if wants_json {
        return print_line(json);
    }
    print(text())?;
    print_line(format_args!("\n{}", folder.path().display()))
}
