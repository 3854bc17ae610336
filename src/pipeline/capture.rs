//! Debezium's side of a run: an existing connector used as it is, or one of our own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::setup::{SourceNeeds, prepare_source};
use super::{Failure, Kind, RunRequest, Servers};
use crate::broker::BrokerError;
use crate::config::RunId;
use crate::debezium::{
    ConnectClient, ConnectorParams, ConnectorProfile, connector_config, redacted,
};
use crate::event::{SCHEMA, TABLE};
use crate::report::ConnectorReport;
use crate::stack::Stack;
use crate::store::COLLECTION;

/// Longest wait for a connector to run.
const RUNNING_LIMIT: Duration = Duration::from_secs(60);
/// How often our connector is looked at while a run goes on.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// Which connector a run is to use.
#[derive(Debug, Clone, Default)]
pub struct CaptureRequest {
    /// This one, as it is.
    pub connector: Option<String>,
    /// The profile of ours; where none is asked for, `low-latency`.
    pub profile: Option<ConnectorProfile>,
    /// Settings of ours over the profile's.
    pub overrides: Vec<(String, String)>,
}

impl CaptureRequest {
    /// Whether the user asked for a connector of ours by describing it.
    fn describes_ours(&self) -> bool {
        self.profile.is_some() || !self.overrides.is_empty()
    }
}

/// What captures, and where it goes.
#[derive(Debug, Clone)]
pub(crate) struct Capture {
    pub(crate) topic: String,
    pub(crate) partitions: i32,
    /// Whether the topic's timestamps are the broker's.
    pub(crate) log_append_time: bool,
    pub(crate) group: String,
    pub(crate) publication: String,
    /// The connector, secrets hidden; `None` when the topic is fed by something we do not know.
    pub(crate) connector: Option<ConnectorReport>,
    /// Whether the connector is ours, to watch and restart.
    pub(crate) ours: bool,
}

impl Capture {
    pub(crate) fn describe(&self) -> String {
        match &self.connector {
            Some(connector) => format!("connector {} -> topic {}", connector.name, self.topic),
            None => format!(
                "topic {} (fed by what is not known: no CONNECT_URL)",
                self.topic
            ),
        }
    }
}

/// Makes source, topic and connector ready; the connector is RUNNING when this returns.
pub(crate) async fn prepare(
    servers: &Servers,
    request: &RunRequest,
    stack: &Stack,
    detail: &(dyn Fn(&str) + Sync),
    cancel: &CancellationToken,
) -> Result<Capture, Failure> {
    detail("tables and publication");
    // Debezium's slot, our reader's, and one to spare for a neighbour.
    let needs = SourceNeeds {
        run_id: Some(request.id.clone()),
        slots: 2,
        permanent_slot: None,
    };
    let source = prepare_source(&servers.postgres, &servers.ledger, &needs).await?;
    detail("store indexes");
    ensure_collection(servers, None).await?;

    let settings = &request.settings;
    let group = if settings.group_is_given {
        settings.group.clone()
    } else {
        // A group of its own, so that no other run or consumer takes a part of the events.
        let group = format!("{}-{}", settings.group, request.id);
        servers
            .ledger
            .record(Kind::Group, &group, Some(&request.id))
            .await?;
        group
    };
    detail("connector");
    let found = existing(servers, request).await?;
    let (topic, connector, ours) = match found {
        Existing::Connector(topic, connector) => (topic, Some(connector), false),
        Existing::Unknown => (settings.topic.clone(), None, false),
        Existing::None => {
            let names = OwnNames::of(request, stack.exclusive());
            detail(&format!("topic {}", names.topic));
            ensure_topic(servers, &names.topic, Some(&request.id)).await?;
            detail(&format!("connector {}", names.connector));
            let connector = register(servers, request, &names, &source.publication, cancel).await?;
            (names.topic, Some(connector), true)
        }
    };
    let state = servers.kafka.topic(&topic).await?;
    let state = state.ok_or_else(|| BrokerError::NoTopic {
        topic: topic.clone(),
        bootstrap: servers.endpoints.kafka.bootstrap.clone(),
    })?;
    Ok(Capture {
        topic,
        partitions: state.partitions,
        log_append_time: state.log_append_time.unwrap_or(false),
        group,
        publication: source.publication,
        connector,
        ours,
    })
}

