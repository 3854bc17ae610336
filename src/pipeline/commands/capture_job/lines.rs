//! Changes as lines. They are written by a thread of their own, so that the stream does not wait for whoever reads them.

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use cdc_bench_model::timeline::Clock;
use pgcdc::{Change, Commit};
use pgcdc_debezium::{EnvelopeConfig, EnvelopeError, Envelopes, Record, write_flat};

use super::state::CaptureState;
use crate::pipeline::failure::Failure;
use crate::pipeline::run::ack_tracker::AckUnit;
use crate::pipeline::run::reader_clock::unix_nanos;

/// Bytes that go to the writer at once, of a transaction that is larger.
const CHUNK: usize = 64 * 1_024;
/// Chunks that wait for the writer: what is beyond them waits in the server.
const WAITING: usize = 64;
/// Longest wait for the last lines to be out.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// How a change is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineFormat {
    /// As Debezium's event: its value alone.
    Debezium(EnvelopeConfig),
    /// The same with topic and key: `{"topic":..,"key":..,"value":..}`, and tombstones.
    DebeziumRecords(EnvelopeConfig),
    /// One plain object.
    Flat,
}

enum Form {
    Debezium(Envelopes),
    Records(Envelopes),
    Flat,
}

impl Form {
    fn of(format: LineFormat) -> Self {
        match format {
            LineFormat::Debezium(config) => Self::Debezium(Envelopes::new(config)),
            LineFormat::DebeziumRecords(config) => Self::Records(Envelopes::new(config)),
            LineFormat::Flat => Self::Flat,
        }
    }

    /// A line for the transaction's beginning, in a format that can tell it from a change.
    fn begin(&mut self, out: &mut Vec<u8>, change: &Change<'_>) {
        if let Self::Records(envelopes) = self {
            let topic = envelopes.transaction_topic();
            if let Some(record) = envelopes.begin(change) {
                write_record(out, &topic, record);
            }
        }
    }

    /// And for its end.
    fn end(&mut self, out: &mut Vec<u8>, commit: &Commit<'_>) {
        if let Self::Records(envelopes) = self {
            let topic = envelopes.transaction_topic();
            if let Some(record) = envelopes.end(commit) {
                write_record(out, &topic, record);
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
                envelopes.write(change, unix_nanos(clock.now()), |record| {
                    if let Some(value) = record.value {
                        out.extend_from_slice(value);
                        out.push(b'\n');
                    }
                })
            }
            Self::Records(envelopes) => {
                let topic = envelopes.topic(change.relation);
                envelopes.write(change, unix_nanos(clock.now()), |record| {
                    write_record(out, &topic, record)
                })
            }
        }
    }
}

fn write_record(out: &mut Vec<u8>, topic: &str, record: Record<'_>) {
    out.extend_from_slice(b"{\"topic\":");
    // Writing into memory does not fail, nor does a string.
    let _ = serde_json::to_writer(&mut *out, topic);
    for (name, json) in [(",\"key\":", record.key), (",\"value\":", record.value)] {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(json.unwrap_or(b"null"));
    }
    out.extend_from_slice(b"}\n");
}

/// The handler's side.
pub(super) struct LineOutlet {
    format: Form,
    clock: Clock,
    buffer: Vec<u8>,
    sender: SyncSender<Chunk>,
}

/// The side of whoever waits.
pub(super) struct LineOutletEnd {
    sender: SyncSender<Chunk>,
    writer: Writer,
}

impl LineOutlet {
    pub(super) fn start(
        format: LineFormat,
        out: Box<dyn Write + Send>,
        clock: Clock,
        state: &Arc<CaptureState>,
    ) -> Result<(Self, LineOutletEnd), Failure> {
        let (sender, chunks) = sync_channel(WAITING);
        let writer = Writer::start(out, chunks, Arc::clone(state))?;
        let lines = Self {
            format: Form::of(format),
            clock,
            buffer: Vec::with_capacity(CHUNK * 2),
            sender: sender.clone(),
        };
        Ok((lines, LineOutletEnd { sender, writer }))
    }

    pub(super) fn change(&mut self, change: &Change<'_>) -> Result<ControlFlow<()>, EnvelopeError> {
        self.format.begin(&mut self.buffer, change);
        self.format.write(&mut self.buffer, change, &self.clock)?;
        if self.buffer.len() >= CHUNK {
            return Ok(self.pass_on(None));
        }
        Ok(ControlFlow::Continue(()))
    }

    pub(super) fn commit(&mut self, commit: &Commit<'_>) -> ControlFlow<()> {
        self.format.end(&mut self.buffer, commit);
        ControlFlow::Continue(())
    }

    pub(super) fn pass_on(&mut self, whole: Option<AckUnit>) -> ControlFlow<()> {
        let lines = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        match self.sender.send(Chunk::Lines(lines, whole)) {
            Ok(()) => ControlFlow::Continue(()),
            // The writer is over: it has said why.
            Err(_) => ControlFlow::Break(()),
        }
    }

    pub(super) fn flush(&mut self) -> ControlFlow<()> {
        self.pass_on(None)?;
        flush(&self.sender);
        ControlFlow::Continue(())
    }
}

impl LineOutletEnd {
    pub(super) fn flush(&self) {
        flush(&self.sender);
    }

    /// Whoever reads the lines may have had enough of them.
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
    /// LineOutlet, and what is whole with them.
    Lines(Vec<u8>, Option<AckUnit>),
    /// Say when everything before this is out.
    Flush(SyncSender<()>),
}

/// Waits until everything before is out.
fn flush(sender: &SyncSender<Chunk>) {
    let (done, is_done) = sync_channel(1);
    if sender.send(Chunk::Flush(done)).is_ok() {
        // Past the limit it is not acknowledged, and comes again.
        let _ = is_done.recv_timeout(FLUSH_LIMIT);
    }
}

/// Writes chunks as they come, and flushes when none waits: one line goes at once, many go together.
struct Writer(JoinHandle<std::io::Result<()>>);

impl Writer {
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
    let mut whole = Vec::new();
    let out_is_flushed = |out: &mut dyn Write, whole: &mut Vec<AckUnit>| {
        out.flush()?;
        if let Some(acknowledger) = state.acknowledger.get() {
            for one in whole.drain(..) {
                one.acknowledge(acknowledger);
            }
        }
        Ok::<(), std::io::Error>(())
    };
    loop {
        let chunk = match chunks.try_recv() {
            Ok(chunk) => chunk,
            Err(TryRecvError::Disconnected) => return out_is_flushed(out, &mut whole),
            Err(TryRecvError::Empty) => {
                out_is_flushed(out, &mut whole)?;
                match chunks.recv() {
                    Ok(chunk) => chunk,
                    Err(_) => return Ok(()),
                }
            }
        };
        match chunk {
            Chunk::Lines(lines, end) => {
                out.write_all(&lines)?;
                match (end, whole.last_mut()) {
                    // The last transaction stands for those before it.
                    (Some(AckUnit::Transaction(end)), Some(AckUnit::Transaction(last))) => {
                        *last = end
                    }
                    (end, _) => whole.extend(end),
                }
            }
            Chunk::Flush(done) => {
                out_is_flushed(out, &mut whole)?;
                // Whoever waited may have given up.
                let _ = done.try_send(());
            }
        }
    }
}
