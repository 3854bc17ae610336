//! Stopping what has begun on the server.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How long work that notices the stop by itself may take to undo what it has begun.
const GRACE: Duration = Duration::from_secs(4);

/// The result of the work; `None` when it was stopped and has not ended by itself soon after.
pub(crate) async fn unless_stopped<T>(
    stop: &CancellationToken,
    work: impl Future<Output = T>,
) -> Option<T> {
    let too_late = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        biased;
        result = work => Some(result),
        () = too_late => None,
    }
}
