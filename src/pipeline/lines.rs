//! `capture`: what our reader reads, as lines. A transaction, or a table's initial copy, is acknowledged once its last line is
//! out.

use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::stack::Progress;
use crate::timeline::Clock;
use crate::wal::envelope::{EnvelopeConfig, EnvelopeError, Envelopes, Record, write_flat};
use crate::wal::{
    Acknowledge, Acknowledger, Change, Event, Lsn, PlannedTable, Reader, ReaderConfig, ReaderError,
    ReaderStats, TableName,
};

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

/// What is captured, and for how long.
#[derive(Debug)]
pub struct LinesRequest {
    /// What is read. Acknowledgment is ours to do.
    pub reader: ReaderConfig,
    /// How it is written.
    pub format: LineFormat,
    /// Stop behind this position.
    pub until: Option<Lsn>,
    /// Stop after so many changes.
    pub max: Option<u64>,
}

/// What was captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinesOutcome {
    /// What the reader did.
    pub reader: ReaderStats,
    /// Whether whoever reads our lines has gone.
    pub reader_is_gone: bool,
}

/// Captures until there is a reason to stop: the request's, the user's, or that nobody reads the lines any more.
///
/// # Errors
/// When the reader fails, or the lines cannot be written.
pub async fn capture_lines(
    mut request: LinesRequest,
    out: impl Write + Send + 'static,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<LinesOutcome, Failure> {
    request.reader.acknowledge = Acknowledge::ByHand;
    request.reader.describe = true;
    let clock = Clock::start();
    let (sender, chunks) = sync_channel(WAITING);
    let shared = Arc::new(Shared::default());
    let writer = Writer::start(out, chunks, Arc::clone(&shared))?;
    let mut lines = Lines {
        format: Form::of(request.format),
        until: request.until,
        max: request.max,
        clock,
        buffer: Vec::with_capacity(CHUNK * 2),
        sender: sender.clone(),
        shared: Arc::clone(&shared),
    };
    let step = "capture";
    if std::io::stderr().is_terminal() {
        progress.begin(step);
    }
    let spawned = Reader::spawn(request.reader, clock, move |event| lines.event(event));
    let reader = tokio::select! {
        () = cancel.cancelled() => return Err(Failure::interrupted()),
        reader = spawned => reader?,
    };
    // The writer acknowledges; before the first line there is nothing to acknowledge.
    let _ = shared.acknowledger.set(reader.acknowledger());
    let mut shown = (Instant::now(), 0);
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            () = reader.ended() => break,
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                let changes = shared.changes.load(Ordering::Relaxed);
                let rate = rate(changes - shown.1, shown.0.elapsed());
                shown = (Instant::now(), changes);
                progress.update(step, &shared.describe(changes, rate, &clock));
            }
        }
    }
    // Whole transactions: the one at hand is written to its end, and no other begins.
    shared.stopping.store(true, Ordering::SeqCst);
    while shared.is_within.load(Ordering::SeqCst) && !reader.is_over() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let flushed = tokio::task::spawn_blocking(move || flush(&sender));
    let _ = flushed.await;
    let ended = tokio::task::spawn_blocking(move || reader.stop())
        .await
        .map_err(|e| Failure::server(ReaderError::Thread(e.to_string())))?;
    if let Some(refusal) = shared.refusal.get() {
        return Err(Failure::server(refusal.clone()));
    }
    let written = writer.join();
    if let Err(error) = written
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        return Err(Failure::usage(
            anyhow::Error::from(error).context("writing the lines"),
        ));
    }
    Ok(LinesOutcome {
        reader: ended?,
        reader_is_gone: shared.is_gone.load(Ordering::Relaxed),
    })
}

#[allow(clippy::cast_precision_loss)]
fn rate(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(1e-9)
}

/// What reader, writer and the one who waits for them share.
#[derive(Debug, Default)]
struct Shared {
    acknowledger: OnceLock<Acknowledger>,
    changes: AtomicU64,
    /// Tables of an initial copy that are still to come.
    tables_to_copy: AtomicUsize,
    /// Rows of an initial copy, as the server's statistics have them; 0 where they have none.
    rows_to_copy: AtomicU64,
    /// Commit time of the change written last, nanoseconds on PostgreSQL's clock.
    commit_time: AtomicI64,
    stopping: AtomicBool,
    /// A transaction is at hand.
    is_within: AtomicBool,
    /// Nobody reads the lines.
    is_gone: AtomicBool,
    /// Why a change cannot be written. Nothing behind it is, and it is not acknowledged.
    refusal: OnceLock<EnvelopeError>,
}

impl Shared {
    /// How far the capture is.
    fn describe(&self, changes: u64, rate: f64, clock: &Clock) -> String {
        let left = self.tables_to_copy.load(Ordering::Relaxed);
        if left == 0 {
            return format!("{changes} changes, {rate:.0}/s, {}", self.lag(clock));
        }
        let of = match self.rows_to_copy.load(Ordering::Relaxed) {
            0 => String::new(),
            rows => format!(" of about {}", rows.max(changes)),
        };
        format!("initial copy: {changes}{of} rows, {rate:.0}/s, {left} tables left")
    }

    /// How long ago the last change was committed; PostgreSQL's clock being taken for ours.
    fn lag(&self, clock: &Clock) -> String {
        match self.commit_time.load(Ordering::Relaxed) {
            0 => "no change yet".to_owned(),
            at => {
                let behind = (clock.now().0 - at).max(0) / 1_000_000;
                format!("the last one committed {behind} ms before now")
            }
        }
    }
}

