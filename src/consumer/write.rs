//! One write: as often as it takes while the store is away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::StageError;
use super::lane::Share;
use crate::store::{BulkOutcome, Store};
use cdc_bench_model::timeline::{Clock, Stamp};

/// First and longest pause before a write is tried again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// A write that ended.
pub(super) struct Write {
    /// Number of its lane.
    pub lane: usize,
    pub share: Share,
    /// When it was sent first.
    pub issued: Stamp,
    pub acknowledged: Stamp,
    /// `None` when it was asked to stop before the store took it.
    pub outcome: Result<Option<BulkOutcome>, StageError>,
}

/// Writes, trying again while the store is away.
pub(super) async fn write<S: Store>(
    store: Arc<S>,
    share: Share,
    lane: usize,
    store_outage: Duration,
    clock: Clock,
    stop: CancellationToken,
) -> Write {
    let issued = clock.now();
    let outcome = persist(&*store, &share, store_outage, &stop).await;
    Write {
        lane,
        share,
        issued,
        acknowledged: clock.now(),
        outcome,
    }
}

async fn persist<S: Store>(
    store: &S,
    share: &Share,
    store_outage: Duration,
    stop: &CancellationToken,
) -> Result<Option<BulkOutcome>, StageError> {
    let began = Instant::now();
    let mut pause = BACK_OFF.0;
    loop {
        let cause = match store.upsert(&share.documents).await {
            Ok(outcome) => return Ok(Some(outcome)),
            Err(cause) if cause.is_transient() && began.elapsed() < store_outage => cause,
            Err(cause) => {
                return Err(StageError::Store {
                    cause,
                    tried_for: began.elapsed(),
                });
            }
        };
        tracing::warn!(%cause, documents = share.documents.len(), "the store did not take a write; trying again");
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(BACK_OFF.1);
    }
}
