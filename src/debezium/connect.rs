//! Kafka Connect by its REST interface.

mod answers;
mod error;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::answers::{Expanded, Offsets, Plugin, Refusal, Root};
use crate::cause::innermost;
use cdc_bench_model::event::{SCHEMA, TABLE};

pub use self::answers::ConnectorStatus;
pub use self::error::ConnectError;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Longest time a change is tried again while the workers rebalance (409).
const REBALANCE_LIMIT: Duration = Duration::from_secs(30);
/// Longest wait for a connector to stop, so that its offsets can be forgotten.
const STOP_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

const CONNECTOR_CLASS: &str = "io.debezium.connector.postgresql.PostgresConnector";

/// A client of one Connect cluster.
#[derive(Debug, Clone)]
pub struct ConnectClient {
    http: reqwest::Client,
    base: reqwest::Url,
    /// Held while a connector is being made.
    making: Arc<Mutex<()>>,
}

impl ConnectClient {
    /// A client of the cluster at `url`.
    ///
    /// # Errors
    /// When that is no HTTP address.
    pub fn new(url: &str) -> Result<Self, ConnectError> {
        let failed = |reason: String| ConnectError::Url {
            url: url.to_owned(),
            reason,
        };
        let base = reqwest::Url::parse(url).map_err(|e| failed(e.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(failed(
                "it does not begin with http:// or https://".to_owned(),
            ));
        }
        // A proxy that serves the internet has no way to a worker on loopback or in a private network.
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(Duration::from_secs(5))
            .no_proxy()
            .build();
        Ok(Self {
            http: http.map_err(|e| failed(e.to_string()))?,
            base,
            making: Arc::default(),
        })
    }

    /// Connect's own version.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn version(&self) -> Result<String, ConnectError> {
        Ok(self.get::<Root>(&[]).await?.version)
    }