/// What is whole once the lines before it are out.
enum Whole {
    /// A transaction, by the position behind it.
    Transaction(Lsn),
    /// A table of the initial copy, as of a position.
    Copy(TableName, Lsn),
}

enum Chunk {
    /// Lines, and what is whole with them.
    Lines(Vec<u8>, Option<Whole>),
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

    fn write(
        &mut self,
        out: &mut Vec<u8>,
        change: &Change<'_>,
        clock: &Clock,
    ) -> Result<(), EnvelopeError> {
        match self {
            Self::Flat => write_flat(out, change).map(|()| out.push(b'\n')),
            Self::Debezium(envelopes) => envelopes.write(change, clock.now(), |record| {
                if let Some(value) = record.value {
                    out.extend_from_slice(value);
                    out.push(b'\n');
                }
            }),
            Self::Records(envelopes) => {
                let topic = envelopes.topic(change.relation);
                envelopes.write(change, clock.now(), |record| {
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

/// The reader's handler.
struct Lines {
    format: Form,
    until: Option<Lsn>,
    max: Option<u64>,
    clock: Clock,
    buffer: Vec<u8>,
    sender: SyncSender<Chunk>,
    shared: Arc<Shared>,
}

impl Lines {
    fn event(&mut self, event: Event<'_>) -> ControlFlow<()> {
        match event {
            Event::Begin(transaction) => {
                // In this order: whoever has said stop then sees that a transaction is at hand, or we see that they did.
                self.shared.is_within.store(true, Ordering::SeqCst);
                let is_over = self.shared.stopping.load(Ordering::SeqCst)
                    || self.until.is_some_and(|lsn| transaction.commit_lsn >= lsn);
                if is_over {
                    self.shared.is_within.store(false, Ordering::SeqCst);
                    return self.finish();
                }
                ControlFlow::Continue(())
            }
            Event::Message(_) => ControlFlow::Continue(()),
            Event::Change(change) => {
                let written = self.format.write(&mut self.buffer, &change, &self.clock);
                if let Err(refusal) = written {
                    let _ = self.shared.refusal.set(refusal);
                    return ControlFlow::Break(());
                }
                let changes = self.shared.changes.fetch_add(1, Ordering::Relaxed) + 1;
                let at = change.transaction.commit_time.0;
                self.shared.commit_time.store(at, Ordering::Relaxed);
                if self.max.is_some_and(|max| changes >= max) {
                    self.pass_on(None)?;
                    return self.finish();
                }
                if self.buffer.len() >= CHUNK {
                    self.pass_on(None)?;
                }
                ControlFlow::Continue(())
            }
            Event::Snapshot(plan) => {
                let estimate = |table: &PlannedTable| table.estimated_rows.unwrap_or(0);
                let rows = plan.tables.iter().map(estimate).sum();
                self.shared.rows_to_copy.store(rows, Ordering::Relaxed);
                let tables = plan.tables.len();
                self.shared.tables_to_copy.store(tables, Ordering::Relaxed);
                ControlFlow::Continue(())
            }
            Event::Copied(table) => {
                self.shared
                    .tables_to_copy
                    .store(table.left, Ordering::Relaxed);
                let name = table.relation.table_name();
                self.pass_on(Some(Whole::Copy(name, table.point)))
            }
            Event::Commit(commit) => {
                self.pass_on(Some(Whole::Transaction(commit.end_lsn)))?;
                self.shared.is_within.store(false, Ordering::SeqCst);
                self.reached(commit.end_lsn)
            }
            Event::Idle(lsn) => self.reached(lsn),
        }
    }

    fn reached(&mut self, lsn: Lsn) -> ControlFlow<()> {
        if self.until.is_some_and(|until| lsn >= until) {
            return self.finish();
        }
        ControlFlow::Continue(())
    }

    fn pass_on(&mut self, whole: Option<Whole>) -> ControlFlow<()> {
        let lines = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        match self.sender.send(Chunk::Lines(lines, whole)) {
            Ok(()) => ControlFlow::Continue(()),
            // The writer is over: it has said why.
            Err(_) => ControlFlow::Break(()),
        }
    }

    /// Everything out and acknowledged, so that the reader's last word to the server has it.
    fn finish(&mut self) -> ControlFlow<()> {
        flush(&self.sender);
        ControlFlow::Break(())
    }
}

/// Writes chunks as they come, and flushes when none waits: one line goes at once, many go together.
struct Writer(JoinHandle<std::io::Result<()>>);

impl Writer {
    fn start(
        mut out: impl Write + Send + 'static,
        chunks: Receiver<Chunk>,
        shared: Arc<Shared>,
    ) -> Result<Self, Failure> {
        let work = move || {
            let outcome = write_chunks(&mut out, &chunks, &shared);
            if outcome.is_err() {
                shared.is_gone.store(true, Ordering::Relaxed);
            }
            outcome
        };
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
    shared: &Shared,
) -> std::io::Result<()> {
    let mut whole = Vec::new();
    let out_is_flushed = |out: &mut dyn Write, whole: &mut Vec<Whole>| {
        out.flush()?;
        if let Some(acknowledger) = shared.acknowledger.get() {
            for one in whole.drain(..) {
                match one {
                    Whole::Transaction(end) => acknowledger.acknowledge(end),
                    Whole::Copy(table, point) => acknowledger.acknowledge_copy(table, point),
                }
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
                    (Some(Whole::Transaction(end)), Some(Whole::Transaction(last))) => *last = end,
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
