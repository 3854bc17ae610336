//! Kafka Connect by its REST interface.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::event::{SCHEMA, TABLE};

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Longest time a change is tried again while the workers rebalance (409).
const REBALANCE_LIMIT: Duration = Duration::from_secs(30);
/// Longest wait for a connector to stop, so that its offsets can be forgotten.
const STOP_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

const CONNECTOR_CLASS: &str = "io.debezium.connector.postgresql.PostgresConnector";

/// What Connect refused or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not an address.
    #[error(
        "{url:?} is no address of Kafka Connect: {reason}; expected something like http://127.0.0.1:8083"
    )]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answers.
    #[error("cannot reach Kafka Connect at {url}: {reason}; is it running?")]
    Unreachable {
        /// Address.
        url: String,
        /// The system's words.
        reason: String,
    },
    /// It said no.
    #[error("Kafka Connect at {url} answered {status}: {message}")]
    Refused {
        /// Address.
        url: String,
        /// HTTP status.
        status: StatusCode,
        /// Its words.
        message: String,
    },
    /// Debezium is not installed there.
    #[error(
        "Kafka Connect at {url} has no plugin {CONNECTOR_CLASS}; put debezium-connector-postgres into its plugin.path and restart it"
    )]
    NoDebezium {
        /// Address.
        url: String,
    },
    /// There is no such connector.
    #[error("Kafka Connect at {url} has no connector \"{name}\"")]
    NoConnector {
        /// Address.
        url: String,
        /// Its name.
        name: String,
    },
    /// It failed.
    #[error("connector \"{name}\" failed: {reason}")]
    Failed {
        /// Its name.
        name: String,
        /// First lines of the trace.
        reason: String,
    },
    /// It does not get to run.
    #[error("connector \"{name}\" was not RUNNING within {seconds} s; its last state was {state}")]
    NotRunning {
        /// Its name.
        name: String,
        /// How long it was waited for.
        seconds: u64,
        /// Its last state.
        state: String,
    },
    /// The user asked to stop.
    #[error("interrupted")]
    Cancelled,
}

/// A connector and its tasks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ConnectorStatus {
    connector: State,
    tasks: Vec<State>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct State {
    state: String,
    #[serde(default)]
    trace: Option<String>,
}

impl ConnectorStatus {
    /// The connector and all of its tasks run, and there is a task.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.connector.state == "RUNNING"
            && !self.tasks.is_empty()
            && self.tasks.iter().all(|task| task.state == "RUNNING")
    }

    /// The connector or a task has failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.all().any(|state| state.state == "FAILED")
    }

    /// Why, in the first lines of the trace that say something.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let trace = self
            .all()
            .find(|state| state.state == "FAILED")?
            .trace
            .as_deref()
            .unwrap_or("no reason given");
        // The exception and its causes; the frames in between are for Debezium's authors.
        let lines: Vec<_> = trace
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with("at ") && !line.starts_with("..."))
            .take(4)
            .collect();
        Some(lines.join("; "))
    }

    fn all(&self) -> impl Iterator<Item = &State> {
        std::iter::once(&self.connector).chain(&self.tasks)
    }

    fn describe(&self) -> String {
        let tasks: Vec<_> = self.tasks.iter().map(|task| task.state.as_str()).collect();
        format!("{} with tasks [{}]", self.connector.state, tasks.join(", "))
    }
}

/// A client of one Connect cluster.
#[derive(Debug, Clone)]
pub struct ConnectClient {
    http: reqwest::Client,
    base: reqwest::Url,
}

#[derive(Deserialize)]
struct Root {
    version: String,
}

#[derive(Deserialize)]
struct Plugin {
    class: String,
    #[serde(default)]
    version: Option<String>,
}

#[derive(Deserialize)]
struct Expanded {
    info: Info,
}

