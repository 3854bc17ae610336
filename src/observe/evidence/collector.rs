//! Looks at all parts of the pipeline until the observation is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cdc_bench_model::RunId;
use cdc_bench_model::observation::diagnosis::{ConnectorMetrics, GroupEvidence, ObservedEvidence};
use cdc_bench_stack::{ConnectEndpoint, PostgresEndpoint};
use rdkafka::ClientConfig;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::attribute::Names;
use super::connector::ConnectorWatch;
use super::members::MembersWatch;
use super::metrics::{MetricsAddress, MetricsWatch};
use super::sink::SinkWatch;
use super::sink_connector::SinkConnectorWatch;
use super::slot::{SourceSeen, SourceWatch};
use super::tallies::SharedTallies;
use crate::broker::GroupWatch;
use crate::debezium::ConnectClient;
use crate::observe::discovery::{Pipeline, Sink};
use crate::observe::taps::wal::slot_name;
use crate::pipeline::{Failure, connect_postgres};
use crate::store::MongoStore;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(2);
/// Longest wait for one part.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Debezium's slot, where the connector names none.
const DEFAULT_SLOT: &str = "debezium";

/// What was seen until the end, without the taps' tallies.
pub(in crate::observe) struct Collected {
    pub(super) evidence: ObservedEvidence,
    pub(super) walsender_cpu: Option<Duration>,
    /// Decoded for us, and spilled meanwhile, bytes.
    pub(super) decoded: Option<(u64, u64)>,
}

/// The parts to look at.
pub(in crate::observe) struct EvidenceSources {
    id: RunId,
    connector: Option<String>,
    connect: Option<ConnectEndpoint>,
    config: Option<BTreeMap<String, String>>,
    postgres: PostgresEndpoint,
    kafka: ClientConfig,
    group: Option<String>,
    /// The observed topics, with their partitions.
    topics: Vec<(String, i32)>,
    /// The sink, with its name.
    sink: Option<(MongoStore, String)>,
    metrics: Option<MetricsAddress>,
    is_local: bool,
}

impl EvidenceSources {
    /// Of this pipeline.
    pub(in crate::observe) fn of(
        pipeline: &Pipeline,
        id: &RunId,
        metrics: Option<MetricsAddress>,
    ) -> Self {
        let topics = pipeline.topics.iter();
        let sink = match &pipeline.sink {
            Some(Sink::Mongo(sink)) => Some((sink.store.clone(), sink.server.clone())),
            _ => None,
        };
        Self {
            topics: topics
                .map(|topic| (topic.name.clone(), topic.partitions))
                .collect(),
            sink,
            id: id.clone(),
            connector: pipeline.connector.clone(),
            connect: pipeline.connect.clone(),
            config: pipeline.connector_config.clone(),
            postgres: pipeline.postgres.clone(),
            kafka: pipeline.kafka.clone(),
            group: pipeline.group.clone(),
            metrics,
            is_local: pipeline.shares_clock,
        }
    }
}

/// Looks until it is stopped, or dropped.
pub(in crate::observe) struct EvidenceCollector {
    stop: DropGuard,
    task: JoinHandle<Watches>,
}

struct Watches {
    source: SourceWatch,
    endpoint: PostgresEndpoint,
    connector: Option<ConnectorWatch>,
    metrics: Option<MetricsWatch>,
    members: Option<MembersWatch>,
    sink: Option<SinkWatch>,
    tallies: Arc<SharedTallies>,
}

