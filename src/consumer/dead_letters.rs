//! `dead-letters.jsonl`: records that could not be written, each with the reason.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use cdc_bench_model::event::EventId;

/// A record that could not be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Why it could not.
    pub reason: String,
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// The event, where it could be read.
    pub id: Option<EventId>,
    /// The record's value as text; bytes that are not UTF-8 are replaced.
    pub value: String,
}

/// The file. It is created with the first dead letter: a run without any leaves no file.
#[derive(Debug)]
pub struct DeadLetters {
    path: PathBuf,
    file: Option<File>,
    count: u64,
    /// Whether some may not be on disk yet.
    unsynced: bool,
}

impl DeadLetters {
    /// Dead letters are appended to `path`.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            count: 0,
            unsynced: false,
        }
    }

    /// Appends one. It is on disk after [`DeadLetters::sync`].
    ///
    /// # Errors
    /// When it cannot be written: the record's offset must not be committed then.
    pub fn append(&mut self, dead_letter: &DeadLetter) -> std::io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            empty => empty.insert(File::options().create(true).append(true).open(&self.path)?),
        };
        let mut line = serde_json::to_vec(dead_letter)?;
        line.push(b'\n');
        file.write_all(&line)?;
        self.unsynced = true;
        self.count += 1;
        Ok(())
    }

    /// All that were appended are on disk when this returns.
    ///
    /// # Errors
    /// When they are not: their records' offsets must not be committed then.
    pub fn sync(&mut self) -> std::io::Result<()> {
        if let (true, Some(file)) = (self.unsynced, &self.file) {
            file.sync_data()?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// How many were appended.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The file that they are in.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
