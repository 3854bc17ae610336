//! Whether each of the servers answers.

use std::time::Duration;

use futures_util::future::join_all;

use super::{connect, kafka, postgres, store};
use crate::endpoints::{ConnectEndpoint, Endpoints};
use crate::processes::{ServerProcess, server_of};

/// Whether each server answers as what it is, in the pipeline's order; the reason where one does not.
pub(crate) async fn answers(
    endpoints: &Endpoints,
    limit: Duration,
) -> Vec<(&'static str, Result<(), String>)> {
    let (postgres, kafka, connect, store) = tokio::join!(
        within(limit, postgres::ready(&endpoints.postgres)),
        within(limit, kafka::ready(endpoints)),
        within(limit, connect::ready(endpoints)),
        within(limit, store::ready(endpoints)),
    );
    vec![
        ("postgres", postgres),
        ("kafka", kafka),
        ("connect", connect),
        ("store", store),
    ]
}

/// Whether each of these processes of ours answers as what it is: of several brokers or Connect workers each for itself.
pub(crate) async fn answers_of(
    processes: &[ServerProcess],
    endpoints: &Endpoints,
    limit: Duration,
) -> Vec<(String, Result<(), String>)> {
    let ask = |process: &ServerProcess| {
        let process = process.clone();
        async move {
            let answer = match server_of(&process.name) {
                "postgres" => within(limit, postgres::ready(&endpoints.postgres)).await,
                "kafka" => within(limit, kafka::broker_ready(&process.address)).await,
                "connect" => match ConnectEndpoint::parse(&format!("http://{}", process.address)) {
                    Ok(worker) => within(limit, connect::lists_debezium(&worker)).await,
                    Err(error) => Err(error.to_string()),
                },
                _ => within(limit, store::ready(endpoints)).await,
            };
            (process.name, answer)
        }
    };
    join_all(processes.iter().map(ask)).await
}

async fn within(
    limit: Duration,
    answer: impl Future<Output = Result<(), String>>,
) -> Result<(), String> {
    tokio::time::timeout(limit, answer)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs())))
}
