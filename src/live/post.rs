//! How a run tells other processes how it stands: a small file in its result folder, replaced as a whole several times a
//! second and removed with the run's end.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use super::{Board, Snapshot};
use cdc_bench_model::report::{RecorderError, ResultFolder};

const NAME: &str = "live.json";
/// How often it is written.
const EVERY: Duration = Duration::from_millis(200);
/// A file that was not replaced for so long belongs to a run that was killed.
pub const FRESH: Duration = Duration::from_secs(10);

/// Writes a board into a result folder for as long as it lives.
#[derive(Debug)]
pub struct Post {
    /// Its end is the sign to stop.
    goes_on: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Post {
    /// Begins on a thread of its own. A disk that is full ends no run: it is said once.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(board: Arc<Board>, folder: ResultFolder) -> std::io::Result<Self> {
        let (goes_on, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("post".to_owned())
            .spawn(move || {
                let mut has_failed = false;
                while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                    if let Err(error) = write(&board, &folder)
                        && !std::mem::replace(&mut has_failed, true)
                    {
                        tracing::warn!(%error, "monitor cannot follow this run");
                    }
                }
                // Who looks on takes its absence for the end.
                drop(std::fs::remove_file(folder.file(NAME)));
            })?;
        Ok(Self {
            goes_on: Some(goes_on),
            thread: Some(thread),
        })
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        self.goes_on = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn write(board: &Board, folder: &ResultFolder) -> Result<(), RecorderError> {
    let text = serde_json::to_vec(&board.snapshot()).map_err(|e| RecorderError::Write {
        path: folder.file(NAME),
        reason: e.to_string(),
    })?;
    folder.write(NAME, &text)
}

/// How the run of this folder stands; `None` when it is not under way.
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

/// The newest run under way in `results`.
#[must_use]
pub fn newest(results: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(results).ok()?.flatten();
    let mut under_way: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|folder| read(folder).is_some())
        .collect();
    // The names begin with the time.
    under_way.sort();
    under_way.pop()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::Figures;

    #[test]
    fn the_newest_run_under_way_is_found_and_its_file_goes_with_it() {
        let results = tempfile::tempdir().unwrap();
        let begin = |run: &str| {
            let folder = ResultFolder::create(results.path(), run).unwrap();
            let board = Arc::new(Board::new(run, "local", Figures::default()));
            let post = Post::start(board, folder.clone()).unwrap();
            while read(folder.path()).is_none() {
                std::thread::sleep(Duration::from_millis(5));
            }
            (folder, post)
        };
        assert_eq!(newest(results.path()), None);
        let (old, old_post) = begin("20261124-101500-a");
        let (new, new_post) = begin("20261124-101501-b");
        assert_eq!(newest(results.path()).unwrap(), new.path());
        drop(new_post);
        assert_eq!(read(new.path()), None);
        assert_eq!(newest(results.path()).unwrap(), old.path());
        drop(old_post);
        assert_eq!(std::fs::read_dir(old.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_run_that_was_killed_is_not_under_way() {
        let results = tempfile::tempdir().unwrap();
        let folder = ResultFolder::create(results.path(), "r").unwrap();
        write(&Board::new("r", "local", Figures::default()), &folder).unwrap();
        assert!(read(folder.path()).is_some());
        let file = std::fs::File::options()
            .write(true)
            .open(folder.file(NAME))
            .unwrap();
        file.set_modified(SystemTime::now() - FRESH * 2).unwrap();
        assert_eq!(read(folder.path()), None);
    }
}
