//! Whether each of the servers answers.

use std::time::Duration;

use super::{connect, kafka, postgres, store};
use crate::endpoints::{ConnectEndpoint, Endpoints};

/// Whether each server answers as what it is, in the pipeline's order; the reason where one does not. Of Kafka all brokers must, and
/// of Connect all of these workers, or the one at its address where none is known.
pub(crate) async fn answers(
    endpoints: &Endpoints,
    workers: &[ConnectEndpoint],
    limit: Duration,
) -> Vec<(&'static str, Result<(), String>)> {
    let (postgres, kafka, connect, store) = tokio::join!(
        within(limit, postgres::ready(&endpoints.postgres)),
        within(limit, kafka::ready(endpoints)),
        within(limit, connect::ready(endpoints, workers)),
        within(limit, store::ready(endpoints)),
    );
    vec![
        ("postgres", postgres),
        ("kafka", kafka),
        ("connect", connect),
        ("store", store),
    ]
}

async fn within(
    limit: Duration,
    answer: impl Future<Output = Result<(), String>>,
) -> Result<(), String> {
    tokio::time::timeout(limit, answer)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs())))
}
