//! `capture`: what our reader reads, passed on as lines or as records into Kafka. A transaction, or a table's initial copy, is
//! acknowledged once everything of it is where it should be.

mod lines;
mod records;

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use tokio_util::sync::CancellationToken;

use super::Failure;
use super::reader_clock::ReaderClock;
use super::receipts::Whole;
use cdc_bench_model::timeline::Clock;
use cdc_bench_stack::Progress;
use pgcdc::{
    Acknowledge, Acknowledger, Change, Commit, Event, Lsn, PlannedTable, Reader, ReaderConfig,
    ReaderError, ReaderStats,
};
use pgcdc_debezium::{EnvelopeConfig, EnvelopeError};

pub use lines::LineFormat;

use lines::{Lines, LinesEnd};
use records::{Records, RecordsEnd};

/// Where changes go.
pub enum Destination {
    /// Lines.
    Lines(LineFormat, Box<dyn Write + Send>),
    /// Kafka: Debezium's events, in a topic a table.
    Kafka(EnvelopeConfig, ClientConfig),
}

/// What is captured, to where, and for how long.
pub struct RelayRequest {
    /// What is read. Acknowledgment is ours to do.
    pub reader: ReaderConfig,
    /// Where it goes.
    pub to: Destination,
    /// Stop behind this position.
    pub until: Option<Lsn>,
    /// Stop after so many changes.
    pub max: Option<u64>,
}

/// The step that tells how far a capture is; its caller begins it where that is to be seen.
pub const CAPTURE_STEP: &str = "capture";

/// Captures until there is a reason to stop: the request's, the user's, or that nobody reads the lines any more.
///
/// # Errors
/// When the reader fails, or what it reads cannot be passed on.
pub async fn relay(
    mut request: RelayRequest,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<ReaderStats, Failure> {
    request.reader.acknowledge = Acknowledge::Manual;
    request.reader.describe = true;
    let clock = Clock::start();
    request.reader.time_source = Arc::new(ReaderClock(clock));
    let shared = Arc::new(Shared::default());
    let (outlet, end) = match request.to {
        Destination::Lines(format, out) => {
            let (lines, end) = Lines::start(format, out, clock, &shared)?;
            (Outlet::Lines(lines), End::Lines(end))
        }
        Destination::Kafka(envelopes, kafka) => {
            let (records, end) = Records::start(envelopes, &kafka, clock)?;
            (Outlet::Kafka(records), End::Kafka(end))
        }
    };
    let mut handler = Handler {
        outlet,
        until: request.until,
        max: request.max,
        shared: Arc::clone(&shared),
    };
    let spawned = Reader::spawn(request.reader, move |event| handler.event(event));
    let reader = tokio::select! {
        () = cancel.cancelled() => return Err(Failure::interrupted()),
        reader = spawned => reader?,
    };
    end.go_to(reader.acknowledger(), &shared);
    let mut shown = (Instant::now(), 0);
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            () = reader.ended() => break,
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                let changes = shared.changes.load(Ordering::Relaxed);
                let rate = rate(changes - shown.1, shown.0.elapsed());
                shown = (Instant::now(), changes);
                progress.update(CAPTURE_STEP, &shared.describe(changes, rate, &clock));
            }
        }
    }
    // Whole transactions: the one at hand is passed on to its end, and no other begins.
    shared.stopping.store(true, Ordering::SeqCst);
    while shared.is_within.load(Ordering::SeqCst) && !reader.is_over() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ended = tokio::task::spawn_blocking(move || {
        end.flush();
        let ended = reader.stop();
        (ended, end.finish())
    });
    let (ended, passed_on) = ended
        .await
        .map_err(|e| Failure::server(ReaderError::Thread(e.to_string())))?;
    if let Some(refusal) = shared.refusal.get() {
        return Err(Failure::server(refusal.clone()));
    }
    passed_on?;
    Ok(ended?)
}

#[allow(clippy::cast_precision_loss)]
fn rate(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(1e-9)
}

