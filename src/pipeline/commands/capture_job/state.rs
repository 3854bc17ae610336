//! The state of a capture, shared by its threads.

use cdc_bench_model::timeline::Clock;
use pgcdc::Acknowledger;
use pgcdc_debezium::EnvelopeError;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Longest wait for the reader's acknowledger, which is there as soon as the reader has started.
const ACKNOWLEDGER_LIMIT: Duration = Duration::from_secs(5);

/// Shared by the handler, the outlet, and the job that waits for them.
#[derive(Debug, Default)]
pub(super) struct CaptureState {
    pub(super) acknowledger: OnceLock<Acknowledger>,
    pub(super) changes: AtomicU64,
    /// Tables of the initial copy that are left.
    pub(super) tables_to_copy: AtomicUsize,
    /// Rows of the initial copy by the server's statistics; 0 if there are none.
    pub(super) rows_to_copy: AtomicU64,
    /// Commit time of the change delivered last, nanoseconds on PostgreSQL's clock.
    pub(super) commit_time: AtomicI64,
    /// Whether the reader has started.
    pub(super) has_started: AtomicBool,
    /// Whether a transaction, a row, or word that there is none has come.
    pub(super) has_received: AtomicBool,
    pub(super) stopping: AtomicBool,
    /// Whether a transaction is open.
    pub(super) in_transaction: AtomicBool,
    /// Why a change could not be encoded.
    pub(super) encode_error: OnceLock<EnvelopeError>,
}

impl CaptureState {
    /// Waits until changes can be acknowledged: the first may come while the reader's start is still being reported.
    pub(super) fn wait_for_acknowledger(&self) {
        let began = Instant::now();
        while self.acknowledger.get().is_none() && began.elapsed() < ACKNOWLEDGER_LIMIT {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The progress of the capture, for the terminal.
    pub(super) fn describe(&self, changes: u64, rate: f64, clock: &Clock) -> String {
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

    /// Time since the last change was committed, with PostgreSQL's clock taken to be ours.
    pub(super) fn lag(&self, clock: &Clock) -> String {
        match self.commit_time.load(Ordering::Relaxed) {
            0 => "no change yet".to_owned(),
            at => {
                let behind = (clock.now().0 - at).max(0) / 1_000_000;
                format!("the last one committed {behind} ms before now")
            }
        }
    }
}
