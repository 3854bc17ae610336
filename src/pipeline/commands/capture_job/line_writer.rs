//! The thread that writes lines, and acknowledges what they say once they are written.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::state::CaptureState;
use crate::pipeline::failure::Failure;
use crate::pipeline::run::ack_tracker::AckUnit;

/// Longest time for which a busy output is not flushed, and what it says not acknowledged.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// Most bytes between two flushes of a busy output.
const FLUSH_BYTES: usize = 16 * 1_024 * 1_024;

pub(super) enum Chunk {
    /// Lines, and the unit that ends with them.
    Lines(Vec<u8>, Option<AckUnit>),
    /// Signals when everything before it is flushed.
    Flush(SyncSender<()>),
}

/// Writes chunks as they arrive. It flushes when the queue is empty, so that one line is written at once and many go together;
/// and, when the queue is never empty, by time and by size.
pub(super) struct LineWriter {
    thread: JoinHandle<io::Result<()>>,
    written: Arc<AtomicU64>,
    ended: CancellationToken,
}

impl LineWriter {
    pub(super) fn start(
        out: Box<dyn Write + Send>,
        chunks: Receiver<Chunk>,
        state: Arc<CaptureState>,
    ) -> Result<Self, Failure> {
        let written = Arc::new(AtomicU64::new(0));
        let ended = CancellationToken::new();
        let mut output = Output {
            out,
            state,
            units: Vec::new(),
            bytes: 0,
            flushed: Instant::now(),
            written: Arc::clone(&written),
        };
        let guard = ended.clone().drop_guard();
        let work = move || {
            let _ended = guard;
            output.write_chunks(&chunks)
        };
        let thread = std::thread::Builder::new()
            .name("lines".to_owned())
            .spawn(work)
            .map_err(Failure::usage)?;
        Ok(Self {
            thread,
            written,
            ended,
        })
    }

    /// Bytes written so far.
    pub(super) fn written(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.written)
    }

    /// Cancelled when the writer has ended: it cannot write any more.
    pub(super) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    pub(super) fn join(self) -> io::Result<()> {
        self.thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the writer panicked")))
    }
}

struct Output<W> {
    out: W,
    state: Arc<CaptureState>,
    /// Written, and not acknowledged yet.
    units: Vec<AckUnit>,
    /// Written since the last flush.
    bytes: usize,
    flushed: Instant,
    written: Arc<AtomicU64>,
}

impl<W: Write> Output<W> {
    fn write_chunks(&mut self, chunks: &Receiver<Chunk>) -> io::Result<()> {
        loop {
            let chunk = match chunks.try_recv() {
                Ok(chunk) => chunk,
                Err(TryRecvError::Disconnected) => return self.flush(),
                Err(TryRecvError::Empty) => {
                    self.flush()?;
                    match chunks.recv() {
                        Ok(chunk) => chunk,
                        Err(_) => return Ok(()),
                    }
                }
            };
            match chunk {
                Chunk::Lines(lines, end) => {
                    self.write(&lines, end)?;
                    if self.bytes >= FLUSH_BYTES || self.flushed.elapsed() >= FLUSH_INTERVAL {
                        self.flush()?;
                    }
                }
                Chunk::Flush(done) => {
                    self.flush()?;
                    // The requester may have given up.
                    let _ = done.try_send(());
                }
            }
        }
    }

    fn write(&mut self, lines: &[u8], end: Option<AckUnit>) -> io::Result<()> {
        self.out.write_all(lines)?;
        self.bytes += lines.len();
        let count = u64::try_from(lines.len()).unwrap_or(0);
        self.written.fetch_add(count, Ordering::Relaxed);
        match (end, self.units.last_mut()) {
            // Acknowledging the last transaction acknowledges those before it.
            (Some(AckUnit::Transaction(end)), Some(AckUnit::Transaction(last))) => *last = end,
            (end, _) => self.units.extend(end),
        }
        Ok(())
    }

    /// Flushes, and acknowledges what is complete.
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()?;
        (self.bytes, self.flushed) = (0, Instant::now());
        if let Some(acknowledger) = self.state.acknowledger.get() {
            for unit in self.units.drain(..) {
                unit.acknowledge(acknowledger);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use pgcdc::{Acknowledger, Lsn};

    use super::*;

    /// An output whose reader takes its time with each chunk.
    struct SlowPipe;

    impl Write for SlowPipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            std::thread::sleep(Duration::from_millis(20));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_busy_output_acknowledges_while_its_queue_is_never_empty() {
        /// Ten times as many as it writes between two acknowledgements.
        const CHUNKS: u64 = 500;
        let state = Arc::new(CaptureState::default());
        let acknowledger = Acknowledger::default();
        state.acknowledger.set(acknowledger.clone()).unwrap();
        let (sender, chunks) = sync_channel(64);
        let unit = |lsn| Chunk::Lines(b"line\n".to_vec(), Some(AckUnit::Transaction(Lsn(lsn))));
        // The queue is full before the writer begins, and stays so.
        for lsn in 1..=64 {
            sender.send(unit(lsn)).unwrap();
        }
        let writer = LineWriter::start(Box::new(SlowPipe), chunks, state).unwrap();
        let sent = (65..=CHUNKS).find(|lsn| {
            sender.send(unit(*lsn)).unwrap();
            acknowledger.acknowledged() > Lsn(0)
        });
        assert!(sent.is_some(), "nothing before the queue was empty");
        drop(sender);
        writer.join().unwrap();
        assert_eq!(acknowledger.acknowledged(), Lsn(sent.unwrap()));
    }
}
