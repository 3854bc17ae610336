//! Debezium's connector: an existing one, used as it is, or one of our own.

use cdc_bench_model::event::Shard;
use cdc_bench_model::report::ConnectorReport;
use tokio_util::sync::CancellationToken;

use crate::pipeline::failure::Failure;
use crate::pipeline::provision::existing_connector::{ExistingConnector, find_existing};
use crate::pipeline::provision::names::{ConnectorNames, topic_prefix_of};
use crate::pipeline::provision::planned_connector::{PlannedConnector, RUNNING_LIMIT};
use crate::pipeline::provision::resource_registry::ResourceKind;
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::provision::source::PUBLICATION;
use crate::pipeline::provision::topic::{WantedTopic, check_partitions, ensure_topic};
use crate::pipeline::request::RunRequest;

/// A connector that is RUNNING, and the topic it feeds.
#[derive(Debug, Clone)]
pub(crate) struct ProvidedConnector {
    pub(crate) topic: String,
    /// Its replication slot, if known.
    pub(crate) slot: Option<String>,
    /// The connector, secrets redacted; `None` if it is unknown what feeds the topic.
    pub(crate) connector: Option<ConnectorReport>,
    /// Whether it is ours: we watch it, restart it, and remove it.
    pub(crate) ours: bool,
}

/// Finds the connector or creates one. When this returns, it is RUNNING and its topic exists.
pub(crate) async fn provide_connector(
    servers: &ServerClients,
    request: &RunRequest,
    (round, shard): (u32, Shard),
    (exclusive, is_kept): (bool, bool),
    publication: &str,
    cancel: &CancellationToken,
) -> Result<ProvidedConnector, Failure> {
    let names = || ConnectorNames::for_run(request, (round, shard), exclusive);
    if request.resumption.is_some() && request.connector.connector.is_none() {
        let names = names();
        return go_on_with(servers, names, cancel).await;
    }
    Ok(match find_existing(servers, request, is_kept).await? {
        ExistingConnector::Connector(topic, connector) => ProvidedConnector {
            topic,
            slot: connector.config.get("slot.name").cloned(),
            connector: Some(connector),
            ours: false,
        },
        ExistingConnector::Unknown => ProvidedConnector {
            topic: request.settings.topic.clone(),
            slot: None,
            connector: None,
            ours: false,
        },
        ExistingConnector::None => {
            let names = names();
            let wanted = WantedTopic {
                name: &names.topic,
                partitions: request.partitions,
            };
            ensure_topic(servers, wanted, Some(&request.id)).await?;
            let (topic, slot) = (names.topic.clone(), names.slot.clone());
            let asked = (&request.connector, request.partitions);
            let planned = PlannedConnector::plan(servers, names, publication, asked).await?;
            let connector = planned.register(servers, Some(&request.id), cancel).await?;
            ProvidedConnector {
                topic,
                slot: Some(slot),
                connector: Some(connector),
                ours: true,
            }
        }
    })
}

/// The connector of a run that is taken up again, as the run has registered it, or whatever fed its topic.
async fn go_on_with(
    servers: &ServerClients,
    names: ConnectorNames,
    cancel: &CancellationToken,
) -> Result<ProvidedConnector, Failure> {
    let ConnectorNames {
        connector: name,
        slot,
        topic,
        ..
    } = names;
    let registered = ResourceKind::Connector;
    let (Some(connect), true) = (
        &servers.connect,
        servers.registry.has(registered, &name).await?,
    ) else {
        return Err(Failure::usage(anyhow::anyhow!(
            "connector \"{name}\" of the run is not registered, or CONNECT_URL is not given: name the one that feeds its topic (--connector NAME), or give up the run (cdc-bench cleanup)"
        )));
    };
    let config = connect.config(&name).await?;
    connect.wait_running(&name, RUNNING_LIMIT, cancel).await?;
    Ok(ProvidedConnector {
        topic,
        slot: Some(slot),
        connector: Some(ConnectorReport {
            name,
            profile: None,
            chosen: None,
            config: connect.redacted(&config).await,
        }),
        ours: true,
    })
}

/// Looks for what would refuse [`provide_connector`], before anything is made.
///
/// # Errors
/// As [`find_existing`] and [`PlannedConnector::plan`], or when a connector of ours cannot feed the topic that is named, or would write
/// into one of somebody's.
pub(crate) async fn check_connector(
    servers: &ServerClients,
    request: &RunRequest,
    (exclusive, is_kept): (bool, bool),
) -> Result<(), Failure> {
    match find_existing(servers, request, is_kept).await? {
        ExistingConnector::None => {
            if request.settings.topic_is_given {
                topic_prefix_of(&request.settings.topic)?;
            }
            for shard in request.shards.iter() {
                let names = ConnectorNames::for_run(request, (0, shard), exclusive);
                refuse_foreign_topic(servers, &names.topic).await?;
                let wanted = WantedTopic {
                    name: &names.topic,
                    partitions: request.partitions,
                };
                check_partitions(servers, wanted).await?;
                let asked = (&request.connector, request.partitions);
                PlannedConnector::plan(servers, names, PUBLICATION, asked).await?;
            }
            Ok(())
        }
        ExistingConnector::Connector(..) | ExistingConnector::Unknown => Ok(()),
    }
}

/// A topic that is there and not registered is somebody's: a connector of ours would write into it.
async fn refuse_foreign_topic(servers: &ServerClients, topic: &str) -> Result<(), Failure> {
    if servers.kafka.topic(topic).await?.is_none()
        || servers.registry.has(ResourceKind::Topic, topic).await?
    {
        return Ok(());
    }
    Err(Failure::usage(anyhow::anyhow!(
        "topic \"{topic}\" exists, cdc-bench has not made it, and no connector is known that feeds it; it is left as it is: name the connector (--connector NAME), or leave out CONNECT_URL if something else feeds it; or choose a topic that does not exist (KAFKA_TOPIC), or none: then a run has a topic of its own"
    )))
}
