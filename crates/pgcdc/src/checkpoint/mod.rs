//! Checkpoints: a durable store of a sink's progress besides the slot itself.

mod file_format;
mod progress;

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub use self::progress::{CheckpointProgress, CheckpointSource};

use self::file_format::{format, parse};

/// Stores a sink's progress. After a crash it holds what was stored last, or what was stored before that.
pub trait Checkpoint: Send + fmt::Debug {
    /// The progress stored last; [`CheckpointProgress::default`] when nothing was stored.
    ///
    /// # Errors
    /// When it cannot be read.
    fn load(&mut self) -> io::Result<CheckpointProgress>;

    /// Stores the progress durably.
    ///
    /// # Errors
    /// When it cannot be stored.
    fn store(&mut self, progress: &CheckpointProgress) -> io::Result<()>;
}

/// A checkpoint in a file, which is replaced atomically: written beside it, synced, and renamed. The first line is the
/// position, or `-`; then comes what it is of, `source 7432957237429 1 ["shop","orders_slot"]` (cluster, timeline, database
/// and slot); each further line is a table that is copied, `copied 16/B374D848 ["public","orders"]`, or that is copied in part:
/// `copying ["public","orders",{"point":"16/B374D848",...}]`, with a [`CopyProgress`](crate::CopyProgress) in JSON.
#[derive(Debug, Clone)]
pub struct FileCheckpoint {
    path: PathBuf,
    partial: PathBuf,
}

impl FileCheckpoint {
    /// The checkpoint at this path. The directory must exist; the file need not.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let mut partial = path.clone().into_os_string();
        partial.push(".partial");
        Self {
            partial: partial.into(),
            path,
        }
    }

    /// Path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Checkpoint for FileCheckpoint {
    fn load(&mut self) -> io::Result<CheckpointProgress> {
        match std::fs::read_to_string(&self.path) {
            // A folder that is not there would be noticed when the first position is stored: too late.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.folder().is_dir() => {
                Ok(CheckpointProgress::default())
            }
            text => {
                let text = text.map_err(|error| about(&self.path, &error))?;
                parse(&text).map_err(|error| {
                    let path = self.path.display();
                    io::Error::new(io::ErrorKind::InvalidData, format!("{path}: {error}"))
                })
            }
        }
    }

    fn store(&mut self, progress: &CheckpointProgress) -> io::Result<()> {
        let stored = self.replace(progress);
        stored.map_err(|error| about(&self.path, &error))
    }
}

impl FileCheckpoint {
    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    fn replace(&self, progress: &CheckpointProgress) -> io::Result<()> {
        let mut file = File::create(&self.partial)?;
        file.write_all(format(progress).as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&self.partial, &self.path)?;
        // The rename is durable when the directory is synced.
        File::open(self.folder())?.sync_all()
    }
}

/// The error with the file that it is about.
fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CopyChunk, CopyProgress, Lsn, PartProgress, TableName};

    fn at(lsn: u64) -> CheckpointProgress {
        CheckpointProgress {
            position: Some(Lsn(lsn)),
            ..CheckpointProgress::default()
        }
    }

    #[test]
    fn a_file_holds_what_was_stored_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.lsn");
        let mut checkpoint = FileCheckpoint::at(&path);
        assert_eq!(checkpoint.load().unwrap(), CheckpointProgress::default());
        for progress in [at(7), at(0x16_b374_d848)] {
            checkpoint.store(&progress).unwrap();
            assert_eq!(FileCheckpoint::at(&path).load().unwrap(), progress);
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "16/B374D848\n");
        let mut copied = CheckpointProgress::default();
        copied
            .copied
            .insert(TableName::new("public", "a \"b\"\n"), Lsn(9));
        copied.copied.insert(TableName::new("s", "t"), Lsn(10));
        copied.source = Some(CheckpointSource {
            system: "7432957237429".to_owned(),
            timeline: 3,
            database: "my \"shop\"".to_owned(),
            slot: "orders".to_owned(),
        });
        let mut copying = CopyProgress {
            point: Lsn(11),
            horizon: 1 << 40,
            selection: "SELECT \"a \"\"b\"\"\" FROM t WHERE text = E'\\n\n'".to_owned(),
            publications: "16400@741:16401".to_owned(),
            parts: [(16_384, PartProgress::default())].into(),
        };
        for blocks in [0..8, 16..u32::MAX] {
            let (point, part) = (Lsn(11), 16_384);
            copying.add(&CopyChunk {
                point,
                part,
                blocks,
            });
        }
        copied.copying.insert(TableName::new("s", "large"), copying);
        checkpoint.store(&copied).unwrap();
        assert_eq!(checkpoint.load().unwrap(), copied);
        assert_eq!(copied.first_copy(), Some(Lsn(9)));
    }

    #[test]
    fn an_interrupted_write_leaves_the_previous_progress() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.lsn");
        let mut checkpoint = FileCheckpoint::at(&path);
        checkpoint.store(&at(5)).unwrap();
        std::fs::write(&checkpoint.partial, "0/").unwrap();
        assert_eq!(checkpoint.load().unwrap(), at(5));
        checkpoint.store(&at(6)).unwrap();
        assert_eq!(checkpoint.load().unwrap(), at(6));
    }

    #[test]
    fn an_error_names_the_file_and_comes_before_anything_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut checkpoint = FileCheckpoint::at(folder.path().join("missing/orders.lsn"));
        for error in [
            checkpoint.load().map(drop).unwrap_err(),
            checkpoint.store(&at(5)).unwrap_err(),
        ] {
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            assert!(error.to_string().contains("missing/orders.lsn"), "{error}");
        }
    }

    #[test]
    fn a_malformed_file_is_an_error_and_not_a_start_from_the_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.lsn");
        for text in [
            "",
            "nonsense",
            "0/5\nnonsense",
            "0/5\ncopied 0/5 orders",
            "0/5\ncopied x [\"a\",\"b\"]",
            "0/5\nsource 7 one [\"a\",\"b\"]",
            "0/5\nsource 7 1 a",
            "0/5\ncopying [\"a\",\"b\",{\"point\":\"0/5\"}]",
        ] {
            std::fs::write(&path, text).unwrap();
            let error = FileCheckpoint::at(&path).load().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{text:?}");
        }
    }
}