/// Makes the collection and its indexes, and keeps in the ledger that we did.
pub(crate) async fn ensure_collection(
    servers: &Servers,
    run: Option<&RunId>,
) -> Result<(), Failure> {
    let fresh = servers
        .ledger
        .record(Kind::Collection, COLLECTION, run)
        .await?;
    let made = servers.store.ensure_indexes().await?;
    if fresh && !made {
        // It was there before us: it is not ours to remove.
        servers.ledger.forget(Kind::Collection, COLLECTION).await?;
    }
    Ok(())
}

/// Makes the topic where there is none, and keeps in the ledger that we did.
pub(crate) async fn ensure_topic(
    servers: &Servers,
    topic: &str,
    run: Option<&RunId>,
) -> Result<(), Failure> {
    if servers.kafka.topic(topic).await?.is_some() {
        return Ok(());
    }
    servers.ledger.record(Kind::Topic, topic, run).await?;
    match servers.kafka.create_topic(topic).await {
        Ok(true) => Ok(()),
        made => {
            // Refused, or somebody else was quicker: it is not ours to remove.
            servers.ledger.forget(Kind::Topic, topic).await?;
            made.map(drop).map_err(Failure::from)
        }
    }
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
        if request.capture.describes_ours() {
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
    if let Some(name) = &request.capture.connector {
        let config = connect.config(name).await?;
        let topic = if request.settings.topic_is_given {
            request.settings.topic.clone()
        } else {
            topic_of(&config, &request.settings.topic)
        };
        return Ok(Existing::Connector(topic, report(name.clone(), config)));
    }
    if request.capture.describes_ours() {
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
    fn of(request: &RunRequest, exclusive: bool) -> Self {
        let suffix = format!(".{SCHEMA}.{TABLE}");
        let configured = request.settings.topic.strip_suffix(&suffix);
        let topic_prefix = match configured {
            Some(prefix) if exclusive || request.settings.topic_is_given => prefix.to_owned(),
            _ => format!("cdc_bench_{}", request.id.as_identifier()),
        };
        Self {
            connector: format!("{}{}", Self::PREFIX, request.id),
            slot: format!("cdc_bench_debezium_{}", request.id.as_identifier()),
            topic: format!("{topic_prefix}{suffix}"),
            topic_prefix,
        }
    }
}

async fn register(
    servers: &Servers,
    request: &RunRequest,
    names: &OwnNames,
    publication: &str,
    cancel: &CancellationToken,
) -> Result<ConnectorReport, Failure> {
    let profile = request
        .capture
        .profile
        .unwrap_or(ConnectorProfile::LowLatency);
    make_connector(
        servers,
        names,
        publication,
        profile,
        &request.capture.overrides,
        Some(&request.id),
        cancel,
    )
    .await
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
    restarts: Arc<AtomicU64>,
    task: Option<JoinHandle<()>>,
}

impl Watch {
    /// Ends it; how many restarts there were.
    pub(crate) async fn stop(mut self) -> u64 {
        if let Some(task) = self.task.take() {
            task.abort();
            // Aborted on purpose.
            let _ = task.await;
        }
        self.restarts.load(Ordering::Relaxed)
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
pub(crate) fn watch(servers: &Servers, capture: &Capture) -> Watch {
    let restarts = Arc::new(AtomicU64::new(0));
    let (Some(connect), Some(connector), true) =
        (servers.connect.clone(), &capture.connector, capture.ours)
    else {
        return Watch {
            restarts,
            task: None,
        };
    };
    let (name, count) = (connector.name.clone(), Arc::clone(&restarts));
    Watch {
        restarts,
        task: Some(tokio::spawn(keep_running(connect, name, count))),
    }
}

async fn keep_running(connect: ConnectClient, name: String, restarts: Arc<AtomicU64>) {
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
                    Ok(()) => {
                        restarts.fetch_add(1, Ordering::Relaxed);
                    }
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
