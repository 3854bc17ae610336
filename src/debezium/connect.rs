//! Connectors in Kafka Connect: create, watch, remove, by its REST interface.

mod answers;
mod error;
mod http;
mod passwords;
mod refusal;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::answers::{ConnectInfo, ExpandedConnector, InstalledPlugin, Offsets, Validation};
use self::http::ConnectHttp;
use self::passwords::PasswordSettings;
use super::connector::{CONNECTOR_CLASS, EXACTLY_ONCE_SUPPORT};
use super::redaction::{redacted, without_secrets};
use cdc_bench_stack::ConnectEndpoint;

pub use self::answers::ConnectorStatus;
pub use self::error::KafkaConnectError;

/// How long a change is tried again while the workers rebalance (409).
const REBALANCE_LIMIT: Duration = Duration::from_secs(30);
/// Longest wait for a connector to stop, so that its offsets can be removed.
const STOP_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// A client of one Connect cluster.
#[derive(Debug, Clone)]
pub struct ConnectClient {
    http: ConnectHttp,
    /// Held while a connector is being created.
    creating: Arc<Mutex<()>>,
    passwords: PasswordSettings,
}

impl ConnectClient {
    /// A client of the cluster at `endpoint`.
    ///
    /// # Errors
    /// When its certificates cannot be used.
    pub fn new(endpoint: &ConnectEndpoint) -> Result<Self, KafkaConnectError> {
        Ok(Self {
            http: ConnectHttp::new(endpoint)?,
            creating: Arc::default(),
            passwords: PasswordSettings::default(),
        })
    }

