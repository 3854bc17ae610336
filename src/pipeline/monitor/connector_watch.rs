//! Restarts the task of a connector of ours that has failed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cdc_bench_model::report::ConnectorReport;
use tokio::task::JoinHandle;

use crate::debezium::ConnectClient;
use crate::pipeline::lock::lock;
use crate::pipeline::provision::servers::ServerClients;

/// Interval between two looks at our connector's status.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Watches a connector of ours and restarts a failed task, as an operator would.
pub(crate) struct ConnectorWatch {
    restarts: Arc<Mutex<Vec<jiff::Timestamp>>>,
    task: Option<JoinHandle<()>>,
}

impl ConnectorWatch {
    /// Starts to watch; does nothing for a connector that is not ours.
    pub(crate) fn start(
        servers: &ServerClients,
        connector: Option<&ConnectorReport>,
        ours: bool,
    ) -> Self {
        let restarts = Arc::new(Mutex::default());
        let (Some(connect), Some(connector), true) = (servers.connect.clone(), connector, ours)
        else {
            return Self {
                restarts,
                task: None,
            };
        };
        let (name, times) = (connector.name.clone(), Arc::clone(&restarts));
        Self {
            restarts,
            task: Some(tokio::spawn(keep_running(connect, name, times))),
        }
    }

    /// Stops watching. The times of the restarts.
    pub(crate) async fn stop(mut self) -> Vec<jiff::Timestamp> {
        if let Some(task) = self.task.take() {
            task.abort();
            // Aborted on purpose.
            let _ = task.await;
        }
        std::mem::take(&mut lock(&self.restarts))
    }
}

impl Drop for ConnectorWatch {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn keep_running(
    connect: ConnectClient,
    name: String,
    restarts: Arc<Mutex<Vec<jiff::Timestamp>>>,
) {
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        match connect.status(&name).await {
            Ok(status) if status.has_failed() => {
                tracing::warn!(
                    connector = name,
                    reason = status.failure().unwrap_or_default(),
                    "the connector failed; restarting it"
                );
                match connect.restart(&name).await {
                    Ok(()) => lock(&restarts).push(jiff::Timestamp::now()),
                    Err(error) => {
                        tracing::warn!(%error, "the connector could not be restarted; trying again")
                    }
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "Kafka Connect does not answer; trying again"),
        }
    }
}
