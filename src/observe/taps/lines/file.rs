//! A file that grows, followed from its end on, also when it is rotated or truncated; or a named pipe.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::reports::LineReports;
use super::splitter::LineSplitter;
use crate::observe::taps::sighting::Sighting;

/// Pause where nothing has come.
const PAUSE: Duration = Duration::from_millis(20);
/// Interval of looking whether the path is another file.
const LOOK: Duration = Duration::from_millis(200);
/// How long a file that was rotated away is read on: its writer may have it open still.
const LEAVE: Duration = Duration::from_secs(60);

/// Follows a file.
pub(super) struct GrowingFile {
    path: PathBuf,
    current: Option<OpenFile>,
    /// What was at the path before, until when.
    previous: Option<(OpenFile, Instant)>,
    looked: Instant,
}

struct OpenFile {
    file: File,
    position: u64,
    splitter: LineSplitter,
    is_pipe: bool,
}

impl OpenFile {
    fn open(path: &Path) -> io::Result<Self> {
        // A pipe without a writer must not be waited for.
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(nix::libc::O_NONBLOCK);
        let file = options.open(path)?;
        let is_pipe = file.metadata()?.file_type().is_fifo();
        Ok(Self {
            file,
            position: 0,
            splitter: LineSplitter::default(),
            is_pipe,
        })
    }

    /// The file from its end on.
    fn at_end(path: &Path) -> io::Result<Self> {
        let mut open = Self::open(path)?;
        if !open.is_pipe {
            open.position = open.file.seek(SeekFrom::End(0))?;
            let mut last = [0];
            if open.position > 0 {
                open.file.seek(SeekFrom::Start(open.position - 1))?;
                open.file.read_exact(&mut last)?;
                if last != *b"\n" {
                    open.splitter = LineSplitter::within_a_line();
                }
            }
        }
        Ok(open)
    }

    fn is(&self, other: &Metadata) -> io::Result<bool> {
        let own = self.file.metadata()?;
        Ok((own.dev(), own.ino()) == (other.dev(), other.ino()))
    }

    /// Reads what there is; `None` when nothing is.
    fn read(&mut self, name: &str, reports: &LineReports) -> io::Result<Option<Vec<Sighting>>> {
        let mut buffer = [0; 16 << 10];
        let count = match self.file.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            read => read?,
        };
        if count == 0 {
            return Ok(None);
        }
        self.position += u64::try_from(count).unwrap_or_default();
        let mut lines = Vec::new();
        self.splitter.push(&buffer[..count], |split| {
            reports.collect(name, &mut lines, split);
        });
        Ok(Some(lines))
    }
}

impl GrowingFile {
    /// Opens a file at its end. One that does not exist yet is waited for, and read from its beginning.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let current = match OpenFile::at_end(&path) {
            Ok(open) => Some(open),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), "the file of lines does not exist yet: it is waited for");
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Self {
            path,
            current,
            previous: None,
            looked: Instant::now(),
        })
    }

    /// Reports every line until it is stopped. Blocks.
    pub(super) fn follow(mut self, reports: &LineReports, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            match self.read(reports) {
                Ok(lines) if lines.is_empty() => std::thread::sleep(PAUSE),
                Ok(lines) => {
                    for line in lines {
                        if !reports.send_blocking(line) {
                            return;
                        }
                    }
                }
                Err(error) => {
                    let path = self.path.display();
                    let failed = format!("the lines of {path} cannot be read: {error}");
                    reports.send_blocking(Sighting::Failed(failed));
                    return;
                }
            }
        }
    }

    fn read(&mut self, reports: &LineReports) -> io::Result<Vec<Sighting>> {
        let name = self.path.display().to_string();
        let mut seen = Vec::new();
        if let Some((previous, until)) = &mut self.previous {
            match previous.read(&name, reports)? {
                Some(lines) => seen.extend(lines),
                None if Instant::now() >= *until => self.previous = None,
                None => {}
            }
        }
        let mut is_idle = true;
        if let Some(current) = &mut self.current
            && let Some(lines) = current.read(&name, reports)?
        {
            is_idle = false;
            seen.extend(lines);
        }
        if is_idle && self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            seen.extend(self.look()?);
        }
        Ok(seen)
    }

    /// Whether the file was truncated, or the path is another one: it is begun anew.
    fn look(&mut self) -> io::Result<Option<Sighting>> {
        let found = match std::fs::metadata(&self.path) {
            Ok(found) => found,
            // Rotated away, and no other is there yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let resumed = |how: &str| {
            let path = self.path.display();
            Some(Sighting::Resumed(
                "lines",
                format!("{path} {how}: it is read from its beginning"),
            ))
        };
        match &mut self.current {
            Some(current) if current.is_pipe => Ok(None),
            Some(current) if current.is(&found)? => {
                if found.len() >= current.position {
                    return Ok(None);
                }
                current.file.rewind()?;
                (current.position, current.splitter) = (0, LineSplitter::default());
                Ok(resumed("was truncated"))
            }
            known => {
                let next = OpenFile::open(&self.path)?;
                let previous = known.replace(next);
                let how = if previous.is_some() {
                    "was rotated"
                } else {
                    "has appeared"
                };
                let until = Instant::now() + LEAVE;
                self.previous = previous.map(|previous| (previous, until));
                Ok(resumed(how))
            }
        }
    }
}

#[cfg(test)]
mod tests;
