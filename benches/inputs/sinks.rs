//! The ends of a stage in a bench: a store that takes everything, an observer that measures as `consume` does.

// Each bench takes what it needs.
#![allow(dead_code)]

use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use cdc_bench::consumer::{DeadLetter, StageObserver};
use cdc_bench::store::{BulkOutcome, DocumentBatch, Store, StoreError};
use cdc_bench_model::analysis::SignedHistogram;
use cdc_bench_model::event::{EventId, EventType};
use cdc_bench_model::timeline::ConsumerStamps;

/// A store that takes everything at once and keeps nothing.
pub struct Nowhere;

impl Store for Nowhere {
    async fn write(&self, documents: &DocumentBatch) -> Result<BulkOutcome, StoreError> {
        Ok(BulkOutcome {
            inserted: black_box(documents).len() as u64,
            ..BulkOutcome::default()
        })
    }
}

/// Counts events and keeps the histograms of their spans, as `consume` does.
#[derive(Default)]
pub struct Counted {
    pub consumed: AtomicU64,
    pub written: AtomicU64,
    spans: Mutex<Spans>,
}

#[derive(Default)]
struct Spans {
    transform: SignedHistogram,
    write: SignedHistogram,
    processing: SignedHistogram,
    first: Option<Instant>,
}

impl Counted {
    /// Since the first event was decoded.
    pub fn began(&self) -> Option<Instant> {
        self.spans.lock().unwrap().first
    }
}

impl StageObserver for Counted {
    fn wants(&self, run_id: &str) -> bool {
        run_id == crate::inputs::RUN
    }

    fn consumed(&self, _: &str, _: u64) {
        if self.consumed.fetch_add(1, Ordering::Relaxed) == 0 {
            self.spans.lock().unwrap().first = Some(Instant::now());
        }
    }

    fn written(&self, _: &str, _: EventId, _: EventType, _: u64, stamps: ConsumerStamps) {
        self.written.fetch_add(1, Ordering::Relaxed);
        let mut spans = self.spans.lock().unwrap();
        spans.transform.record(stamps.t4 - stamps.t3);
        spans.write.record(stamps.t5 - stamps.t4);
        spans.processing.record(stamps.t5 - stamps.t3);
    }

    fn dead_letter(&self, letter: &DeadLetter) {
        black_box(letter);
    }
}
