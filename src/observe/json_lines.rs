//! A file of the result that is made with its first line.

use std::fs::File;
use std::io::Write as _;

use cdc_bench_model::report::{RecorderError, ResultFolder};
use serde_json::Value;

/// A file with a JSON document in each line.
pub(super) struct JsonLines {
    folder: ResultFolder,
    name: &'static str,
    file: Option<File>,
    /// Lines that are still written.
    left: u64,
}

impl JsonLines {
    /// Of at most so many lines; those beyond are dropped.
    pub(super) fn new(folder: &ResultFolder, name: &'static str, most: u64) -> Self {
        Self {
            folder: folder.clone(),
            name,
            file: None,
            left: most,
        }
    }

    /// # Errors
    /// When the file cannot be made or written.
    pub(super) fn write(&mut self, line: &Value) -> Result<(), RecorderError> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(());
        };
        self.left = left;
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(self.folder.create_file(self.name)?),
        };
        writeln!(file, "{line}").map_err(|error| RecorderError::Write {
            path: self.folder.file(self.name),
            reason: error.to_string(),
        })
    }
}
