//! `dead-letters.jsonl`: records that could not be written, kept with the reason.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use cdc_bench_model::event::EventId;

/// A record that could not be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Why.
    pub reason: String,
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// The event, where it could be read.
    pub id: Option<EventId>,
    /// The record's value as text; bytes that are no UTF-8 are replaced.
    pub value: String,
}

/// The file. It is made with its first letter, so that a run without any leaves none.
#[derive(Debug)]
pub struct DeadLetters {
    path: PathBuf,
    file: Option<File>,
    count: u64,
    /// Whether letters were kept that may not be on disk yet.
    unsecured: bool,
}

impl DeadLetters {
    /// Letters go to `path`.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            count: 0,
            unsecured: false,
        }
    }

    /// Keeps one. It is on disk after [`DeadLetters::secure`].
    ///
    /// # Errors
    /// When it cannot be written: the record's offset must not be let go then.
    pub fn keep(&mut self, letter: &DeadLetter) -> std::io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            empty => empty.insert(File::options().create(true).append(true).open(&self.path)?),
        };
        let mut line = serde_json::to_vec(letter)?;
        line.push(b'\n');
        file.write_all(&line)?;
        self.unsecured = true;
        self.count += 1;
        Ok(())
    }

    /// All that were kept are on disk when this returns.
    ///
    /// # Errors
    /// When they are not: their records' offsets must not be let go then.
    pub fn secure(&mut self) -> std::io::Result<()> {
        if let (true, Some(file)) = (self.unsecured, &self.file) {
            file.sync_data()?;
            self.unsecured = false;
        }
        Ok(())
    }

    /// Letters kept.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Where they are.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
