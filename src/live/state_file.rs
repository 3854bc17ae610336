//! The state of a run for other processes: a small file in its result folder, replaced atomically several times a second
//! and removed at the end of the run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use super::{RunState, Snapshot};
use cdc_bench_model::report::{RecorderError, ResultFolder};

const NAME: &str = "live.json";
/// How often it is written.
const EVERY: Duration = Duration::from_millis(200);
/// A file that is older than this belongs to a run that was killed.
pub const FRESH: Duration = Duration::from_secs(10);

/// Writes the state of a run to a file in its result folder, until it is dropped.
#[derive(Debug)]
pub struct StateFile {
    /// Dropped to stop the thread.
    running: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl StateFile {
    /// Starts a thread that writes the file. An error, such as a full disk, does not end the run; it is logged once.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(state: Arc<RunState>, folder: ResultFolder) -> std::io::Result<Self> {
        let (running, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("post".to_owned())
            .spawn(move || {
                let mut has_failed = false;
                while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                    if let Err(error) = write(&state, &folder)
                        && !std::mem::replace(&mut has_failed, true)
                    {
                        tracing::warn!(%error, "monitor cannot follow this run");
                    }
                }
                // Observers take its absence for the end of the run.
                drop(std::fs::remove_file(folder.file(NAME)));
            })?;
        Ok(Self {
            running: Some(running),
            thread: Some(thread),
        })
    }
}

impl Drop for StateFile {
    fn drop(&mut self) {
        self.running = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn write(state: &RunState, folder: &ResultFolder) -> Result<(), RecorderError> {
    let text = serde_json::to_vec(&state.snapshot()).map_err(|e| RecorderError::Write {
        path: folder.file(NAME),
        reason: e.to_string(),
    })?;
    folder.write(NAME, &text)
}

/// The state of the run of this folder; `None` when it is not in progress.
#[must_use]
pub fn read(folder: &Path) -> Option<Snapshot> {
    let path = folder.join(NAME);
    let written = std::fs::metadata(&path).ok()?.modified().ok()?;
    let age = SystemTime::now()
        .duration_since(written)
        .unwrap_or_default();
    if age > FRESH {
        return None;
    }
    serde_json::from_slice(&std::fs::read(&path).ok()?).ok()
}

/// The newest run in progress in `results`.
#[must_use]
pub fn newest(results: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(results).ok()?.flatten();
    let mut in_progress: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|folder| read(folder).is_some())
        .collect();
    // The names begin with the time.
    in_progress.sort();
    in_progress.pop()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::Figures;

    #[test]
    fn the_newest_run_in_progress_is_found_and_its_file_is_removed_at_its_end() {
        let results = tempfile::tempdir().unwrap();
        let begin = |run: &str| {
            let folder = ResultFolder::create(results.path(), run).unwrap();
            let state = Arc::new(RunState::new(run, "local", Figures::default()));
            let file_writer = StateFile::start(state, folder.clone()).unwrap();
            while read(folder.path()).is_none() {
                std::thread::sleep(Duration::from_millis(5));
            }
            (folder, file_writer)
        };
        assert_eq!(newest(results.path()), None);
        let (old, old_file) = begin("20261124-101500-a");
        let (new, new_file) = begin("20261124-101501-b");
        assert_eq!(newest(results.path()).unwrap(), new.path());
        drop(new_file);
        assert_eq!(read(new.path()), None);
        assert_eq!(newest(results.path()).unwrap(), old.path());
        drop(old_file);
        assert_eq!(std::fs::read_dir(old.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_run_that_was_killed_is_not_in_progress() {
        let results = tempfile::tempdir().unwrap();
        let folder = ResultFolder::create(results.path(), "r").unwrap();
        write(&RunState::new("r", "local", Figures::default()), &folder).unwrap();
        assert!(read(folder.path()).is_some());
        let file = std::fs::File::options()
            .write(true)
            .open(folder.file(NAME))
            .unwrap();
        file.set_modified(SystemTime::now() - FRESH * 2).unwrap();
        assert_eq!(read(folder.path()), None);
    }
}