    /// The version of Kafka Connect.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn version(&self) -> Result<String, KafkaConnectError> {
        Ok(self.http.get::<ConnectInfo>(&[]).await?.version)
    }

    /// The version of Debezium's PostgreSQL connector there; `None` when it is not installed.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn debezium_version(&self) -> Result<Option<String>, KafkaConnectError> {
        let plugins: Vec<InstalledPlugin> = self.http.get(&["connector-plugins"]).await?;
        Ok(plugins
            .into_iter()
            .find(|plugin| plugin.class == CONNECTOR_CLASS)
            .map(|plugin| plugin.version.unwrap_or_else(|| "unknown".to_owned())))
    }

    /// Makes sure that Debezium's PostgreSQL connector is installed there.
    ///
    /// # Errors
    /// [`KafkaConnectError::NoDebezium`], or when it does not answer.
    pub async fn require_debezium(&self) -> Result<(), KafkaConnectError> {
        match self.debezium_version().await? {
            Some(_) => Ok(()),
            None => Err(KafkaConnectError::NoDebezium {
                url: self.http.url(),
            }),
        }
    }

    /// Makes sure that a connector of this configuration would deliver exactly once. Connect looks at the configuration and makes
    /// nothing.
    ///
    /// # Errors
    /// [`KafkaConnectError::NotExactlyOnce`], or when it does not answer.
    pub async fn require_exactly_once(
        &self,
        config: &BTreeMap<String, String>,
    ) -> Result<(), KafkaConnectError> {
        let class = config.get("connector.class").map_or("", String::as_str);
        let path = ["connector-plugins", class, "config", "validate"];
        let request = self.http.request(Method::PUT, &path).json(config);
        let validation: Validation = self.http.read(request).await?;
        let errors = validation.errors_of(EXACTLY_ONCE_SUPPORT);
        let errors = errors.unwrap_or_else(|| {
            vec![format!(
                "it does not know the setting {EXACTLY_ONCE_SUPPORT}, which is there from Kafka 3.3 on"
            )]
        });
        if errors.is_empty() {
            return Ok(());
        }
        let errors: Vec<_> = errors.iter().map(|e| e.trim_end_matches('.')).collect();
        Err(KafkaConnectError::NotExactlyOnce {
            url: self.http.url(),
            reason: errors.join("; "),
        })
    }

    /// Creates or changes a connector.
    ///
    /// # Errors
    /// When Connect refuses the configuration.
    pub async fn put_config(
        &self,
        name: &str,
        config: &BTreeMap<String, String>,
    ) -> Result<(), KafkaConnectError> {
        let began = Instant::now();
        loop {
            let request = self
                .http
                .request(Method::PUT, &["connectors", name, "config"])
                .json(config);
            match self.send_creation(request).await {
                Err(KafkaConnectError::Refused {
                    status: StatusCode::CONFLICT,
                    ..
                }) if began.elapsed() < REBALANCE_LIMIT => tokio::time::sleep(PAUSE).await,
                Err(KafkaConnectError::Refused {
                    url,
                    status,
                    message,
                }) => {
                    let passwords = self.passwords.of(&self.http, config).await;
                    return Err(KafkaConnectError::Refused {
                        url,
                        status,
                        message: without_secrets(&message, config, &passwords),
                    });
                }
                outcome => return outcome,
            }
        }
    }

    /// A connector's configuration to be shown: every value that may be a secret is replaced.
    pub async fn redacted(&self, config: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        redacted(config, &*self.passwords.of(&self.http, config).await)
    }

    /// Sends the request that creates a connector, and waits for its answer even when the caller is cancelled: Connect
    /// validates a configuration for a while, and a removal would overtake it.
    async fn send_creation(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<(), KafkaConnectError> {
        let creating = Arc::clone(&self.creating).lock_owned().await;
        let client = self.clone();
        let answer = tokio::spawn(async move {
            let answer = client.http.send(request).await;
            drop(creating);
            answer.map(drop)
        });
        match answer.await {
            Ok(answer) => answer,
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    }

    /// Waits until no connector is being created.
    async fn wait_for_creation(&self) {
        drop(self.creating.lock().await);
    }

    /// A connector's configuration. It may hold secrets.
    ///
    /// # Errors
    /// [`KafkaConnectError::NoConnector`], or when it does not answer.
    pub async fn config(&self, name: &str) -> Result<BTreeMap<String, String>, KafkaConnectError> {
        self.http
            .get(&["connectors", name, "config"])
            .await
            .map_err(|error| self.http.no_connector(error, name))
    }

    /// A connector's state.
    ///
    /// # Errors
    /// [`KafkaConnectError::NoConnector`], or when it does not answer.
    pub async fn status(&self, name: &str) -> Result<ConnectorStatus, KafkaConnectError> {
        let status = self.http.get(&["connectors", name, "status"]).await;
        let mut status: ConnectorStatus =
            status.map_err(|error| self.http.no_connector(error, name))?;
        if !status.has_failed() {
            return Ok(status);
        }
        // An exception may repeat what it was given.
        match self.config(name).await {
            Ok(config) => {
                let passwords = self.passwords.of(&self.http, &config).await;
                status.change_traces(|trace| without_secrets(trace, &config, &passwords));
            }
            Err(error) => status.change_traces(|_| {
                format!(
                    "its exception is not shown, as it may hold a secret of its configuration, which cannot be read: {error}"
                )
            }),
        }
        Ok(status)
    }

    /// Whether a Debezium connector is still in its initial snapshot, by the offset that it committed last.
    ///
    /// # Errors
    /// When Connect does not answer, or is older than Kafka 3.5 and has no such interface.
    pub async fn is_in_snapshot(&self, name: &str) -> Result<bool, KafkaConnectError> {
        let all: Offsets = self.http.get(&["connectors", name, "offsets"]).await?;
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
    /// [`KafkaConnectError::Failed`], [`KafkaConnectError::NotRunning`] or [`KafkaConnectError::Cancelled`].
    pub async fn wait_running(
        &self,
        name: &str,
        limit: Duration,
        cancel: &CancellationToken,
    ) -> Result<(), KafkaConnectError> {
        let began = Instant::now();
        let mut state = "unknown".to_owned();
        while began.elapsed() < limit {
            // A new connector is not known to every worker at once.
            if let Ok(status) = self.status(name).await {
                if status.is_running() {
                    return Ok(());
                }
                if let Some(reason) = status.failure() {
                    return Err(KafkaConnectError::Failed {
                        name: name.to_owned(),
                        reason: with_advice(reason),
                    });
                }
                state = status.describe();
            }
            tokio::select! {
                () = cancel.cancelled() => return Err(KafkaConnectError::Cancelled),
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
        Err(KafkaConnectError::NotRunning {
            name: name.to_owned(),
            seconds: limit.as_secs(),
            state,
        })
    }

    /// Restarts a connector and its failed tasks.
    ///
    /// # Errors
    /// When Connect refuses.
    pub async fn restart(&self, name: &str) -> Result<(), KafkaConnectError> {
        let mut request = self
            .http
            .request(Method::POST, &["connectors", name, "restart"]);
        request = request.query(&[("includeTasks", "true"), ("onlyFailed", "true")]);
        self.http.send(request).await.map(drop)
    }

    /// Removes a connector and the offsets that Connect keeps under its name: another of that name would begin there, at
    /// a position that a new slot does not have any more.
    ///
    /// # Errors
    /// When Connect refuses to remove the connector. A Connect before Kafka 3.6 cannot forget offsets; that is logged.
    pub async fn delete_with_offsets(&self, name: &str) -> Result<(), KafkaConnectError> {
        self.wait_for_creation().await;
        match self.remove_offsets(name).await {
            Ok(())
            | Err(KafkaConnectError::Refused {
                status: StatusCode::NOT_FOUND,
                ..
            }) => {}
            Err(error @ KafkaConnectError::Refused { .. }) => {
                tracing::warn!(connector = name, %error, "its offsets stay in Kafka Connect");
            }
            Err(error) => return Err(error),
        }
        self.delete(name).await
    }

    /// The connector has to be stopped first, which takes a moment.
    async fn remove_offsets(&self, name: &str) -> Result<(), KafkaConnectError> {
        self.http
            .send(
                self.http
                    .request(Method::PUT, &["connectors", name, "stop"]),
            )
            .await?;
        let began = Instant::now();
        loop {
            let request = self
                .http
                .request(Method::DELETE, &["connectors", name, "offsets"]);
            match self.http.send(request).await {
                Err(KafkaConnectError::Refused {
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
    pub async fn delete(&self, name: &str) -> Result<(), KafkaConnectError> {
        self.wait_for_creation().await;
        let began = Instant::now();
        loop {
            match self
                .http
                .send(self.http.request(Method::DELETE, &["connectors", name]))
                .await
            {
                Err(KafkaConnectError::Refused {
                    status: StatusCode::CONFLICT,
                    ..
                }) if began.elapsed() < REBALANCE_LIMIT => tokio::time::sleep(PAUSE).await,
                Err(KafkaConnectError::Refused {
                    status: StatusCode::NOT_FOUND,
                    ..
                }) => return Ok(()),
                outcome => return outcome.map(drop),
            }
        }
    }

    /// All connectors, by name, with their configurations, which may hold secrets.
    ///
    /// # Errors
    /// When Connect does not answer.
    pub async fn connectors(&self) -> Result<Vec<RegisteredConnector>, KafkaConnectError> {
        let request = self
            .http
            .request(Method::GET, &["connectors"])
            .query(&[("expand", "info"), ("expand", "status")]);
        let all: BTreeMap<String, ExpandedConnector> = self.http.read(request).await?;
        let mut connectors = Vec::with_capacity(all.len());
        for (name, expanded) in all {
            let config = expanded.info.config;
            let mut idle = expanded.status.as_ref().and_then(ConnectorStatus::idle);
            // Only a failure has an exception to tell of.
            if let Some(reason) = &mut idle
                && expanded.status.is_some_and(|status| status.has_failed())
            {
                let passwords = self.passwords.of(&self.http, &config).await;
                *reason = without_secrets(reason, &config, &passwords);
            }
            connectors.push(RegisteredConnector { name, config, idle });
        }
        Ok(connectors)
    }
}

/// Why a connector failed, with the way out where its exception does not say one.
fn with_advice(reason: String) -> String {
    if reason.contains("PBES2") {
        return reason
            + "; that Java cannot read how the key is encrypted: \"openssl pkcs8 -topk8 -v1 PBE-SHA1-3DES -in KEY -out KEY8\" writes it as it can";
    }
    reason
}

/// A connector of a Connect cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredConnector {
    /// Its name.
    pub name: String,
    /// Its configuration; it may hold secrets.
    pub config: BTreeMap<String, String>,
    /// Why it does not work, if it does not: `PAUSED`, `STOPPED`, or that it has failed.
    pub idle: Option<String>,
}

#[cfg(test)]
mod tests;
