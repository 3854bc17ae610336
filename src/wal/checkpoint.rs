//! Where a reader keeps the position that its sink has, besides the slot itself.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Lsn;

/// Keeps one position. What is stored is there after a crash, or the one stored before it.
pub trait Checkpoint: Send + fmt::Debug {
    /// The position stored last; `None` when there was none.
    ///
    /// # Errors
    /// When it cannot be read.
    fn load(&mut self) -> io::Result<Option<Lsn>>;

    /// Stores a position, durably.
    ///
    /// # Errors
    /// When it cannot be stored.
    fn store(&mut self, lsn: Lsn) -> io::Result<()>;
}

/// A position in a file: written beside it, synced, and put in its place.
#[derive(Debug, Clone)]
pub struct FileCheckpoint {
    path: PathBuf,
    partial: PathBuf,
}

impl FileCheckpoint {
    /// At this path. The folder must be there; the file need not.
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

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Checkpoint for FileCheckpoint {
    fn load(&mut self) -> io::Result<Option<Lsn>> {
        let text = match std::fs::read_to_string(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let malformed = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        text.trim().parse().map(Some).map_err(malformed)
    }

    fn store(&mut self, lsn: Lsn) -> io::Result<()> {
        let mut file = File::create(&self.partial)?;
        writeln!(file, "{lsn}")?;
        file.sync_all()?;
        std::fs::rename(&self.partial, &self.path)?;
        // The name is in the folder, which has a sync of its own.
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_the_position_stored_last() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.lsn");
        let mut checkpoint = FileCheckpoint::at(&path);
        assert_eq!(checkpoint.load().unwrap(), None);
        for lsn in [Lsn(7), Lsn(0x16_b374_d848)] {
            checkpoint.store(lsn).unwrap();
            assert_eq!(FileCheckpoint::at(&path).load().unwrap(), Some(lsn));
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "16/B374D848\n");
    }

    #[test]
    fn a_write_that_was_cut_off_leaves_the_position_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.lsn");
        let mut checkpoint = FileCheckpoint::at(&path);
        checkpoint.store(Lsn(5)).unwrap();
        std::fs::write(&checkpoint.partial, "0/").unwrap();
        assert_eq!(checkpoint.load().unwrap(), Some(Lsn(5)));
        checkpoint.store(Lsn(6)).unwrap();
        assert_eq!(checkpoint.load().unwrap(), Some(Lsn(6)));
    }

    #[test]
    fn what_is_no_position_is_an_error_and_not_a_start_from_the_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.lsn");
        std::fs::write(&path, "nonsense").unwrap();
        let error = FileCheckpoint::at(&path).load().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
