//! Changes as lines. A thread of its own writes them, so that a slow consumer of the lines does not block the stream.

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use cdc_bench_model::timeline::Clock;
use pgcdc::{Change, Commit, LogicalMessage};
use pgcdc_debezium::{
    EnvelopeConfig, EnvelopeError, Envelopes, Record, write_flat, write_flat_message,
};

use super::state::CaptureState;
use crate::pipeline::failure::Failure;
use crate::pipeline::run::ack_tracker::AckUnit;
use crate::pipeline::run::reader_clock::to_unix_nanos;

/// Bytes of a large transaction that are passed to the writer at once.
const CHUNK: usize = 64 * 1_024;
/// Capacity of the writer's queue, in chunks. When it is full, the stream waits.
const QUEUED_CHUNKS: usize = 64;
/// Longest wait for a flush.
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
}

/// The job's side: waits for the writer.
pub(super) struct LineOutletHandle {
    sender: SyncSender<Chunk>,
    writer: LineWriter,
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
        };
        Ok((lines, LineOutletHandle { sender, writer }))
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
        flush(&self.sender);
        ControlFlow::Continue(())
    }
}

impl LineOutletHandle {
    pub(super) fn flush(&self) {
        flush(&self.sender);
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

enum Chunk {
    /// Lines, and the unit that ends with them.
    Lines(Vec<u8>, Option<AckUnit>),
    /// Signals when everything before it is flushed.
    Flush(SyncSender<()>),
}

/// Waits until everything before is flushed.
fn flush(sender: &SyncSender<Chunk>) {
    let (done, is_done) = sync_channel(1);
    if sender.send(Chunk::Flush(done)).is_ok() {
        // After the limit it stays unacknowledged, and will be sent again.
        let _ = is_done.recv_timeout(FLUSH_LIMIT);
    }
}

/// Writes chunks as they arrive, and flushes when the queue is empty: one line is written at once, many go together.
struct LineWriter(JoinHandle<std::io::Result<()>>);

impl LineWriter {
    fn start(
        mut out: Box<dyn Write + Send>,
        chunks: Receiver<Chunk>,
        state: Arc<CaptureState>,
    ) -> Result<Self, Failure> {
        let work = move || write_chunks(&mut out, &chunks, &state);
        let thread = std::thread::Builder::new()
            .name("lines".to_owned())
            .spawn(work);
        thread.map(Self).map_err(Failure::usage)
    }

    fn join(self) -> std::io::Result<()> {
        self.0
            .join()
            .unwrap_or_else(|_| Err(std::io::Error::other("the writer panicked")))
    }
}

fn write_chunks(
    out: &mut impl Write,
    chunks: &Receiver<Chunk>,
    state: &CaptureState,
) -> std::io::Result<()> {
    let mut units = Vec::new();
    let flush_and_acknowledge = |out: &mut dyn Write, units: &mut Vec<AckUnit>| {
        out.flush()?;
        if let Some(acknowledger) = state.acknowledger.get() {
            for unit in units.drain(..) {
                unit.acknowledge(acknowledger);
            }
        }
        Ok::<(), std::io::Error>(())
    };
    loop {
        let chunk = match chunks.try_recv() {
            Ok(chunk) => chunk,
            Err(TryRecvError::Disconnected) => return flush_and_acknowledge(out, &mut units),
            Err(TryRecvError::Empty) => {
                flush_and_acknowledge(out, &mut units)?;
                match chunks.recv() {
                    Ok(chunk) => chunk,
                    Err(_) => return Ok(()),
                }
            }
        };
        match chunk {
            Chunk::Lines(lines, end) => {
                out.write_all(&lines)?;
                match (end, units.last_mut()) {
                    // Acknowledging the last transaction acknowledges those before it.
                    (Some(AckUnit::Transaction(end)), Some(AckUnit::Transaction(last))) => {
                        *last = end
                    }
                    (end, _) => units.extend(end),
                }
            }
            Chunk::Flush(done) => {
                flush_and_acknowledge(out, &mut units)?;
                // The requester may have given up.
                let _ = done.try_send(());
            }
        }
    }
}
