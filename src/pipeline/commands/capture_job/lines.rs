//! Changes as lines. A thread of its own writes them, so that a slow consumer of the lines does not block the stream.

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use cdc_bench_model::timeline::Clock;
use pgcdc::{Change, Commit, LogicalMessage};
use pgcdc_debezium::{
    EnvelopeConfig, EnvelopeError, Envelopes, Record, write_flat, write_flat_message,
};
use tokio_util::sync::CancellationToken;

use super::line_writer::{Chunk, LineWriter};
use super::state::CaptureState;
use crate::pipeline::failure::Failure;
use crate::pipeline::run::ack_tracker::AckUnit;
use crate::pipeline::run::reader_clock::to_unix_nanos;

/// Bytes of a large transaction that are passed to the writer at once.
const CHUNK: usize = 64 * 1_024;
/// Capacity of the writer's queue, in chunks. When it is full, the stream waits.
const QUEUED_CHUNKS: usize = 64;
/// Interval at which a flush looks whether the output still moves.
const FLUSH_POLL: Duration = Duration::from_millis(100);
/// Longest pause of the output while the capture is being stopped.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// Format of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineFormat {
    /// Debezium's event, its value only.
    Debezium(EnvelopeConfig),
    /// Debezium's event with topic and key, `{"topic":..,"key":..,"value":..}`, and tombstones.
    DebeziumRecords(EnvelopeConfig),
    /// One plain object per change.
    Flat,
}

enum LineEncoder {
    Debezium(Envelopes),
    Records(Envelopes),
    Flat,
}

impl LineEncoder {
    fn new(format: LineFormat) -> Self {
        match format {
            LineFormat::Debezium(config) => Self::Debezium(Envelopes::new(config)),
            LineFormat::DebeziumRecords(config) => Self::Records(Envelopes::new(config)),
            LineFormat::Flat => Self::Flat,
        }
    }

    /// Writes a line for the start of a transaction, in a format that has such lines.
    fn begin(&mut self, out: &mut Vec<u8>, change: &Change<'_>) {
        if let Self::Records(envelopes) = self {
            let topic = envelopes.transaction_topic();
            if let Some(record) = envelopes.begin(change) {
                write_record(out, &topic, record);
            }
        }
    }

    /// Writes a line for the end of a transaction, in a format that has such lines.
    fn end(&mut self, out: &mut Vec<u8>, commit: &Commit<'_>) {
        if let Self::Records(envelopes) = self {
            let topic = envelopes.transaction_topic();
            if let Some(record) = envelopes.end(commit) {
                write_record(out, &topic, record);
            }
        }
    }

    /// Writes a line for a message of the WAL, after one for the start of its transaction.
    fn message(&mut self, out: &mut Vec<u8>, message: &LogicalMessage<'_>, clock: &Clock) {
        let now = to_unix_nanos(clock.now());
        match self {
            Self::Flat => {
                write_flat_message(out, message);
                out.push(b'\n');
            }
            Self::Debezium(envelopes) => {
                out.extend_from_slice(envelopes.message(message, now).value.unwrap_or_default());
                out.push(b'\n');
            }
            Self::Records(envelopes) => {
                let transactions = envelopes.transaction_topic();
                if let Some(record) = envelopes.begin_with_message(message) {
                    write_record(out, &transactions, record);
                }
                let topic = envelopes.message_topic();
                write_record(out, &topic, envelopes.message(message, now));
            }
        }
    }

    fn write(
        &mut self,
        out: &mut Vec<u8>,
        change: &Change<'_>,
        clock: &Clock,
    ) -> Result<(), EnvelopeError> {
        match self {
            Self::Flat => write_flat(out, change).map(|()| out.push(b'\n')),
            Self::Debezium(envelopes) => {
                envelopes.write(change, to_unix_nanos(clock.now()), |record| {
                    if let Some(value) = record.value {
                        out.extend_from_slice(value);
                        out.push(b'\n');
                    }
                })
            }
            Self::Records(envelopes) => {
                let topic = envelopes.topic(change.relation);
                envelopes.write(change, to_unix_nanos(clock.now()), |record| {
                    write_record(out, &topic, record)
                })
            }
        }
    }
}

