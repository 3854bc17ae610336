//! The reader: a logical replication stream on a thread of its own.
//!
//! One thread, one current-thread runtime: the bytes go from the socket through the decoder into the handler without
//! changing the core. Measured, that doubles the rows a second over a multi-thread runtime; the walsender is the bound.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::config::ReaderConfig;
use super::event::Event;
use super::handover::Handover;
use super::stream::Stream;
use super::{Lsn, ReaderError, TableName};

/// What a reader has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReaderStats {
    /// Rows of initial copies handed over.
    pub copied_rows: u64,
    /// Changes handed over.
    pub changes: u64,
    /// Transactions that ended, also those with nothing in them for us.
    pub transactions: u64,
    /// Position behind the last transaction that was handed over whole.
    pub last_lsn: Lsn,
    /// Position up to which the server has been told that we are done.
    pub acknowledged: Lsn,
    /// Streams opened after the first.
    pub reconnects: u64,
}

/// The reader. It has no state of its own: see [`Reader::spawn`].
#[derive(Debug)]
pub struct Reader;

/// Says which transactions are done with, from whatever thread knows.
#[derive(Debug, Clone, Default)]
pub struct Acknowledger(Arc<Acknowledged>);

#[derive(Debug, Default)]
struct Acknowledged {
    lsn: AtomicU64,
    /// Tables whose copy is acknowledged, and of which the reader has not heard yet.
    copied: Mutex<Vec<(TableName, Lsn)>>,
    raised: Notify,
}

impl Acknowledger {
    /// Waits until something more is acknowledged.
    pub(super) async fn raised(&self) {
        self.0.raised.notified().await;
    }

    /// Everything up to this position, the [`Commit::end_lsn`](super::Commit::end_lsn) of a transaction, is where it should be. Positions that
    /// were passed already say nothing new.
    pub fn acknowledge(&self, end_lsn: Lsn) {
        if self.0.lsn.fetch_max(end_lsn.0, Ordering::AcqRel) < end_lsn.0 {
            self.0.raised.notify_one();
        }
    }

    /// The initial copy of a table, as of [`CopiedTable::point`](super::CopiedTable), is where it should be.
    pub fn acknowledge_copy(&self, table: TableName, point: Lsn) {
        let mut copied = self.0.copied.lock().unwrap_or_else(PoisonError::into_inner);
        copied.push((table, point));
        self.0.raised.notify_one();
    }

    /// The copies acknowledged since the last time.
    pub(super) fn take_copies(&self) -> Vec<(TableName, Lsn)> {
        std::mem::take(&mut *self.0.copied.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The position acknowledged last.
    #[must_use]
    pub fn acknowledged(&self) -> Lsn {
        Lsn(self.0.lsn.load(Ordering::Acquire))
    }
}

/// A reader at work. Dropping it stops it.
#[derive(Debug)]
pub struct ReaderHandle {
    stop: CancellationToken,
    over: CancellationToken,
    error: Arc<Mutex<Option<ReaderError>>>,
    acknowledger: Acknowledger,
    thread: Option<JoinHandle<Result<ReaderStats, ReaderError>>>,
}

impl Reader {
    /// Opens the stream and hands every event to `handler`, on the reader's thread. Returns once the slot is there, and the
    /// server streams or is about to send an initial copy: no later change can be missed. A handler that breaks stops the
    /// reader.
    ///
    /// A connection that breaks is opened again, and the stream goes on where it was: nothing is handed over twice for as
    /// long as the reader lives. A reader that is started anew begins behind what was acknowledged.
    ///
    /// # Errors
    /// When the server does not answer, refuses, or has no place for another slot.
    pub async fn spawn(
        config: ReaderConfig,
        handler: impl FnMut(Event<'_>) -> ControlFlow<()> + Send + 'static,
    ) -> Result<ReaderHandle, ReaderError> {
        let (stop, over) = (CancellationToken::new(), CancellationToken::new());
        let error = Arc::new(Mutex::new(None));
        let acknowledger = Acknowledger(Arc::default());
        let (started, has_started) = oneshot::channel();
        let (thread_stop, thread_error) = (stop.clone(), Arc::clone(&error));
        let (thread_over, thread_acknowledger) = (over.clone().drop_guard(), acknowledger.clone());
        let thread = std::thread::Builder::new()
            .name("wal-reader".to_owned())
            .spawn(move || {
                let _over = thread_over;
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let runtime =
                    runtime.map_err(|e| ReaderError::Thread(format!("has no runtime: {e}")))?;
                let handover = Handover::new(&config, handler, thread_acknowledger);
                let stream = Stream::new(config, handover, thread_stop);
                let outcome = runtime.block_on(stream.run(started));
                if let Err(cause) = &outcome {
                    *thread_error.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some(cause.clone());
                }
                outcome
            })
            .map_err(|e| ReaderError::Thread(format!("could not be started: {e}")))?;
        let mut handle = ReaderHandle {
            stop,
            over,
            error,
            acknowledger,
            thread: Some(thread),
        };
        match has_started.await {
            Ok(()) => Ok(handle),
            // The thread is over, or about to be: it says why.
            Err(_) => match handle.join() {
                Err(cause) => Err(cause),
                Ok(_) => Err(ReaderError::Thread("ended before it started".to_owned())),
            },
        }
    }
}

impl ReaderHandle {
    /// Why the reader has ended by itself, if it has.
    #[must_use]
    pub fn error(&self) -> Option<ReaderError> {
        self.error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Says which transactions are done with, where that is done by hand.
    #[must_use]
    pub fn acknowledger(&self) -> Acknowledger {
        self.acknowledger.clone()
    }

    /// Whether the reader has ended by itself.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Waits until the reader has ended by itself: its handler broke, or it failed.
    pub async fn ended(&self) {
        self.over.cancelled().await;
    }

    /// Ends the stream and waits for the thread; blocks for as long as the handler takes for what it is at. What was
    /// acknowledged until now is told to the server first.
    ///
    /// # Errors
    /// Why it had ended before.
    pub fn stop(mut self) -> Result<ReaderStats, ReaderError> {
        self.stop.cancel();
        self.join()
    }

    fn join(&mut self) -> Result<ReaderStats, ReaderError> {
        let Some(thread) = self.thread.take() else {
            return Ok(ReaderStats::default());
        };
        thread
            .join()
            .unwrap_or_else(|_| Err(ReaderError::Thread("panicked".to_owned())))
    }
}

impl Drop for ReaderHandle {
    fn drop(&mut self) {
        self.stop.cancel();
        // A panic in there has been told; here it would be one too many.
        let _ = self.join();
    }
}
