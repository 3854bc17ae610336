//! One write to the store, repeated while the store is unavailable.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use tokio_util::sync::CancellationToken;

use super::StageError;
use super::lane::LaneBatch;
use crate::store::{BulkOutcome, Store};
use cdc_bench_model::timeline::{Clock, Stamp};

/// Longest pause before the first repetition of a write, and before any.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// A store that does not take a write for longer than this is told of, and again after every so long.
const SILENT_FOR: Duration = Duration::from_secs(2);
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// A finished write.
pub(super) struct FinishedWrite {
    /// Number of its lane.
    pub lane: usize,
    pub batch: LaneBatch,
    /// When it was sent the first time.
    pub issued: Stamp,
    pub acknowledged: Stamp,
    /// How often it was sent.
    pub attempts: u32,
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
    let mut attempts = 0;
    let outcome = try_to_write(&*store, &batch, store_outage, &stop, &mut attempts).await;
    FinishedWrite {
        lane,
        batch,
        issued,
        acknowledged: clock.now(),
        attempts,
        outcome,
    }
}

async fn try_to_write<S: Store>(
    store: &S,
    batch: &LaneBatch,
    store_outage: Duration,
    stop: &CancellationToken,
    attempts: &mut u32,
) -> Result<Option<BulkOutcome>, StageError> {
    let began = Instant::now();
    let mut tell_at = SILENT_FOR;
    loop {
        *attempts += 1;
        let cause = match store.write(&batch.documents).await {
            Ok(outcome) => {
                if tell_at > SILENT_FOR {
                    tracing::info!(
                        after_s = began.elapsed().as_secs(),
                        attempts,
                        "the store takes writes again"
                    );
                }
                return Ok(Some(outcome));
            }
            Err(cause) if cause.is_transient() && began.elapsed() < store_outage => cause,
            Err(cause) => {
                return Err(StageError::Store {
                    cause,
                    tried_for: began.elapsed(),
                });
            }
        };
        if began.elapsed() >= tell_at {
            tell_at = began.elapsed() + TELL_AGAIN;
            tracing::warn!(
                %cause,
                documents = batch.documents.len(),
                attempts,
                gives_up_after_s = store_outage.as_secs(),
                "waiting for the store to take a write"
            );
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(pause_after(*attempts)) => {}
        }
    }
}

/// A pause that doubles with every attempt, by a part that is drawn: consumers that lost the store together do not come back
/// together.
fn pause_after(attempts: u32) -> Duration {
    let doubled = BACK_OFF
        .0
        .saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1)));
    let longest = doubled.min(BACK_OFF.1);
    longest.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_up_to_its_limit_and_is_drawn_below_it() {
        for (attempts, longest_ms) in [(1, 50), (2, 100), (5, 800), (9, 5_000), (u32::MAX, 5_000)] {
            let longest = Duration::from_millis(longest_ms);
            let pauses: Vec<_> = (0..50).map(|_| pause_after(attempts)).collect();
            assert!(
                pauses
                    .iter()
                    .all(|pause| (longest / 2..=longest).contains(pause))
            );
            assert!(pauses.iter().any(|pause| *pause != pauses[0]));
        }
    }
}
