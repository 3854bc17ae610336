//! The route of a capture path through the servers, prepared for use: topic, group, slot, connector and collection.

use cdc_bench_model::RunId;
use cdc_bench_model::event::{SCHEMA, TABLE};
use cdc_bench_model::report::ConnectorReport;
use cdc_bench_model::timeline::CapturePath;
use cdc_bench_stack::Stack;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::broker::BrokerError;
use crate::pipeline::failure::Failure;
use crate::pipeline::provision::collection::ensure_collection;
use crate::pipeline::provision::connector::provide_connector;
use crate::pipeline::provision::group::{group_name, register_group};
use crate::pipeline::provision::names::{slot_name, topic_prefix};
use crate::pipeline::provision::resource_registry::ResourceKind;
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::provision::topic::{WantedTopic, ensure_topic};
use crate::pipeline::request::RunRequest;
use crate::store::{COLLECTION, MongoStore};

/// The route of one capture path through the servers.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) path: CapturePath,
    /// Publication of the outbox.
    pub(crate) publication: String,
    /// Slot of the process that captures, if known.
    pub(crate) slot: Option<String>,
    /// Slot of our reader if it only observes.
    pub(crate) observer_slot: Option<String>,
    /// Whether that slot survives its connection: only where the run itself is to break it, or another worker is to go on with it,
    /// and then it is registered. Else it is dropped with its connection in every case, so that it can never fill a disk.
    pub(crate) observer_slot_is_permanent: bool,
    /// `None` on a path without Kafka.
    pub(crate) kafka: Option<KafkaRoute>,
    /// The path's connector if known, its secrets redacted.
    pub(crate) connector: Option<ConnectorReport>,
    /// Whether we have created that connector.
    pub(crate) connector_is_ours: bool,
    /// The store, with the path's own collection.
    pub(crate) store: MongoStore,
}

/// The part of a route that is in Kafka.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KafkaRoute {
    pub(crate) topic: String,
    pub(crate) partitions: i32,
    /// Replicas of each.
    pub(crate) replicas: usize,
    /// Whether the topic has `LogAppendTime`.
    pub(crate) log_append_time: bool,
    pub(crate) group: String,
}

impl Route {
    /// Prepares topic, group, collection and connector of a path. The source must be prepared already.
    pub(crate) async fn prepare(
        path: CapturePath,
        round: u32,
        (servers, request, stack): (&ServerClients, &RunRequest, &Stack),
        publication: &str,
        detail: &(dyn Fn(&str) + Sync),
        cancel: &CancellationToken,
    ) -> Result<Self, Failure> {
        let id = &request.id;
        detail("store indexes");
        let store = servers
            .store
            .with_collection(&collection_name(request, path));
        ensure_collection(servers, &store, Some(id)).await?;
        let mut route = Self {
            path,
            publication: publication.to_owned(),
            slot: None,
            observer_slot: None,
            observer_slot_is_permanent: false,
            kafka: None,
            connector: None,
            connector_is_ours: false,
            store,
        };
        match path {
            CapturePath::Debezium => {
                detail("connector, until it is RUNNING");
                let exclusive = (stack.exclusive(), stack.is_kept());
                let found =
                    provide_connector(servers, request, round, exclusive, publication, cancel)
                        .await?;
                route.kafka = Some(kafka_route(servers, request, path, &found.topic).await?);
                route.slot = found.slot;
                let observer_slot = format!("cdc_bench_reader_{}", id.as_identifier());
                let outlives_connection = request.breaks_readers() || request.distributed.is_some();
                if request.observer && outlives_connection {
                    let registry = &servers.registry;
                    let kind = ResourceKind::Slot;
                    registry.record(kind, &observer_slot, Some(id)).await?;
                    route.observer_slot_is_permanent = true;
                }
                route.observer_slot = Some(observer_slot);
                route.connector = found.connector;
                route.connector_is_ours = found.ours;
            }
            CapturePath::Wal => {
                let topic = format!("{}.{SCHEMA}.{TABLE}", topic_prefix(path, id));
                detail(&format!("topic {topic}"));
                let wanted = WantedTopic {
                    name: &topic,
                    partitions: request.partitions,
                };
                ensure_topic(servers, wanted, Some(id)).await?;
                route.kafka = Some(kafka_route(servers, request, path, &topic).await?);
                route.slot = Some(register_slot(servers, path, id, round).await?);
            }
            CapturePath::Embedded => {
                route.slot = Some(register_slot(servers, path, id, round).await?);
            }
        }
        Ok(route)
    }

    pub(crate) fn describe(&self) -> String {
        let to = match &self.kafka {
            Some(kafka) => format!("topic {}", kafka.topic),
            None => "the consumer".to_owned(),
        };
        match (self.path, &self.connector) {
            (CapturePath::Debezium, Some(connector)) => {
                let why = connector.chosen.as_ref();
                let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
                format!("connector {}{why} -> {to}", connector.name)
            }
            (CapturePath::Debezium, None) => {
                format!("{to} (fed by what is not known: no CONNECT_URL)")
            }
            (CapturePath::Wal | CapturePath::Embedded, _) => format!("our reader -> {to}"),
        }
    }
}

/// Registers the slot of a reader that captures. The reader creates it; it survives a broken connection.
async fn register_slot(
    servers: &ServerClients,
    path: CapturePath,
    run: &RunId,
    round: u32,
) -> Result<String, Failure> {
    let slot = slot_name(path, run, round);
    servers
        .registry
        .record(ResourceKind::Slot, &slot, Some(run))
        .await?;
    Ok(slot)
}

async fn kafka_route(
    servers: &ServerClients,
    request: &RunRequest,
    path: CapturePath,
    topic: &str,
) -> Result<KafkaRoute, Failure> {
    let group = group_name(request, path);
    register_group(servers, request, &group).await?;
    let state = servers.kafka.topic(topic).await?;
    let state = state.ok_or_else(|| BrokerError::NoTopic {
        topic: topic.to_owned(),
        bootstrap: servers.endpoints.kafka.bootstrap.clone(),
    })?;
    Ok(KafkaRoute {
        topic: topic.to_owned(),
        partitions: state.partitions,
        replicas: state.replicas,
        log_append_time: state.log_append_time.unwrap_or(false),
        group,
    })
}

/// The first path writes to the collection that other commands read; each of the others has a collection of its own.
fn collection_name(request: &RunRequest, path: CapturePath) -> String {
    if request.paths.first() == Some(&path) {
        COLLECTION.to_owned()
    } else {
        format!("{COLLECTION}_{path}")
    }
}
