//! `dead-letters.jsonl`: a dead letter a line. A thread of its own appends them and waits until they are on disk, so that
//! records which can be written do not wait for those that cannot.

use std::fs::{File, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::DeadLetter;

/// Appends that wait for the thread.
const QUEUE: usize = 64;
/// The file is synced no more often: a store on the same disk waits for every sync as well.
const BETWEEN_SYNCS: Duration = Duration::from_millis(20);
/// Interval between tries to lock the file.
const LOCK_POLL: Duration = Duration::from_millis(100);
/// A wait for longer than this is told.
const SILENT_FOR: Duration = Duration::from_secs(2);

/// Appends dead letters to a file. It is created with the first one: without any there is no file.
#[derive(Debug)]
pub(super) struct DeadLetterFile {
    path: PathBuf,
    queue: OnceLock<mpsc::Sender<Append>>,
}

struct Append {
    dead_letters: Arc<Vec<DeadLetter>>,
    done: oneshot::Sender<io::Result<()>>,
}

impl DeadLetterFile {
    pub fn at(path: PathBuf) -> Self {
        Self {
            path,
            queue: OnceLock::new(),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends these; they are on disk when the future is ready.
    pub fn append(
        &self,
        dead_letters: Arc<Vec<DeadLetter>>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let queue = self.queue.get_or_init(|| start(self.path.clone())).clone();
        async move {
            let (done, is_done) = oneshot::channel();
            let append = Append { dead_letters, done };
            let ended = || io::Error::other("the thread that writes it has ended");
            queue.send(append).await.map_err(|_| ended())?;
            is_done.await.map_err(|_| ended())?
        }
    }
}

/// Starts the thread; it ends with the last sender.
fn start(path: PathBuf) -> mpsc::Sender<Append> {
    let (sender, queue) = mpsc::channel(QUEUE);
    let spawned = std::thread::Builder::new()
        .name("dead-letters".to_owned())
        .spawn(move || write_all(&path, queue));
    if let Err(error) = spawned {
        // The queue is closed: who appends gets an error.
        tracing::error!(%error, "no thread for the dead letters");
    }
    sender
}

fn write_all(path: &Path, mut queue: mpsc::Receiver<Append>) {
    let mut file = None;
    let mut waiting = Vec::new();
    let mut synced: Option<Instant> = None;
    while let Some(first) = queue.blocking_recv() {
        waiting.push(first);
        if let Some(since) = synced {
            std::thread::sleep(BETWEEN_SYNCS.saturating_sub(since.elapsed()));
        }
        // What came meanwhile is written and synced together.
        while waiting.len() < QUEUE
            && let Ok(next) = queue.try_recv()
        {
            waiting.push(next);
        }
        let written = write_together(path, &mut file, &waiting);
        synced = Some(Instant::now());
        for append in waiting.drain(..) {
            let outcome = match &written {
                Ok(()) => Ok(()),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            // A stage that has ended is not told.
            let _ = append.done.send(outcome);
        }
    }
}

fn write_together(path: &Path, file: &mut Option<File>, appends: &[Append]) -> io::Result<()> {
    let file = match file {
        Some(file) => file,
        empty => empty.insert(open_shared(path)?),
    };
    let mut lines = Vec::new();
    for dead_letter in appends.iter().flat_map(|append| &*append.dead_letters) {
        serde_json::to_writer(&mut lines, dead_letter)?;
        lines.push(b'\n');
    }
    file.write_all(&lines)?;
    file.sync_data()
}

/// Opens the file, for appending beside others that append. A replay has it alone, and puts another in its place.
fn open_shared(path: &Path) -> io::Result<File> {
    let began = Instant::now();
    let mut is_told = false;
    loop {
        let file = File::options().create(true).append(true).open(path)?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {
                if began.elapsed() > SILENT_FOR && !is_told {
                    is_told = true;
                    tracing::warn!(path = %path.display(), "waiting for the replay of the file of dead letters");
                }
                std::thread::sleep(LOCK_POLL);
            }
            // A file system without locks has no replay beside it either.
            Ok(()) | Err(TryLockError::Error(_)) if is_at(&file, path) => return Ok(file),
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
    }
}

/// Whether the open file is the one that has this path.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(named)) = (file.metadata(), path.metadata()) else {
        return false;
    };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

/// The file, locked against everybody who appends to it and replays it; unlocked when it is dropped.
#[derive(Debug)]
pub struct LockedFile(File);

impl LockedFile {
    /// Locks the file. `None`: somebody uses it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = File::open(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(None),
            Ok(()) | Err(TryLockError::Error(_)) if is_at(&file, path) => Ok(Some(Self(file))),
            // It was replaced meanwhile.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(None),
        }
    }

    /// Its lines, from the first on.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn lines(&self) -> io::Result<FileLines> {
        Ok(FileLines(BufReader::new(self.0.try_clone()?)))
    }
}

/// A line of the file.
#[derive(Debug)]
pub struct FileLine {
    /// As it is, without its end.
    pub text: Vec<u8>,
    /// What it says; an error where it is no dead letter.
    pub dead_letter: Result<DeadLetter, serde_json::Error>,
}

/// The lines of a file, read as they are asked for.
#[derive(Debug)]
pub struct FileLines(BufReader<File>);

impl FileLines {
    /// Opens the file for reading, whoever appends to it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(BufReader::new(File::open(path)?)))
    }
}

impl Iterator for FileLines {
    type Item = io::Result<FileLine>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut text = Vec::new();
            match self.0.read_until(b'\n', &mut text) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
            if text.last() == Some(&b'\n') {
                text.pop();
            }
            if !text.is_empty() {
                let dead_letter = serde_json::from_slice(&text);
                return Some(Ok(FileLine { text, dead_letter }));
            }
        }
    }
}
