//! Errors of a delivery.

use std::error::Error;
use std::fmt;

use super::batch::Batch;
use crate::{Lsn, ReaderError};

/// What a sink was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkStep {
    /// [`Sink::position`](super::Sink::position).
    Position,
    /// [`Sink::write`](super::Sink::write).
    Write,
    /// [`Sink::flush`](super::Sink::flush).
    Flush,
}

impl fmt::Display for SinkStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Position => "say from where to go on",
            Self::Write => "write",
            Self::Flush => "flush",
        })
    }
}

/// Why a delivery has ended.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The reader has failed.
    #[error(transparent)]
    Reader(#[from] ReaderError),
    /// The sink has failed.
    #[error(
        "delivery: the sink could not {step}{batch} (attempts: {attempts}{advice}): {source}; what was acknowledged ends at {acknowledged}, and what lies after it comes again when the delivery is started anew"
    )]
    Sink {
        /// What it was asked for.
        step: SinkStep,
        /// What it was to write: number of rows, tables, position.
        batch: String,
        /// Number of attempts.
        attempts: u32,
        /// What to do.
        advice: &'static str,
        /// The last acknowledged position.
        acknowledged: Lsn,
        /// The sink's error.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Most tables that an error names.
const TABLES: usize = 3;

/// Names a batch in an error: `, 3 rows of public.a and public.b up to 0/16B3748`.
pub(super) fn describe(batch: &Batch) -> String {
    let mut tables: Vec<String> = Vec::new();
    let mut last = None;
    for change in batch.changes() {
        last = Some(change.lsn);
        let table = change.relation.to_string();
        if !tables.contains(&table) {
            tables.push(table);
        }
    }
    let more = tables.len().saturating_sub(TABLES);
    tables.truncate(TABLES);
    let mut words = format!(", {} rows", batch.rows());
    if !tables.is_empty() {
        words += &format!(" of {}", tables.join(", "));
    }
    if more > 0 {
        words += &format!(" and {more} other tables");
    }
    if let Some(lsn) = batch.end().or(last) {
        words += &format!(" up to {lsn}");
    }
    words
}
