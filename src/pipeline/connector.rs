//! Debezium's connector: one that is there, used as it is, or one of our own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::route::{ensure_topic, slot_name};
use super::{Failure, Kind, RunRequest, Servers};
use crate::debezium::{
    ConnectClient, ConnectorParams, ConnectorProfile, connector_config, redacted,
};
use cdc_bench_model::RunId;
use cdc_bench_model::event::{SCHEMA, TABLE};
use cdc_bench_model::report::ConnectorReport;
use cdc_bench_model::timeline::CapturePath;

/// Longest wait for a connector to run.
const RUNNING_LIMIT: Duration = Duration::from_secs(60);
/// How often our connector is looked at while a run goes on.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// Which connector a run is to use.
#[derive(Debug, Clone, Default)]
pub struct ConnectorRequest {
    /// This one, as it is.
    pub connector: Option<String>,
    /// The profile of ours; where none is asked for, `low-latency`.
    pub profile: Option<ConnectorProfile>,
    /// Settings of ours over the profile's.
    pub overrides: Vec<(String, String)>,
}

impl ConnectorRequest {
    /// Whether the user asked for a connector of ours by describing it.
    fn describes_ours(&self) -> bool {
        self.profile.is_some() || !self.overrides.is_empty()
    }
}

/// A connector, and what it feeds.
#[derive(Debug, Clone)]
pub(super) struct Provided {
    pub(super) topic: String,
    /// Its replication slot, where it is known.
    pub(super) slot: Option<String>,
    /// The connector, secrets hidden; `None` when the topic is fed by something we do not know.
    pub(super) connector: Option<ConnectorReport>,
    /// Whether it is ours, to watch and restart, and to remove.
    pub(super) ours: bool,
}

/// Finds the connector or makes one; it is RUNNING when this returns, and its topic is there.
pub(super) async fn provide(
    servers: &Servers,
    request: &RunRequest,
    round: u32,
    exclusive: bool,
    publication: &str,
    cancel: &CancellationToken,
) -> Result<Provided, Failure> {
    Ok(match existing(servers, request).await? {
        Existing::Connector(topic, connector) => Provided {
            topic,
            slot: connector.config.get("slot.name").cloned(),
            connector: Some(connector),
            ours: false,
        },
        Existing::Unknown => Provided {
            topic: request.settings.topic.clone(),
            slot: None,
            connector: None,
            ours: false,
        },
        Existing::None => {
            let names = OwnNames::of(request, round, exclusive);
            ensure_topic(servers, &names.topic, Some(&request.id)).await?;
            let profile = request
                .connector
                .profile
                .unwrap_or(ConnectorProfile::LowLatency);
            let connector = make_connector(
                servers,
                &names,
                publication,
                profile,
                &request.connector.overrides,
                Some(&request.id),
                cancel,
            )
            .await?;
            Provided {
                topic: names.topic,
                slot: Some(names.slot),
                connector: Some(connector),
                ours: true,
            }
        }
    })
}

/// What `setup` makes besides tables, publication and collection.
pub(super) fn permanent_names(topic: &str) -> Option<OwnNames> {
    let topic_prefix = topic
        .strip_suffix(&format!(".{SCHEMA}.{TABLE}"))?
        .to_owned();
    Some(OwnNames {
        connector: "cdc-bench".to_owned(),
        slot: "cdc_bench_debezium".to_owned(),
        topic: topic.to_owned(),
        topic_prefix,
    })
}

enum Existing {
    /// Found or named, with the topic it feeds.
    Connector(String, ConnectorReport),
    /// There may be one, but no address to ask.
    Unknown,
    /// None.
    None,
}

/// The connector that is there already.
async fn existing(servers: &Servers, request: &RunRequest) -> Result<Existing, Failure> {
    let Some(connect) = &servers.connect else {
        if request.connector.describes_ours() {
            return Err(Failure::usage(anyhow::anyhow!(
                "a connector of our own needs CONNECT_URL (--connect-url)"
            )));
        }
        return Ok(Existing::Unknown);
    };
    let report = |name: String, config: BTreeMap<String, String>| ConnectorReport {
        name,
        profile: None,
        config: redacted(&config),
    };
    if let Some(name) = &request.connector.connector {
        let config = connect.config(name).await?;
        let topic = if request.settings.topic_is_given {
            request.settings.topic.clone()
        } else {
            topic_of(&config, &request.settings.topic)
        };
        return Ok(Existing::Connector(topic, report(name.clone(), config)));
    }
    if request.connector.describes_ours() {
        return Ok(Existing::None);
    }
    Ok(
        match connect.find_by_topic(&request.settings.topic).await? {
            // One that another run has made goes away with it.
            Some((name, config)) if !name.starts_with(OwnNames::PREFIX) => {
                Existing::Connector(request.settings.topic.clone(), report(name, config))
            }
            _ => Existing::None,
        },
    )
}

