//! The workers of a path: our reader, the consumer, and the connector watch.

use std::sync::Arc;

use cdc_bench_model::timeline::{CapturePath, Clock};
use pgcdc::ReaderHandle;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::broker::{
    Backlog, KafkaSource, KafkaSourceConfig, Publisher, Rebalances, fetch_settings,
};
use crate::consumer::{ConsumerStage, DeadLetterTopic, DeadLetters, StageEnd, StageError};
use crate::pipeline::failure::{Failure, exit};
use crate::pipeline::monitor::connector_watch::ConnectorWatch;
use crate::pipeline::monitor::threads;
use crate::pipeline::monitor::threads::{OwnThreads, Role};
use crate::pipeline::provision::route::{KafkaRoute, Route};
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::request::RunRequest;
use crate::pipeline::run::observer::PathObserver;
use crate::pipeline::run::stage_setup::stage_config;
use crate::pipeline::run::wal_sinks::{ChannelSource, SentRecord, WalSinks};
use crate::records::{RecordBatch, RecordSource};

/// The reader and the consumer of one path.
pub(crate) struct Workers {
    /// `None` without an observer.
    reader: Option<ReaderHandle>,
    publisher: Option<Arc<Publisher<SentRecord>>>,
    stage: JoinHandle<(WorkerSource, Result<StageEnd, StageError>)>,
    /// Stops the consumer when dropped.
    stop_stage: DropGuard,
    connector_watch: ConnectorWatch,
    /// Our threads that work for this path alone.
    pub(crate) threads: OwnThreads,
    /// Rebalances of the consumer group.
    pub(crate) rebalances: Rebalances,
    /// The consumer's lag on its topic; `None` without Kafka.
    pub(crate) backlog: Option<Backlog>,
}

/// Record source of a path's consumer.
enum WorkerSource {
    Kafka(KafkaSource),
    Channel(ChannelSource),
}

impl RecordSource for WorkerSource {
    async fn recv(&mut self) -> Option<RecordBatch> {
        match self {
            Self::Kafka(source) => source.recv().await,
            Self::Channel(source) => source.recv().await,
        }
    }

    fn written(&mut self, partition: i32, offset: i64) {
        match self {
            Self::Kafka(source) => source.written(partition, offset),
            Self::Channel(source) => source.written(partition, offset),
        }
    }
}

impl Workers {
    /// Starts our reader and the consumer.
    pub(crate) async fn start(
        request: &RunRequest,
        servers: &ServerClients,
        route: &Route,
        observer: &Arc<PathObserver>,
        dead_letter_topic: Option<Arc<dyn DeadLetterTopic>>,
        clock: Clock,
    ) -> Result<Self, Failure> {
        let threads = OwnThreads::default();
        let sinks = WalSinks {
            servers,
            route,
            run: &request.id,
            observer,
            threads: &threads,
            clock,
        };
        let mut publisher = None;
        let mut rebalances = Rebalances::default();
        let mut backlog = None;
        // The consumer first: it must have its offsets before anything is published.
        let (reader, source) = match &route.kafka {
            Some(kafka) => {
                let records = subscribe(request, servers, kafka, &threads, clock).await?;
                rebalances = records.rebalances();
                backlog = Some(records.backlog());
                let reader = match route.path {
                    CapturePath::Wal => {
                        let before = threads::present();
                        let (reader, producer) = sinks
                            .start_publisher(&servers.kafka_config, &kafka.topic)
                            .await?;
                        threads.adopt(Role::Producer, &before);
                        publisher = Some(producer);
                        Some(reader)
                    }
                    _ if request.observer => Some(sinks.start_observer().await?),
                    _ => None,
                };
                (reader, WorkerSource::Kafka(records))
            }
            None => {
                let (reader, channel) = sinks.start_embedded().await?;
                (Some(reader), WorkerSource::Channel(channel))
            }
        };
        let dead_letters = DeadLetters::at(request.folder.file("dead-letters.jsonl"))
            .with_topic(dead_letter_topic);
        let topic = route.kafka.as_ref().map_or("", |kafka| &kafka.topic);
        let stage = ConsumerStage::new(
            source,
            route.store.clone(),
            Arc::clone(observer) as Arc<_>,
            dead_letters,
            stage_config(topic, &request.settings),
            clock,
        );
        let stop_stage = CancellationToken::new();
        let stage = tokio::spawn(stage.run(stop_stage.clone()));
        let connector_watch =
            ConnectorWatch::start(servers, route.connector.as_ref(), route.connector_is_ours);
        Ok(Self {
            reader,
            publisher,
            stage,
            stop_stage: stop_stage.drop_guard(),
            connector_watch,
            threads,
            rebalances,
            backlog,
        })
    }

