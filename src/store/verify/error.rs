//! What can go wrong with a verification, and the limit for one item of a side.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::StoreError;
use cdc_bench_model::event::EventId;

/// Longest wait for the next row or document.
pub(super) const SIDE_LIMIT: Duration = Duration::from_secs(120);
/// The first one may need a sort of all, for which the slowest of stores is given this time.
const SORTED_PER_SECOND: u64 = 2_000;

/// Longest wait for the first of so many.
pub(super) fn limit_of_first(count: u64) -> Duration {
    SIDE_LIMIT + Duration::from_secs(count / SORTED_PER_SECOND)
}

/// Why a verification could not be completed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// PostgreSQL did not return its rows.
    #[error(
        "cannot read activity.event_outbox from PostgreSQL: {0}; check that the table is there (\"cdc-bench setup\") and that the user may SELECT from it"
    )]
    Postgres(String),
    /// The store did not return its documents.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A side does not sort UUIDs by their bytes, so the two cannot be merged.
    #[error(
        "{side} returned event {id} after a greater one, though asked to sort by id: it cannot be verified against"
    )]
    OutOfOrder {
        /// `PostgreSQL` or the store.
        side: &'static str,
        /// The event that is out of order.
        id: EventId,
    },
    /// A side sent nothing for too long.
    #[error(
        "{side} sent nothing for {} s while its events were read; check that it is up and try again", waited.as_secs()
    )]
    Silent {
        /// `PostgreSQL` or the store.
        side: &'static str,
        /// For so long.
        waited: Duration,
    },
    /// It was cancelled.
    #[error("the verification was stopped before its end")]
    Cancelled,
}

/// Awaits the next item of one side, for so long at most.
pub(super) async fn next<T>(
    side: &'static str,
    waited: Duration,
    cancel: &CancellationToken,
    item: impl Future<Output = Result<T, VerifyError>>,
) -> Result<T, VerifyError> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(VerifyError::Cancelled),
        item = tokio::time::timeout(waited, item) => {
            item.unwrap_or(Err(VerifyError::Silent { side, waited }))
        }
    }
}