fn write_record(out: &mut Vec<u8>, topic: &str, record: Record<'_>) {
    out.extend_from_slice(b"{\"topic\":");
    // Serializing a string into memory does not fail.
    let _ = serde_json::to_writer(&mut *out, topic);
    for (name, json) in [(",\"key\":", record.key), (",\"value\":", record.value)] {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(json.unwrap_or(b"null"));
    }
    out.extend_from_slice(b"}\n");
}

/// The reader's side: encodes changes and passes them to the writer.
pub(super) struct LineOutlet {
    encoder: LineEncoder,
    clock: Clock,
    buffer: Vec<u8>,
    sender: SyncSender<Chunk>,
    state: Arc<CaptureState>,
    written: Arc<AtomicU64>,
}

/// The job's side: waits for the writer.
pub(super) struct LineOutletHandle {
    sender: SyncSender<Chunk>,
    writer: LineWriter,
    state: Arc<CaptureState>,
}

impl LineOutlet {
    pub(super) fn start(
        format: LineFormat,
        out: Box<dyn Write + Send>,
        clock: Clock,
        state: &Arc<CaptureState>,
    ) -> Result<(Self, LineOutletHandle), Failure> {
        let (sender, chunks) = sync_channel(QUEUED_CHUNKS);
        let writer = LineWriter::start(out, chunks, Arc::clone(state))?;
        let lines = Self {
            encoder: LineEncoder::new(format),
            clock,
            buffer: Vec::with_capacity(CHUNK * 2),
            sender: sender.clone(),
            state: Arc::clone(state),
            written: writer.written(),
        };
        let state = Arc::clone(state);
        let end = LineOutletHandle {
            sender,
            writer,
            state,
        };
        Ok((lines, end))
    }

    pub(super) fn change(&mut self, change: &Change<'_>) -> Result<ControlFlow<()>, EnvelopeError> {
        self.encoder.begin(&mut self.buffer, change);
        self.encoder.write(&mut self.buffer, change, &self.clock)?;
        if self.buffer.len() >= CHUNK {
            return Ok(self.send_lines(None));
        }
        Ok(ControlFlow::Continue(()))
    }

    pub(super) fn message(&mut self, message: &LogicalMessage<'_>) -> ControlFlow<()> {
        self.encoder.message(&mut self.buffer, message, &self.clock);
        if self.buffer.len() >= CHUNK {
            return self.send_lines(None);
        }
        ControlFlow::Continue(())
    }

    pub(super) fn commit(&mut self, commit: &Commit<'_>) -> ControlFlow<()> {
        self.encoder.end(&mut self.buffer, commit);
        ControlFlow::Continue(())
    }

    pub(super) fn send_lines(&mut self, unit: Option<AckUnit>) -> ControlFlow<()> {
        let lines = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        match self.sender.send(Chunk::Lines(lines, unit)) {
            Ok(()) => ControlFlow::Continue(()),
            // The writer has ended; it reports the reason.
            Err(_) => ControlFlow::Break(()),
        }
    }

    pub(super) fn flush(&mut self) -> ControlFlow<()> {
        self.send_lines(None)?;
        flush(&self.sender, &self.state, &self.written);
        ControlFlow::Continue(())
    }
}

impl LineOutletHandle {
    pub(super) fn flush(&self) {
        flush(&self.sender, &self.state, &self.writer.written());
    }

    pub(super) fn failed(&self) -> CancellationToken {
        self.writer.ended()
    }

    /// Waits for the writer. A closed pipe is no error.
    pub(super) fn finish(self) -> Result<(), Failure> {
        drop(self.sender);
        match self.writer.join() {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::usage(
                anyhow::Error::from(error).context("writing the lines"),
            )),
            _ => Ok(()),
        }
    }
}

/// Waits until everything before is flushed: as long as it takes, but no longer than a pause of the output once the user has
/// asked to stop.
fn flush(sender: &SyncSender<Chunk>, state: &CaptureState, written: &AtomicU64) {
    let (done, is_done) = sync_channel(1);
    if sender.send(Chunk::Flush(done)).is_err() {
        return;
    }
    let mut last = (written.load(Ordering::Relaxed), Instant::now());
    while is_done.recv_timeout(FLUSH_POLL) == Err(RecvTimeoutError::Timeout) {
        let now = written.load(Ordering::Relaxed);
        if now != last.0 || !state.stopping.load(Ordering::SeqCst) {
            last = (now, Instant::now());
        }
        // It stays unacknowledged, and will be sent again.
        if last.1.elapsed() > FLUSH_LIMIT {
            return;
        }
    }
}
