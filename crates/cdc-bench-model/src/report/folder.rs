//! The folder of a result.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use crate::timeline::{Nanos, Stamp};

/// Why a result cannot be written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecorderError {
    /// The folder cannot be made.
    #[error("cannot create the results folder {path}: {reason}; choose another with --results-dir")]
    Folder {
        /// Which.
        path: PathBuf,
        /// The system's error message.
        reason: String,
    },
    /// A file in it cannot be written.
    #[error(
        "cannot write {path}: {reason}; free space there, or choose another folder with --results-dir"
    )]
    Write {
        /// Which.
        path: PathBuf,
        /// The system's error message.
        reason: String,
    },
}

/// `cdc-bench-results/<run id>/`.
#[derive(Debug, Clone)]
pub struct ResultFolder(PathBuf);

impl ResultFolder {
    /// Makes it, with everything above it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(parent: &Path, run: &str) -> Result<Self, RecorderError> {
        let path = parent.join(run);
        std::fs::create_dir_all(&path).map_err(|e| RecorderError::Folder {
            path: path.clone(),
            reason: e.to_string(),
        })?;
        Ok(Self(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Opens a file in it for writing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create_file(&self, name: &str) -> Result<File, RecorderError> {
        let path = self.file(name);
        File::create(&path).map_err(|e| RecorderError::Write {
            path,
            reason: e.to_string(),
        })
    }

    /// Opens a file in it for writing at its end.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn append_to(&self, name: &str) -> Result<File, RecorderError> {
        let path = self.file(name);
        let opened = File::options().create(true).append(true).open(&path);
        opened.map_err(|e| RecorderError::Write {
            path,
            reason: e.to_string(),
        })
    }

    /// Writes a whole file in it: beside it first, then in its place.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<(), RecorderError> {
        write_whole(&self.file(name), content)
    }

    /// Removes the folder if a run ended without a result and it holds only empty files.
    pub fn discard_if_empty(&self) {
        let files = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        for file in files {
            if file.metadata().is_ok_and(|meta| meta.len() == 0) {
                drop(std::fs::remove_file(file.path()));
            }
        }
        drop(std::fs::remove_dir(&self.0));
    }
}

/// Writes a file atomically: a reader sees the old or the new content.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<(), RecorderError> {
    let failed = |e: std::io::Error| RecorderError::Write {
        path: path.to_owned(),
        reason: e.to_string(),
    };
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    let partial = PathBuf::from(name);
    let written = std::fs::write(&partial, content).and_then(|()| std::fs::rename(&partial, path));
    if written.is_err() {
        drop(std::fs::remove_file(&partial));
    }
    written.map_err(failed)
}

/// Seconds between two stamps.
#[must_use]
#[allow(clippy::cast_precision_loss)] // a span of a run, far below 2^53 ns
pub fn seconds_between(from: Stamp, to: Stamp) -> f64 {
    let span: Nanos = to - from;
    (span.0 as f64 / 1e6).round() / 1e3
}

/// A file of a result that is being written.
pub(super) struct OutputFile {
    pub(super) file: BufWriter<File>,
    pub(super) path: PathBuf,
}

impl OutputFile {
    pub(super) fn open(folder: &ResultFolder, name: &str) -> Result<Self, RecorderError> {
        Ok(Self {
            file: BufWriter::new(folder.create_file(name)?),
            path: folder.file(name),
        })
    }

    pub(super) fn failed(path: &Path, reason: impl ToString) -> RecorderError {
        RecorderError::Write {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let error = ResultFolder::create(&dir.path().join("file"), "r")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("file/r") && error.contains("--results-dir"),
            "{error}"
        );
    }
}