/// What the handler, whoever passes on, and the one who waits for them share.
#[derive(Debug, Default)]
struct Shared {
    acknowledger: OnceLock<Acknowledger>,
    changes: AtomicU64,
    /// Tables of an initial copy that are still to come.
    tables_to_copy: AtomicUsize,
    /// Rows of an initial copy, as the server's statistics have them; 0 where they have none.
    rows_to_copy: AtomicU64,
    /// Commit time of the change passed on last, nanoseconds on PostgreSQL's clock.
    commit_time: AtomicI64,
    stopping: AtomicBool,
    /// A transaction is at hand.
    is_within: AtomicBool,
    /// Why a change could not be written.
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

/// Takes changes, on the reader's thread. One that breaks has a reason, which its [`End`] tells.
enum Outlet {
    Lines(Lines),
    Kafka(Records),
}

impl Outlet {
    fn change(&mut self, change: &Change<'_>) -> Result<ControlFlow<()>, EnvelopeError> {
        match self {
            Self::Lines(lines) => lines.change(change),
            Self::Kafka(records) => records.change(change),
        }
    }

    fn commit(&mut self, commit: &Commit<'_>) -> ControlFlow<()> {
        match self {
            Self::Lines(lines) => lines.commit(commit),
            Self::Kafka(records) => records.commit(commit),
        }
    }

    fn whole(&mut self, whole: Whole) -> ControlFlow<()> {
        match self {
            Self::Lines(lines) => lines.pass_on(Some(whole)),
            Self::Kafka(records) => {
                records.whole(whole);
                ControlFlow::Continue(())
            }
        }
    }

    /// Waits until everything is out, and acknowledged where it is whole.
    fn flush(&mut self) -> ControlFlow<()> {
        match self {
            Self::Lines(lines) => lines.flush(),
            Self::Kafka(records) => {
                records.flush();
                ControlFlow::Continue(())
            }
        }
    }
}

/// The same from where the capture is waited for.
enum End {
    Lines(LinesEnd),
    Kafka(RecordsEnd),
}

impl End {
    fn go_to(&self, acknowledger: Acknowledger, shared: &Shared) {
        match self {
            Self::Lines(_) => drop(shared.acknowledger.set(acknowledger)),
            Self::Kafka(end) => end.go_to(acknowledger),
        }
    }

    fn flush(&self) {
        match self {
            Self::Lines(end) => end.flush(),
            Self::Kafka(end) => end.flush(),
        }
    }

    fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Lines(end) => end.finish(),
            Self::Kafka(end) => end.finish(),
        }
    }
}

/// The reader's handler.
struct Handler {
    outlet: Outlet,
    until: Option<Lsn>,
    max: Option<u64>,
    shared: Arc<Shared>,
}

impl Handler {
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
            Event::Change(change) => self.change(&change),
            Event::Snapshot(plan) => {
                let estimate = |table: &PlannedTable| table.estimated_rows.unwrap_or(0);
                let rows = plan.tables.iter().map(estimate).sum();
                self.shared.rows_to_copy.store(rows, Ordering::Relaxed);
                let tables = plan.tables.len();
                self.shared.tables_to_copy.store(tables, Ordering::Relaxed);
                ControlFlow::Continue(())
            }
            Event::Copied(table) => {
                let left = &self.shared.tables_to_copy;
                left.store(table.left, Ordering::Relaxed);
                let name = table.relation.table_name();
                self.outlet.whole(Whole::Copy(name, table.point))
            }
            Event::Commit(commit) => {
                self.outlet.commit(&commit)?;
                self.outlet.whole(Whole::Transaction(commit.end_lsn))?;
                self.shared.is_within.store(false, Ordering::SeqCst);
                self.reached(commit.end_lsn)
            }
            Event::Idle(lsn) => self.reached(lsn),
        }
    }

    fn change(&mut self, change: &Change<'_>) -> ControlFlow<()> {
        match self.outlet.change(change) {
            Ok(flow) => flow?,
            Err(refusal) => {
                // The first one ends the capture.
                let _ = self.shared.refusal.set(refusal);
                return ControlFlow::Break(());
            }
        }
        let changes = self.shared.changes.fetch_add(1, Ordering::Relaxed) + 1;
        let at = change.transaction.commit_time.0;
        self.shared.commit_time.store(at, Ordering::Relaxed);
        if self.max.is_some_and(|max| changes >= max) {
            return self.finish();
        }
        ControlFlow::Continue(())
    }

    fn reached(&mut self, lsn: Lsn) -> ControlFlow<()> {
        if self.until.is_some_and(|until| lsn >= until) {
            return self.finish();
        }
        ControlFlow::Continue(())
    }

    /// Everything out and acknowledged, so that the reader's last word to the server has it.
    fn finish(&mut self) -> ControlFlow<()> {
        self.outlet.flush()?;
        ControlFlow::Break(())
    }
}