    /// Fails if one of the workers has stopped.
    pub(crate) async fn check(&mut self) -> Result<(), Failure> {
        if let Some(error) = self
            .publisher
            .as_ref()
            .and_then(|producer| producer.failure())
        {
            return Err(Failure::from(error).context("our producer stopped"));
        }
        if let Some(error) = self.reader.as_ref().and_then(ReaderHandle::error) {
            return Err(Failure::from(error).context("our WAL reader stopped"));
        }
        if self.stage.is_finished() {
            let (_, end) = (&mut self.stage).await.map_err(|panicked| {
                Failure::new(exit::DATA, panicked).context("the consumer stopped")
            })?;
            return match end {
                Err(error) => Err(Failure::from(error).context("the consumer stopped")),
                Ok(_) => Err(Failure::new(
                    exit::DATA,
                    anyhow::anyhow!("the consumer ended before the events did"),
                )),
            };
        }
        Ok(())
    }

    /// Stops reader and consumer. The times of the connector's restarts.
    pub(crate) async fn stop(
        self,
        observer: &PathObserver,
    ) -> Result<Vec<jiff::Timestamp>, Failure> {
        let Self {
            reader,
            publisher,
            stage,
            stop_stage,
            connector_watch,
            ..
        } = self;
        drop(stop_stage);
        match stage.await {
            Ok((source, end)) => {
                // A reader that waits for room in the channel continues once its receiver is dropped.
                if let WorkerSource::Kafka(source) = source {
                    source.close().await;
                }
                end.map_err(|error| Failure::from(error).context("the consumer stopped"))?;
            }
            Err(panicked) => {
                return Err(Failure::new(exit::DATA, panicked).context("the consumer stopped"));
            }
        }
        let restarts = connector_watch.stop().await;
        let stopped = tokio::task::spawn_blocking(move || {
            let stats = reader.map(ReaderHandle::stop);
            (stats, publisher.map(|producer| producer.flush()))
        });
        match stopped.await {
            Ok((stats, flushed)) => {
                match stats {
                    Some(Ok(stats)) => tracing::info!(?stats, "WAL reader stopped"),
                    None => {}
                    Some(Err(error)) => {
                        tracing::warn!(%error, "our WAL reader did not stop cleanly")
                    }
                }
                if let Some(Err(error)) = flushed {
                    tracing::warn!(%error, "our producer did not stop cleanly");
                }
            }
            Err(panicked) => tracing::warn!(%panicked, "our WAL reader did not stop cleanly"),
        }
        observer.close();
        Ok(restarts)
    }
}

async fn subscribe(
    request: &RunRequest,
    servers: &ServerClients,
    kafka: &KafkaRoute,
    threads: &OwnThreads,
    clock: Clock,
) -> Result<KafkaSource, Failure> {
    let config = KafkaSourceConfig {
        topic: kafka.topic.clone(),
        group: kafka.group.clone(),
        from_end: true,
        fetch: fetch_settings(&request.settings.fetch),
    };
    let before = threads::present();
    let records = KafkaSource::subscribe(&servers.kafka_config, config, clock).await?;
    threads.adopt(Role::Receiver, &before);
    Ok(records)
}