impl EvidenceCollector {
    /// Looks once, and then again and again.
    ///
    /// # Errors
    /// When PostgreSQL does not answer, or the connector's metrics are not where they were said to be.
    pub(in crate::observe) async fn start(
        sources: &EvidenceSources,
        tallies: Arc<SharedTallies>,
    ) -> Result<Self, Failure> {
        let config = sources.config.as_ref();
        let known = |key: &str| config.and_then(|config| config.get(key)).cloned();
        let slot = config.map(|_| known("slot.name").unwrap_or_else(|| DEFAULT_SLOT.to_owned()));
        let client = connect_postgres(&sources.postgres).await?;
        let ours = slot_name(&sources.id);
        let source = SourceWatch::new(client, slot, ours, sources.is_local).await?;
        let connector = match (&sources.connect, &sources.connector) {
            (Some(endpoint), Some(name)) => Some(ConnectorWatch::new(
                ConnectClient::new(endpoint)?,
                name.clone(),
                SinkConnectorWatch::new(sources.topics.clone(), sources.group.clone()),
            )),
            _ => None,
        };
        let metrics = match (sources.metrics.clone(), &sources.connector) {
            (Some(address), Some(connector)) => {
                let names = Names {
                    prefix: known("topic.prefix").unwrap_or_default(),
                    connector: connector.clone(),
                };
                let opened = MetricsWatch::open(address, names).await;
                Some(opened.map_err(Failure::server)?)
            }
            (Some(_), None) => {
                return Err(Failure::usage(anyhow::anyhow!(
                    "--connect-metrics needs to know the connector: set CONNECT_URL (--connect-url)"
                )));
            }
            (None, _) => None,
        };
        let members = match &sources.group {
            Some(group) => Some(MembersWatch::new(
                GroupWatch::new(&sources.kafka, group)?,
                group.clone(),
            )),
            None => None,
        };
        let sink = sources.sink.clone();
        let mut watches = Watches {
            sink: sink.map(|(store, server)| SinkWatch::new(store, server)),
            source,
            endpoint: sources.postgres.clone(),
            connector,
            metrics,
            members,
            tallies,
        };
        let token = CancellationToken::new();
        let stop = token.clone().drop_guard();
        let task = tokio::spawn(async move {
            loop {
                watches.look().await;
                let pause = tokio::time::sleep(INTERVAL);
                if token.run_until_cancelled(pause).await.is_none() {
                    return watches;
                }
            }
        });
        Ok(Self { stop, task })
    }

    /// Looks for the last time.
    pub(in crate::observe) async fn stop(self) -> Option<Collected> {
        drop(self.stop);
        match self.task.await {
            Ok(mut watches) => {
                watches.look().await;
                Some(watches.seen())
            }
            Err(error) => {
                tracing::warn!(%error, "the evidence was not collected to its end");
                None
            }
        }
    }
}

impl Watches {
    /// Looks at every part; one that does not answer is left for the next time.
    async fn look(&mut self) {
        let requests = &self.tallies.requests;
        let advances = self.tallies.advances.load(Ordering::Relaxed);
        let source = async {
            if self.source.is_closed() {
                match connect_postgres(&self.endpoint).await {
                    Ok(client) => self.source.reconnected(client),
                    Err(error) => return Err(error.to_string()),
                }
            }
            let asked = self.source.look().await;
            requests.fetch_add(*asked.as_ref().unwrap_or(&1), Ordering::Relaxed);
            asked.map(drop).map_err(|error| error.to_string())
        };
        let connector = async {
            match &mut self.connector {
                Some(watch) => watch.look().await.map_err(|error| error.to_string()),
                None => Ok(()),
            }
        };
        let metrics = async {
            match &mut self.metrics {
                Some(watch) => watch.look().await,
                None => Ok(()),
            }
        };
        let members = async {
            match &mut self.members {
                Some(watch) => watch
                    .look(advances)
                    .await
                    .map_err(|error| error.to_string()),
                None => Ok(()),
            }
        };
        let sink = async {
            match &mut self.sink {
                Some(watch) => {
                    let asked = watch.look().await;
                    requests.fetch_add(*asked.as_ref().unwrap_or(&1), Ordering::Relaxed);
                    asked.map(drop).map_err(|error| error.to_string())
                }
                None => Ok(()),
            }
        };
        let ((), (), (), (), ()) = tokio::join!(
            within("PostgreSQL", source, None),
            within("Kafka Connect", connector, Some(requests)),
            within("the connector's metrics", metrics, Some(requests)),
            within("the consumer group", members, Some(requests)),
            within("the sink", sink, None),
        );
    }

    fn seen(self) -> Collected {
        let SourceSeen {
            slot,
            long,
            walsender_cpu,
            decoded,
        } = self.source.seen();
        let connectors = self.connector.map(ConnectorWatch::seen);
        let (connector, sink_connector) = connectors.unwrap_or_default();
        let metrics: Option<ConnectorMetrics> = self.metrics.map(|watch| watch.seen());
        let group: Option<GroupEvidence> = self.members.map(MembersWatch::seen);
        Collected {
            evidence: ObservedEvidence {
                connector,
                metrics,
                slot,
                long_transaction: long,
                group,
                sink: self.sink.map(SinkWatch::seen),
                sink_connector,
                ..ObservedEvidence::default()
            },
            walsender_cpu,
            decoded,
        }
    }
}

/// Waits for a look no longer than it may take.
async fn within(
    part: &str,
    look: impl Future<Output = Result<(), String>>,
    requests: Option<&AtomicU64>,
) {
    if let Some(requests) = requests {
        requests.fetch_add(1, Ordering::Relaxed);
    }
    match tokio::time::timeout(TIMEOUT, look).await {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => tracing::debug!(part, reason, "no evidence this time"),
        Err(_) => tracing::debug!(part, "no evidence in time"),
    }
}
