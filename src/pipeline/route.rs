//! The route of a capture path: what it is called on the servers, made ready there.

use tokio_util::sync::CancellationToken;

use super::connector;
use super::{Failure, Kind, RunRequest, Servers};
use crate::broker::BrokerError;
use crate::store::{COLLECTION, MongoStore};
use cdc_bench_model::RunId;
use cdc_bench_model::event::{SCHEMA, TABLE};
use cdc_bench_model::report::ConnectorReport;
use cdc_bench_model::timeline::CapturePath;
use cdc_bench_stack::Stack;

/// One path's way through the servers.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) path: CapturePath,
    /// Publication of the outbox.
    pub(super) publication: String,
    /// The slot of what captures, where it is known.
    pub(super) slot: Option<String>,
    /// The slot of our reader where it looks on. It is temporary: gone with its connection, whatever happens to us, so that
    /// it can never fill a disk.
    pub(super) observer_slot: Option<String>,
    /// `None` where no Kafka is in between.
    pub(super) kafka: Option<KafkaRoute>,
    /// The connector, secrets hidden, where the path has one that is known.
    pub(super) connector: Option<ConnectorReport>,
    /// Whether that is ours.
    pub(super) connector_is_ours: bool,
    /// The store, at the path's own collection.
    pub(super) store: MongoStore,
}

/// A path's part of Kafka.
#[derive(Debug, Clone)]
pub(super) struct KafkaRoute {
    pub(super) topic: String,
    pub(super) partitions: i32,
    /// Whether the topic's timestamps are the broker's.
    pub(super) log_append_time: bool,
    pub(super) group: String,
}

impl Route {
    /// Makes topic, group, collection and connector of a path ready. The source is ready already.
    pub(super) async fn prepare(
        path: CapturePath,
        round: u32,
        (servers, request, stack): (&Servers, &RunRequest, &Stack),
        publication: &str,
        detail: &(dyn Fn(&str) + Sync),
        cancel: &CancellationToken,
    ) -> Result<Self, Failure> {
        let id = &request.id;
        detail("store indexes");
        let store = servers.store.with_collection(&collection(request, path));
        ensure_collection(servers, &store).await?;
        let mut route = Self {
            path,
            publication: publication.to_owned(),
            slot: None,
            observer_slot: None,
            kafka: None,
            connector: None,
            connector_is_ours: false,
            store,
        };
        match path {
            CapturePath::Debezium => {
                detail("connector, until it is RUNNING");
                let exclusive = stack.exclusive();
                let found =
                    connector::provide(servers, request, round, exclusive, publication, cancel)
                        .await?;
                route.kafka = Some(kafka(servers, request, path, &found.topic).await?);
                route.slot = found.slot;
                route.observer_slot = Some(format!("cdc_bench_reader_{}", id.as_identifier()));
                route.connector = found.connector;
                route.connector_is_ours = found.ours;
            }
            CapturePath::Wal => {
                let topic = format!("{}.{SCHEMA}.{TABLE}", topic_prefix(path, id));
                detail(&format!("topic {topic}"));
                ensure_topic(servers, &topic, Some(id)).await?;
                route.kafka = Some(kafka(servers, request, path, &topic).await?);
                route.slot = Some(own_slot(servers, path, id, round).await?);
            }
            CapturePath::Embedded => {
                route.slot = Some(own_slot(servers, path, id, round).await?);
            }
        }
        Ok(route)
    }

    pub(super) fn describe(&self) -> String {
        let to = match &self.kafka {
            Some(kafka) => format!("topic {}", kafka.topic),
            None => "the consumer".to_owned(),
        };
        match (self.path, &self.connector) {
            (CapturePath::Debezium, Some(connector)) => {
                format!("connector {} -> {to}", connector.name)
            }
            (CapturePath::Debezium, None) => {
                format!("{to} (fed by what is not known: no CONNECT_URL)")
            }
            (CapturePath::Wal | CapturePath::Embedded, _) => format!("our reader -> {to}"),
        }
    }
}

/// First part of the topic's name on a path of ours.
pub(super) fn topic_prefix(path: CapturePath, run: &RunId) -> String {
    format!("cdc_bench_{path}_{}", run.as_identifier())
}

/// The slot of a path in one round.
pub(super) fn slot_name(path: CapturePath, run: &RunId, round: u32) -> String {
    let run = run.as_identifier();
    match round {
        0 => format!("cdc_bench_{path}_{run}"),
        round => format!("cdc_bench_{path}_{run}_{round}"),
    }
}

/// The slot of a reader of ours that is no observer. The reader makes it, and it outlives a connection that breaks.
async fn own_slot(
    servers: &Servers,
    path: CapturePath,
    run: &RunId,
    round: u32,
) -> Result<String, Failure> {
    let slot = slot_name(path, run, round);
    servers.ledger.record(Kind::Slot, &slot, Some(run)).await?;
    Ok(slot)
}

async fn kafka(
    servers: &Servers,
    request: &RunRequest,
    path: CapturePath,
    topic: &str,
) -> Result<KafkaRoute, Failure> {
    let settings = &request.settings;
    // The first path has the name that the user knows.
    let suffix = if request.paths.first() == Some(&path) {
        String::new()
    } else {
        format!("-{path}")
    };
    let group = if settings.group_is_given {
        format!("{}{suffix}", settings.group)
    } else {
        // A group of its own, so that no other run or consumer takes a part of the events.
        format!("{}-{}{suffix}", settings.group, request.id)
    };
    if !settings.group_is_given || !suffix.is_empty() {
        servers
            .ledger
            .record(Kind::Group, &group, Some(&request.id))
            .await?;
    }
    let state = servers.kafka.topic(topic).await?;
    let state = state.ok_or_else(|| BrokerError::NoTopic {
        topic: topic.to_owned(),
        bootstrap: servers.endpoints.kafka.bootstrap.clone(),
    })?;
    Ok(KafkaRoute {
        topic: topic.to_owned(),
        partitions: state.partitions,
        log_append_time: state.log_append_time.unwrap_or(false),
        group,
    })
}

/// The first path writes where every other command looks; each of the others has a collection beside it.
fn collection(request: &RunRequest, path: CapturePath) -> String {
    if request.paths.first() == Some(&path) {
        COLLECTION.to_owned()
    } else {
        format!("{COLLECTION}_{path}")
    }
}

/// Makes the collection and its indexes, and keeps in the ledger that we did.
pub(crate) async fn ensure_collection(
    servers: &Servers,
    store: &MongoStore,
) -> Result<(), Failure> {
    let name = store.collection();
    let fresh = servers.ledger.record(Kind::Collection, name, None).await?;
    let made = store.ensure_indexes().await?;
    if fresh && !made {
        // It was there before us: it is not ours to remove.
        servers.ledger.forget(Kind::Collection, name).await?;
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