    /// The version of Debezium's PostgreSQL connector there; `None` when it is not installed.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn debezium_version(&self) -> Result<Option<String>, ConnectError> {
        let plugins: Vec<Plugin> = self.get(&["connector-plugins"]).await?;
        Ok(plugins
            .into_iter()
            .find(|plugin| plugin.class == CONNECTOR_CLASS)
            .map(|plugin| plugin.version.unwrap_or_else(|| "unknown".to_owned())))
    }

    /// Makes sure that Debezium's PostgreSQL connector is installed there.
    ///
    /// # Errors
    /// [`ConnectError::NoDebezium`], or when it does not answer.
    pub async fn require_debezium(&self) -> Result<(), ConnectError> {
        match self.debezium_version().await? {
            Some(_) => Ok(()),
            None => Err(ConnectError::NoDebezium {
                url: self.base.to_string(),
            }),
        }
    }

    /// Makes or changes a connector.
    ///
    /// # Errors
    /// When Connect refuses the configuration.
    pub async fn put_config(
        &self,
        name: &str,
        config: &BTreeMap<String, String>,
    ) -> Result<(), ConnectError> {
        let began = Instant::now();
        loop {
            let request = self
                .request(Method::PUT, &["connectors", name, "config"])
                .json(config);
            match self.make(request).await {
                Err(ConnectError::Refused {
                    status: StatusCode::CONFLICT,
                    ..
                }) if began.elapsed() < REBALANCE_LIMIT => tokio::time::sleep(PAUSE).await,
                outcome => return outcome,
            }
        }
    }

    /// Asks for a connector, and stays until there is an answer even where whoever asked is gone meanwhile: Connect looks
    /// at a configuration for a while, and a removal would overtake it.
    async fn make(&self, request: reqwest::RequestBuilder) -> Result<(), ConnectError> {
        let making = Arc::clone(&self.making).lock_owned().await;
        let client = self.clone();
        let answer = tokio::spawn(async move {
            let answer = client.send(request).await;
            drop(making);
            answer.map(drop)
        });
        match answer.await {
            Ok(answer) => answer,
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    }

    /// Until no connector is being made.
    async fn made(&self) {
        drop(self.making.lock().await);
    }

    /// A connector's configuration. It may hold secrets.
    ///
    /// # Errors
    /// [`ConnectError::NoConnector`], or when it does not answer.
    pub async fn config(&self, name: &str) -> Result<BTreeMap<String, String>, ConnectError> {
        self.get(&["connectors", name, "config"])
            .await
            .map_err(|error| self.missing(error, name))
    }

    /// A connector's state.
    ///
    /// # Errors
    /// [`ConnectError::NoConnector`], or when it does not answer.
    pub async fn status(&self, name: &str) -> Result<ConnectorStatus, ConnectError> {
        self.get(&["connectors", name, "status"])
            .await
            .map_err(|error| self.missing(error, name))
    }

    /// Whether a Debezium connector is copying tables still, by the offset that it has committed last.
    ///
    /// # Errors
    /// When Connect does not answer, or is older than Kafka 3.5 and keeps offsets to itself.
    pub async fn is_in_snapshot(&self, name: &str) -> Result<bool, ConnectError> {
        let all: Offsets = self.get(&["connectors", name, "offsets"]).await?;
        Ok(all.offsets.iter().any(|entry| {
            let flag = |key: &str| match entry.offset.get(key) {
                None | Some(serde_json::Value::Null) => false,
                Some(value) => value != &serde_json::Value::Bool(false),
            };
            flag("snapshot") && !flag("snapshot_completed")
        }))
    }

    /// Waits until a connector and its tasks run. A failure ends the wait at once.
    ///
    /// # Errors
    /// [`ConnectError::Failed`], [`ConnectError::NotRunning`] or [`ConnectError::Cancelled`].
    pub async fn wait_running(
        &self,
        name: &str,
        limit: Duration,
        cancel: &CancellationToken,
    ) -> Result<(), ConnectError> {
        let began = Instant::now();
        let mut state = "unknown".to_owned();
        while began.elapsed() < limit {
            // A connector that was just made is not known to every worker at once.
            if let Ok(status) = self.status(name).await {
                if status.is_running() {
                    return Ok(());
                }
                if let Some(reason) = status.failure() {
                    return Err(ConnectError::Failed {
                        name: name.to_owned(),
                        reason,
                    });
                }
                state = status.describe();
            }
            tokio::select! {
                () = cancel.cancelled() => return Err(ConnectError::Cancelled),
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
        Err(ConnectError::NotRunning {
            name: name.to_owned(),
            seconds: limit.as_secs(),
            state,
        })
    }

    /// Restarts a connector and its failed tasks.
    ///
    /// # Errors
    /// When Connect refuses.
    pub async fn restart(&self, name: &str) -> Result<(), ConnectError> {
        let mut request = self.request(Method::POST, &["connectors", name, "restart"]);
        request = request.query(&[("includeTasks", "true"), ("onlyFailed", "true")]);
        self.send(request).await.map(drop)
    }

    /// Removes a connector and the offsets that Connect keeps under its name: another of that name would begin there, at
    /// a position that a new slot does not have any more.
    ///
    /// # Errors
    /// When Connect refuses to remove the connector. A Connect before Kafka 3.6 cannot forget offsets; that is logged.
    pub async fn delete_with_offsets(&self, name: &str) -> Result<(), ConnectError> {
        self.made().await;
        match self.forget_offsets(name).await {
            Ok(())
            | Err(ConnectError::Refused {
                status: StatusCode::NOT_FOUND,
                ..
            }) => {}
            Err(error @ ConnectError::Refused { .. }) => {
                tracing::warn!(connector = name, %error, "its offsets stay in Kafka Connect");
            }
            Err(error) => return Err(error),
        }
        self.delete(name).await
    }

    /// The connector has to be stopped first, which takes a moment.
    async fn forget_offsets(&self, name: &str) -> Result<(), ConnectError> {
        self.send(self.request(Method::PUT, &["connectors", name, "stop"]))
            .await?;
        let began = Instant::now();
        loop {
            let request = self.request(Method::DELETE, &["connectors", name, "offsets"]);
            match self.send(request).await {
                Err(ConnectError::Refused {
                    status: StatusCode::CONFLICT | StatusCode::BAD_REQUEST,
                    ..
                }) if began.elapsed() < STOP_LIMIT => tokio::time::sleep(PAUSE).await,
                outcome => return outcome.map(drop),
            }
        }
    }

    /// Removes a connector; one that is not there is removed already. Its slot stays.
    ///
    /// # Errors
    /// When Connect refuses.
    pub async fn delete(&self, name: &str) -> Result<(), ConnectError> {
        self.made().await;
        let began = Instant::now();
        loop {
            match self
                .send(self.request(Method::DELETE, &["connectors", name]))
                .await
            {
                Err(ConnectError::Refused {
                    status: StatusCode::CONFLICT,
                    ..
                }) if began.elapsed() < REBALANCE_LIMIT => tokio::time::sleep(PAUSE).await,
                Err(ConnectError::Refused {
                    status: StatusCode::NOT_FOUND,
                    ..
                }) => return Ok(()),
                outcome => return outcome.map(drop),
            }
        }
    }

    /// The Debezium connector that feeds the outbox into `topic`, with its configuration.
    ///
    /// # Errors
    /// When Connect does not answer.
    pub async fn find_by_topic(
        &self,
        topic: &str,
    ) -> Result<Option<(String, BTreeMap<String, String>)>, ConnectError> {
        let request = self
            .request(Method::GET, &["connectors"])
            .query(&[("expand", "info")]);
        let all: BTreeMap<String, Expanded> = self.read(request).await?;
        Ok(all
            .into_iter()
            .map(|(name, expanded)| (name, expanded.info.config))
            .find(|(_, config)| feeds(config, topic)))
    }

    fn request(&self, method: Method, path: &[&str]) -> reqwest::RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            // Each is escaped: a name may hold anything.
            segments.pop_if_empty().extend(path);
        }
        self.http.request(method, url)
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ConnectError> {
        self.read(self.request(Method::GET, path)).await
    }

    async fn read<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, ConnectError> {
        let answer = self.send(request).await?;
        answer.json().await.map_err(|e| self.unreachable(&e))
    }

    async fn send(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, ConnectError> {
        let answer = request.send().await.map_err(|e| self.unreachable(&e))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.text().await.unwrap_or_default();
        let message =
            serde_json::from_str::<Refusal>(&text).map_or(text, |refusal| refusal.message);
        Err(ConnectError::Refused {
            url: self.base.to_string(),
            status,
            message,
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> ConnectError {
        ConnectError::Unreachable {
            url: self.base.to_string(),
            reason: innermost(error).to_string(),
        }
    }

    fn missing(&self, error: ConnectError, name: &str) -> ConnectError {
        match error {
            ConnectError::Refused {
                status: StatusCode::NOT_FOUND,
                ..
            } => ConnectError::NoConnector {
                url: self.base.to_string(),
                name: name.to_owned(),
            },
            other => other,
        }
    }
}

/// Whether a connector with this configuration captures the outbox into `topic`.
fn feeds(config: &BTreeMap<String, String>, topic: &str) -> bool {
    let get = |key: &str| config.get(key).map(String::as_str);
    let table = format!("{SCHEMA}.{TABLE}");
    let included =
        get("table.include.list").is_none_or(|tables| tables.split(',').any(|t| t.trim() == table));
    get("connector.class") == Some(CONNECTOR_CLASS)
        && included
        && get("topic.prefix").is_some_and(|prefix| topic == format!("{prefix}.{table}"))
}

#[cfg(test)]
mod tests;
