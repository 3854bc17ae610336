//! The route of a capture path through the servers, prepared for use: topics, group, slots, connectors and collection.

use cdc_bench_model::RunId;
use cdc_bench_model::event::Shard;
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
use crate::pipeline::provision::names::{observer_slot_name, slot_name, topic_name, topic_prefix};
use crate::pipeline::provision::resource_registry::ResourceKind;
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::provision::topic::{WantedTopic, ensure_topic};
use crate::pipeline::request::RunRequest;
use crate::records::Topics;
use crate::store::{COLLECTION, MongoStore};

/// The route of one capture path through the servers.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) path: CapturePath,
    /// Where its events come from: a source for each shard of the outbox, at least one.
    pub(crate) sources: Vec<RouteSource>,
    /// The store, with the path's own collection, which all sources end in.
    pub(crate) store: MongoStore,
}

/// The way of one shard's events from their table to the consumer.
#[derive(Debug, Clone)]
pub(crate) struct RouteSource {
    pub(crate) shard: Shard,
    /// Publication of its table.
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
    /// Its connector if known, the secrets redacted.
    pub(crate) connector: Option<ConnectorReport>,
    /// Whether we have created that connector.
    pub(crate) connector_is_ours: bool,
}

/// The part of a source that is in Kafka.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KafkaRoute {
    pub(crate) topic: String,
    pub(crate) partitions: i32,
    /// Replicas of each.
    pub(crate) replicas: usize,
    /// Whether the topic has `LogAppendTime`.
    pub(crate) log_append_time: bool,
    /// Of the path.
    pub(crate) group: String,
}

impl Route {
    /// Prepares topics, group, collection and connectors of a path. The source must be prepared already.
    pub(crate) async fn prepare(
        path: CapturePath,
        round: u32,
        (servers, request, stack): (&ServerClients, &RunRequest, &Stack),
        publications: &[String],
        detail: &(dyn Fn(&str) + Sync),
        cancel: &CancellationToken,
    ) -> Result<Self, Failure> {
        detail("store indexes");
        let store = servers
            .store
            .with_collection(&collection_name(request, path));
        ensure_collection(servers, &store, Some(&request.id)).await?;
        let mut sources = Vec::new();
        for (shard, publication) in request.shards.iter().zip(publications) {
            let place = (path, round, shard);
            let context = (servers, request, stack);
            sources.push(RouteSource::prepare(place, context, publication, detail, cancel).await?);
        }
        Ok(Self {
            path,
            sources,
            store,
        })
    }

    /// What is in Kafka, by the first source: the others differ in the topic alone. `None` on a path without Kafka.
    pub(crate) fn kafka(&self) -> Option<&KafkaRoute> {
        self.in_kafka().next()
    }

    /// What of each source is in Kafka.
    pub(crate) fn in_kafka(&self) -> impl Iterator<Item = &KafkaRoute> {
        self.sources.iter().flat_map(|source| &source.kafka)
    }

    /// The topics that its consumer reads; `None` on a path without Kafka.
    pub(crate) fn topics(&self) -> Option<Topics> {
        let kafka = self.kafka()?;
        let names: Vec<_> = self.in_kafka().map(|kafka| kafka.topic.clone()).collect();
        Some(if names.len() == 1 {
            Topics::one(&*kafka.topic)
        } else {
            Topics::several(names, self.most_partitions())
        })
    }

    /// The numbers that the partitions of all topics take; 0 on a path without Kafka.
    pub(crate) fn partitions(&self) -> i32 {
        self.in_kafka().map(|_| self.most_partitions()).sum()
    }

    /// Of a topic: one that was there may have more than another that was made for the run.
    fn most_partitions(&self) -> i32 {
        let partitions = self.in_kafka().map(|kafka| kafka.partitions);
        partitions.max().unwrap_or(0)
    }

    /// The connectors that are known.
    pub(crate) fn connectors(&self) -> impl Iterator<Item = &ConnectorReport> {
        self.sources.iter().flat_map(|source| &source.connector)
    }

    /// The slots of the processes that capture, where they are known.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &String> {
        self.sources.iter().flat_map(|source| &source.slot)
    }

    pub(crate) fn describe(&self) -> String {
        let sources = self.sources.iter().map(|source| source.describe(self.path));
        sources.collect::<Vec<_>>().join(", ")
    }
}

impl RouteSource {
    async fn prepare(
        (path, round, shard): (CapturePath, u32, Shard),
        (servers, request, stack): (&ServerClients, &RunRequest, &Stack),
        publication: &str,
        detail: &(dyn Fn(&str) + Sync),
        cancel: &CancellationToken,
    ) -> Result<Self, Failure> {
        let id = &request.id;
        let mut source = Self {
            shard,
            publication: publication.to_owned(),
            slot: None,
            observer_slot: None,
            observer_slot_is_permanent: false,
            kafka: None,
            connector: None,
            connector_is_ours: false,
        };
        match path {
            CapturePath::Debezium => {
                detail("connector, until it is RUNNING");
                let exclusive = (stack.exclusive(), stack.is_kept());
                let place = (round, shard);
                let found =
                    provide_connector(servers, request, place, exclusive, publication, cancel)
                        .await?;
                source.kafka = Some(kafka_route(servers, request, path, &found.topic).await?);
                source.slot = found.slot;
                let observer_slot = observer_slot_name(id, shard);
                let outlives_connection = request.breaks_readers() || request.distributed.is_some();
                if request.observer && outlives_connection {
                    let registry = &servers.registry;
                    let kind = ResourceKind::Slot;
                    registry.record(kind, &observer_slot, Some(id)).await?;
                    source.observer_slot_is_permanent = true;
                }
                source.observer_slot = Some(observer_slot);
                source.connector = found.connector;
                source.connector_is_ours = found.ours;
            }
            CapturePath::Wal => {
                let topic = topic_name(&topic_prefix(path, id, shard), shard);
                detail(&format!("topic {topic}"));
                let wanted = WantedTopic {
                    name: &topic,
                    partitions: request.partitions,
                };
                ensure_topic(servers, wanted, Some(id)).await?;
                source.kafka = Some(kafka_route(servers, request, path, &topic).await?);
                source.slot = Some(register_slot(servers, path, id, (round, shard)).await?);
            }
            CapturePath::Embedded => {
                source.slot = Some(register_slot(servers, path, id, (round, shard)).await?);
            }
        }
        Ok(source)
    }

    fn describe(&self, path: CapturePath) -> String {
        let to = match &self.kafka {
            Some(kafka) => format!("topic {}", kafka.topic),
            None => "the consumer".to_owned(),
        };
        match (path, &self.connector) {
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
    (round, shard): (u32, Shard),
) -> Result<String, Failure> {
    let slot = slot_name(path, run, round, shard);
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