#[derive(Deserialize)]
struct Info {
    config: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Offsets {
    offsets: Vec<OffsetEntry>,
}

#[derive(Deserialize)]
struct OffsetEntry {
    offset: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
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
            match self.send(request).await {
                Err(ConnectError::Refused {
                    status: StatusCode::CONFLICT,
                    ..
                }) if began.elapsed() < REBALANCE_LIMIT => tokio::time::sleep(PAUSE).await,
                outcome => return outcome.map(drop),
            }
        }
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
        // The innermost cause is the one that says something.
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        ConnectError::Unreachable {
            url: self.base.to_string(),
            reason: cause.to_string(),
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
mod tests {
    //! Against a double of Connect's REST interface (wiremock), for the answers a real one gives only in trouble.

    use super::*;
    use serde_json::json;
    use wiremock::matchers::{method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    async fn double() -> (MockServer, ConnectClient) {
        let server = MockServer::start().await;
        let client = ConnectClient::new(&server.uri()).unwrap();
        (server, client)
    }

    #[tokio::test]
    async fn a_change_waits_for_a_rebalance_to_end() {
        let (server, client) = double().await;
        let conflict = ResponseTemplate::new(409)
            .set_body_json(json!({"error_code": 409, "message": "rebalance"}));
        Mock::given(method("PUT"))
            .and(path("/connectors/a/config"))
            .respond_with(conflict)
            .up_to_n_times(2)
            .expect(2)
            .mount(&server)
            .await;
        Mock::given(method("PUT"))
            .and(path("/connectors/a/config"))
            .respond_with(ResponseTemplate::new(201).set_body_json(json!({})))
            .expect(1)
            .mount(&server)
            .await;
        client.put_config("a", &BTreeMap::new()).await.unwrap();
    }

    #[tokio::test]
    async fn a_snapshot_under_way_shows_in_the_offsets() {
        for (offset, expected) in [
            (
                json!({"lsn": 7, "snapshot": "INITIAL", "snapshot_completed": false}),
                true,
            ),
            (json!({"lsn": 7, "snapshot": true}), true),
            (
                json!({"lsn": 7, "snapshot": "INITIAL", "snapshot_completed": true}),
                false,
            ),
            (json!({"lsn": 7}), false),
        ] {
            let (server, client) = double().await;
            let entry = json!({"partition": {"server": "x"}, "offset": offset});
            Mock::given(method("GET"))
                .and(path("/connectors/a/offsets"))
                .respond_with(ResponseTemplate::new(200).set_body_json(json!({"offsets": [entry]})))
                .mount(&server)
                .await;
            assert_eq!(
                client.is_in_snapshot("a").await.unwrap(),
                expected,
                "{offset}"
            );
        }
    }

    #[tokio::test]
    async fn a_failed_task_ends_the_wait_with_its_reason() {
        let (server, client) = double().await;
        let trace = "org.apache.kafka.connect.errors.ConnectException: boom\n\tat a.b.C(D.java:1)\nCaused by: wal_level\n\t... 9 more";
        let status = json!({"name": "a", "connector": {"state": "RUNNING"}, "tasks": [{"id": 0, "state": "FAILED", "trace": trace}]});
        Mock::given(method("GET"))
            .and(path("/connectors/a/status"))
            .respond_with(ResponseTemplate::new(200).set_body_json(status))
            .mount(&server)
            .await;
        let error = client
            .wait_running("a", Duration::from_secs(5), &CancellationToken::new())
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "connector \"a\" failed: org.apache.kafka.connect.errors.ConnectException: boom; Caused by: wal_level"
        );
    }

    #[tokio::test]
    async fn a_connector_without_a_task_does_not_run_yet() {
        let (server, client) = double().await;
        let status = json!({"name": "a", "connector": {"state": "RUNNING"}, "tasks": []});
        Mock::given(method("GET"))
            .respond_with(ResponseTemplate::new(200).set_body_json(status))
            .mount(&server)
            .await;
        let error = client
            .wait_running("a", Duration::from_millis(300), &CancellationToken::new())
            .await
            .unwrap_err();
        assert!(matches!(error, ConnectError::NotRunning { .. }), "{error}");
    }

    #[tokio::test]
    async fn the_connector_of_a_topic_is_found() {
        let (server, client) = double().await;
        let config = |prefix: &str, class: &str| json!({"info": {"config": {"connector.class": class, "topic.prefix": prefix, "table.include.list": "x.y, activity.event_outbox"}}});
        let all = json!({"other": config("postgres", "x.Y"), "ours": config("postgres", CONNECTOR_CLASS), "third": config("p", CONNECTOR_CLASS)});
        Mock::given(method("GET"))
            .and(path("/connectors"))
            .respond_with(ResponseTemplate::new(200).set_body_json(all))
            .mount(&server)
            .await;
        let found = client
            .find_by_topic("postgres.activity.event_outbox")
            .await
            .unwrap();
        assert_eq!(found.map(|(name, _)| name).as_deref(), Some("ours"));
        assert_eq!(
            client
                .find_by_topic("q.activity.event_outbox")
                .await
                .unwrap(),
            None
        );
    }

    #[tokio::test]
    async fn what_is_not_there_is_deleted_already() {
        let (server, client) = double().await;
        Mock::given(method("DELETE"))
            .respond_with(ResponseTemplate::new(404))
            .mount(&server)
            .await;
        client.delete("a b/c").await.unwrap();
        assert!(matches!(
            client.status("a").await,
            Err(ConnectError::NoConnector { .. })
        ));
    }

    #[tokio::test]
    async fn nobody_there_is_said_with_the_address() {
        let client = ConnectClient::new("http://127.0.0.1:9").unwrap();
        let error = client.version().await.unwrap_err().to_string();
        assert!(
            error.contains("http://127.0.0.1:9") && error.contains("refused"),
            "{error}"
        );
        assert!(ConnectClient::new("127.0.0.1:8083").is_err());
    }
}
