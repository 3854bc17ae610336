//! One write to the store, repeated while the store is unavailable.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::StageError;
use super::lane::LaneBatch;
use crate::store::{BulkOutcome, Store};
use cdc_bench_model::timeline::{Clock, Stamp};

/// First and longest pause before a write is repeated.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// A finished write.
pub(super) struct FinishedWrite {
    /// Number of its lane.
    pub lane: usize,
    pub batch: LaneBatch,
    /// When it was sent the first time.
    pub issued: Stamp,
    pub acknowledged: Stamp,
    /// `None` when the stage was stopped before the store accepted the write.
    pub outcome: Result<Option<BulkOutcome>, StageError>,
}

/// Writes a batch, and repeats that for at most `store_outage` while the store is unavailable.
pub(super) async fn write_with_retries<S: Store>(
    store: Arc<S>,
    batch: LaneBatch,
    lane: usize,
    store_outage: Duration,
    clock: Clock,
    stop: CancellationToken,
) -> FinishedWrite {
    let issued = clock.now();
    let outcome = try_to_write(&*store, &batch, store_outage, &stop).await;
    FinishedWrite {
        lane,
        batch,
        issued,
        acknowledged: clock.now(),
        outcome,
    }
}

async fn try_to_write<S: Store>(
    store: &S,
    batch: &LaneBatch,
    store_outage: Duration,
    stop: &CancellationToken,
) -> Result<Option<BulkOutcome>, StageError> {
    let began = Instant::now();
    let mut pause = BACK_OFF.0;
    loop {
        let cause = match store.write(&batch.documents).await {
            Ok(outcome) => return Ok(Some(outcome)),
            Err(cause) if cause.is_transient() && began.elapsed() < store_outage => cause,
            Err(cause) => {
                return Err(StageError::Store {
                    cause,
                    tried_for: began.elapsed(),
                });
            }
        };
        tracing::warn!(%cause, documents = batch.documents.len(), "the store did not take a write; trying again");
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(BACK_OFF.1);
    }
}