/// The outbox topic a connector feeds.
fn topic_of(config: &BTreeMap<String, String>, default: &str) -> String {
    config.get("topic.prefix").map_or_else(
        || default.to_owned(),
        |prefix| format!("{prefix}.{SCHEMA}.{TABLE}"),
    )
}

/// What a connector of ours is called, and its topic and slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnNames {
    pub(crate) connector: String,
    pub(crate) slot: String,
    pub(crate) topic_prefix: String,
    pub(crate) topic: String,
}

impl OwnNames {
    /// Of every connector that a run makes.
    const PREFIX: &'static str = "cdc-bench-run-";

    /// On servers that others may use too, each run gets a topic of its own: two connectors on one would double every record.
    /// Rounds share it.
    fn of(request: &RunRequest, round: u32, exclusive: bool) -> Self {
        let suffix = format!(".{SCHEMA}.{TABLE}");
        let configured = request.settings.topic.strip_suffix(&suffix);
        let topic_prefix = match configured {
            Some(prefix) if exclusive || request.settings.topic_is_given => prefix.to_owned(),
            _ => format!("cdc_bench_{}", request.id.as_identifier()),
        };
        Self {
            connector: match round {
                0 => format!("{}{}", Self::PREFIX, request.id),
                round => format!("{}{}-{round}", Self::PREFIX, request.id),
            },
            slot: slot_name(CapturePath::Debezium, &request.id, round),
            topic: format!("{topic_prefix}{suffix}"),
            topic_prefix,
        }
    }
}

/// Registers a connector and waits until it runs.
pub(crate) async fn make_connector(
    servers: &Servers,
    names: &OwnNames,
    publication: &str,
    profile: ConnectorProfile,
    overrides: &[(String, String)],
    run: Option<&RunId>,
    cancel: &CancellationToken,
) -> Result<ConnectorReport, Failure> {
    let connect = servers.connect.as_ref().ok_or_else(|| {
        Failure::usage(anyhow::anyhow!(
            "a connector needs CONNECT_URL (--connect-url)"
        ))
    })?;
    connect.require_debezium().await?;
    let params = ConnectorParams {
        name: &names.connector,
        postgres: &servers.endpoints.postgres,
        address: servers.endpoints.postgres_for_connect.as_ref(),
        topic_prefix: &names.topic_prefix,
        slot: &names.slot,
        publication,
        profile,
        overrides,
    };
    let config = connector_config(&params);
    servers.ledger.record(Kind::Slot, &names.slot, run).await?;
    servers
        .ledger
        .record(Kind::Connector, &names.connector, run)
        .await?;
    connect.put_config(&names.connector, &config).await?;
    connect
        .wait_running(&names.connector, RUNNING_LIMIT, cancel)
        .await?;
    Ok(ConnectorReport {
        name: names.connector.clone(),
        profile: Some(profile.to_string()),
        config: redacted(&config),
    })
}

/// Watches a connector of ours and restarts a task that failed, as an operator would.
pub(crate) struct Watch {
    restarts: Arc<Mutex<Vec<jiff::Timestamp>>>,
    task: Option<JoinHandle<()>>,
}

impl Watch {
    /// Ends it; when there were restarts.
    pub(crate) async fn stop(mut self) -> Vec<jiff::Timestamp> {
        if let Some(task) = self.task.take() {
            task.abort();
            // Aborted on purpose.
            let _ = task.await;
        }
        std::mem::take(&mut lock(&self.restarts))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Begins to watch. A connector that is not ours is left alone.
pub(super) fn watch(servers: &Servers, connector: Option<&ConnectorReport>, ours: bool) -> Watch {
    let restarts = Arc::new(Mutex::default());
    let (Some(connect), Some(connector), true) = (servers.connect.clone(), connector, ours) else {
        return Watch {
            restarts,
            task: None,
        };
    };
    let (name, times) = (connector.name.clone(), Arc::clone(&restarts));
    Watch {
        restarts,
        task: Some(tokio::spawn(keep_running(connect, name, times))),
    }
}

fn lock(times: &Mutex<Vec<jiff::Timestamp>>) -> MutexGuard<'_, Vec<jiff::Timestamp>> {
    times.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn keep_running(
    connect: ConnectClient,
    name: String,
    restarts: Arc<Mutex<Vec<jiff::Timestamp>>>,
) {
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
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
