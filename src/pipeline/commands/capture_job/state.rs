//! How far a capture is, for the threads that work on it.

use cdc_bench_model::timeline::Clock;
use pgcdc::Acknowledger;
use pgcdc_debezium::EnvelopeError;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

/// What the handler, whoever passes on, and the one who waits for them share.
#[derive(Debug, Default)]
pub(super) struct CaptureState {
    pub(super) acknowledger: OnceLock<Acknowledger>,
    pub(super) changes: AtomicU64,
    /// Tables of an initial copy that are still to come.
    pub(super) tables_to_copy: AtomicUsize,
    /// Rows of an initial copy, as the server's statistics have them; 0 where they have none.
    pub(super) rows_to_copy: AtomicU64,
    /// Commit time of the change passed on last, nanoseconds on PostgreSQL's clock.
    pub(super) commit_time: AtomicI64,
    pub(super) stopping: AtomicBool,
    /// A transaction is at hand.
    pub(super) is_within: AtomicBool,
    /// Why a change could not be written.
    pub(super) refusal: OnceLock<EnvelopeError>,
}

impl CaptureState {
    /// How far the capture is.
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

    /// How long ago the last change was committed; PostgreSQL's clock being taken for ours.
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
