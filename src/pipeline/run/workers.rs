//! The workers of a path: our readers, the consumer, and the connector watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cdc_bench_model::timeline::{CapturePath, Clock};
use futures_util::future::join_all;

use crate::broker::{
    Backlog, KafkaSource, KafkaSourceConfig, MemberSession, Rebalance, Rebalances, fetch_settings,
};
use crate::consumer::{DeadLetterTopic, DeadLetters, StageConfig};
use crate::pipeline::failure::Failure;
use crate::pipeline::faults::ProcessAction;
use crate::pipeline::monitor::connector_watch::ConnectorWatch;
use crate::pipeline::monitor::threads;
use crate::pipeline::monitor::threads::{OwnThreads, Role};
use crate::pipeline::provision::route::{KafkaRoute, Route, RouteSource};
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::request::RunRequest;
use crate::pipeline::run::capture_worker::{CaptureWorker, captures};
use crate::pipeline::run::consumer_worker::{ConsumerWorker, WorkerSource};
use crate::pipeline::run::gate::{Gate, GateState};
use crate::pipeline::run::links::Links;
use crate::pipeline::run::observer::PathObserver;
use crate::pipeline::run::stage_setup::{StageParts, stage_config};
use crate::pipeline::run::wal_sinks::WalSinks;
use crate::records::Topics;

/// What the workers of a path are started with, the first time and after a fault.
#[derive(Clone, Copy)]
pub(crate) struct WorkerSetup<'a> {
    pub(crate) request: &'a RunRequest,
    pub(crate) servers: &'a ServerClients,
    pub(crate) links: &'a Links,
    pub(crate) route: &'a Route,
    pub(crate) observer: &'a Arc<PathObserver>,
    /// What of the path's work is done in this process.
    pub(crate) here: Here,
    /// Where dead letters go beside their file.
    pub(crate) dead_letters: &'a Option<Arc<dyn DeadLetterTopic>>,
    pub(crate) clock: Clock,
    /// Of the consumer in its group.
    pub(crate) session: MemberSession,
}

/// The part of a path's work that is done in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Here {
    All,
    /// Another process may capture.
    Consumer,
    /// Others do it, and begin where this process says.
    Preparation,
    /// Others do it.
    Nothing,
}

/// The readers and the consumer of one path.
pub(crate) struct Workers {
    /// `None` while a fault has taken it away. Dropped before the readers, which may wait for room in its queue.
    consumer: Option<ConsumerWorker>,
    /// One of each source; none without an observer, and while a fault has taken them away.
    readers: Vec<CaptureWorker>,
    /// Measured rows that the reader of each source has decoded.
    captured: Vec<Arc<AtomicU64>>,
    connector_watches: Vec<ConnectorWatch>,
    /// Our threads that work for this path alone.
    pub(crate) threads: OwnThreads,
    rebalances: Rebalances,
    /// Rebalances of consumers that a fault has ended.
    earlier_rebalances: Vec<Rebalance>,
    /// The consumer's lag on its topics; `None` without Kafka.
    pub(crate) backlog: Option<Backlog>,
}

impl Workers {
    /// Starts our readers and the consumer.
    pub(crate) async fn start(setup: WorkerSetup<'_>) -> Result<Self, Failure> {
        let route = setup.route;
        let watches = route.sources.iter().map(|source| {
            let connector = source.connector.as_ref();
            ConnectorWatch::start(setup.servers, connector, source.connector_is_ours)
        });
        let mut workers = Self {
            readers: Vec::new(),
            captured: route.sources.iter().map(|_| Arc::default()).collect(),
            consumer: None,
            connector_watches: watches.collect(),
            threads: OwnThreads::default(),
            rebalances: Rebalances::default(),
            earlier_rebalances: Vec::new(),
            backlog: None,
        };
        // The consumer first: it must have its offsets before anything is published.
        match &route.kafka() {
            _ if setup.here == Here::Nothing => {}
            Some(kafka) if setup.here == Here::Preparation => {
                let config = &setup.servers.kafka_config;
                let (topics, group) = (Topics::one(&*kafka.topic), &kafka.group);
                KafkaSource::begin_group_at_end(config, &topics, group, setup.clock).await?;
            }
            Some(kafka) => {
                // A run that is taken up again goes on where its group is, and so does one of several workers.
                let from_end = setup.request.resumption.is_none() && setup.here == Here::All;
                workers.consume(setup, kafka, from_end).await?;
                if setup.here == Here::All {
                    workers.readers = workers.start_readers(setup).await?;
                }
            }
            None => workers.start_embedded(setup).await?,
        }
        Ok(workers)
    }

    /// Starts our readers, or ends them, as another worker captures.
    pub(crate) async fn capture(
        &mut self,
        setup: WorkerSetup<'_>,
        captures: bool,
    ) -> Result<(), Failure> {
        if !captures {
            stop_all(std::mem::take(&mut self.readers)).await;
        } else if self.readers.is_empty() {
            self.readers = self.start_readers(setup).await?;
        }
        Ok(())
    }

    /// Fails if one of the workers has stopped by itself.
    pub(crate) async fn check(&mut self) -> Result<(), Failure> {
        self.readers.iter().try_for_each(CaptureWorker::check)?;
        match &mut self.consumer {
            Some(consumer) => consumer.check().await,
            None => Ok(()),
        }
    }

    /// Stops readers and consumer. The times of the connectors' restarts.
    pub(crate) async fn stop(
        self,
        observer: &PathObserver,
    ) -> Result<Vec<jiff::Timestamp>, Failure> {
        if let Some(consumer) = self.consumer {
            consumer.stop().await?;
        }
        let mut restarts = Vec::new();
        for watch in self.connector_watches {
            restarts.extend(watch.stop().await);
        }
        restarts.sort();
        stop_all(self.readers).await;
        observer.close();
        Ok(restarts)
    }

    /// Measured rows that the reader of each source has decoded.
    pub(crate) fn captured(&self) -> Vec<u64> {
        let counts = self.captured.iter();
        counts.map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// Rebalances of the consumer group so far.
    pub(crate) fn rebalances(&self) -> Vec<Rebalance> {
        let mut all = self.earlier_rebalances.clone();
        all.extend(self.rebalances.so_far());
        all
    }

    /// Takes the consumer away. Where there is no Kafka, the reader is in the same process and goes with it.
    pub(crate) async fn take_consumer_away(
        &mut self,
        action: ProcessAction,
        route: &Route,
    ) -> Result<(), Failure> {
        if route.kafka().is_none() && action != ProcessAction::Pause {
            return self.take_embedded_away(action).await;
        }
        match (action, self.consumer.take()) {
            (ProcessAction::Pause, Some(consumer)) => {
                consumer.gate.set(GateState::Shut);
                self.consumer = Some(consumer);
                Ok(())
            }
            (ProcessAction::Kill, Some(consumer)) => {
                consumer.kill().await;
                Ok(())
            }
            (ProcessAction::Stop | ProcessAction::Restart, Some(consumer)) => consumer.stop().await,
            (_, None) => Ok(()),
        }
    }

    /// Takes our reader away where it captures.
    pub(crate) async fn take_reader_away(
        &mut self,
        action: ProcessAction,
        route: &Route,
    ) -> Result<(), Failure> {
        if !captures(route.path) {
            return Ok(());
        }
        if route.kafka().is_none() && action != ProcessAction::Pause {
            return self.take_embedded_away(action).await;
        }
        match action {
            ProcessAction::Pause => {
                let readers = self.readers.iter();
                readers.for_each(|reader| reader.gate.set(GateState::Shut));
            }
            ProcessAction::Kill => kill_all(std::mem::take(&mut self.readers)).await,
            ProcessAction::Stop | ProcessAction::Restart => {
                stop_all(std::mem::take(&mut self.readers)).await;
            }
        }
        Ok(())
    }

    async fn take_embedded_away(&mut self, action: ProcessAction) -> Result<(), Failure> {
        let (consumer, readers) = (self.consumer.take(), std::mem::take(&mut self.readers));
        if action == ProcessAction::Kill {
            if let Some(consumer) = consumer {
                consumer.kill().await;
            }
            kill_all(readers).await;
            return Ok(());
        }
        if let Some(consumer) = consumer {
            consumer.stop().await?;
        }
        stop_all(readers).await;
        Ok(())
    }

    /// Brings back whatever a fault has taken away.
    pub(crate) async fn bring_back(&mut self, setup: WorkerSetup<'_>) -> Result<(), Failure> {
        for gate in self.gates() {
            gate.set(GateState::Open);
        }
        match setup.route.kafka() {
            Some(kafka) => {
                if self.consumer.is_none() {
                    self.consume(setup, kafka, false).await?;
                }
                if self.readers.is_empty() {
                    self.readers = self.start_readers(setup).await?;
                }
            }
            None if self.consumer.is_none() => self.start_embedded(setup).await?,
            None => {}
        }
        Ok(())
    }

    fn gates(&self) -> impl Iterator<Item = &Gate> {
        let consumer = self.consumer.as_ref().map(|consumer| &consumer.gate);
        let readers = self.readers.iter().map(|reader| &reader.gate);
        consumer.into_iter().chain(readers)
    }

    /// Starts the consumer of the topics: at their ends, or where its group is.
    async fn consume(
        &mut self,
        setup: WorkerSetup<'_>,
        kafka: &KafkaRoute,
        from_end: bool,
    ) -> Result<(), Failure> {
        let config = KafkaSourceConfig {
            topics: topics_of(setup.route),
            group: kafka.group.clone(),
            from_end,
            fetch: fetch_settings(&setup.request.settings.fetch),
            session: setup.session,
        };
        let kafka = setup.links.kafka_of_consumer(&setup.servers.kafka_config);
        let before = threads::present();
        let records = KafkaSource::subscribe(&kafka, config, setup.clock).await?;
        self.threads.adopt(Role::Receiver, &before);
        self.earlier_rebalances.extend(self.rebalances.so_far());
        self.rebalances = records.rebalances();
        self.backlog = Some(records.backlog());
        self.consumer = Some(self.start_stage(setup, WorkerSource::Kafka(records))?);
        Ok(())
    }

    /// Starts our readers beside or before Kafka; none where nobody observes.
    async fn start_readers(&self, setup: WorkerSetup<'_>) -> Result<Vec<CaptureWorker>, Failure> {
        let mut readers = Vec::new();
        for source in setup.route.sources.iter().zip(&self.captured) {
            readers.extend(self.start_reader(setup, source).await?);
        }
        Ok(readers)
    }

    async fn start_reader(
        &self,
        setup: WorkerSetup<'_>,
        (source, captured): (&RouteSource, &Arc<AtomicU64>),
    ) -> Result<Option<CaptureWorker>, Failure> {
        let gate = Gate::default();
        let sinks = self.sinks(setup, (source, captured), &gate);
        let (reader, publisher) = match (&source.kafka, setup.route.path) {
            (Some(kafka), CapturePath::Wal) => {
                let config = setup.links.kafka_of_reader(&setup.servers.kafka_config);
                let before = threads::present();
                let (reader, producer) = sinks.start_publisher(&config, &kafka.topic).await?;
                self.threads.adopt(Role::Producer, &before);
                (reader, Some(producer))
            }
            _ if setup.request.observer => (sinks.start_observer().await?, None),
            _ => return Ok(None),
        };
        Ok(Some(CaptureWorker::new(reader, publisher, gate)))
    }

    /// Starts reader and consumer in one process.
    async fn start_embedded(&mut self, setup: WorkerSetup<'_>) -> Result<(), Failure> {
        let gate = Gate::default();
        // Without Kafka there is one.
        let (Some(source), Some(captured)) = (setup.route.sources.first(), self.captured.first())
        else {
            return Ok(());
        };
        let sinks = self.sinks(setup, (source, captured), &gate);
        let (reader, channel) = sinks.start_embedded().await?;
        self.readers = vec![CaptureWorker::new(reader, None, gate)];
        self.consumer = Some(self.start_stage(setup, WorkerSource::Channel(channel))?);
        Ok(())
    }

    fn start_stage(
        &self,
        setup: WorkerSetup<'_>,
        source: WorkerSource,
    ) -> Result<ConsumerWorker, Failure> {
        let (request, route) = (setup.request, setup.route);
        let dead_letters = DeadLetters::at(request.folder.file("dead-letters.jsonl"));
        let parts = StageParts {
            store: route.store.clone(),
            observer: Arc::clone(setup.observer) as Arc<_>,
            dead_letters: dead_letters.with_topic(setup.dead_letters.clone()),
            config: StageConfig {
                store_outage: request.longest_silence(),
                ..stage_config(topics_of(route), &request.settings)
            },
            clock: setup.clock,
        };
        ConsumerWorker::start(source, parts, self.threads.clone())
    }

    fn sinks<'a>(
        &'a self,
        setup: WorkerSetup<'a>,
        (source, captured): (&'a RouteSource, &'a Arc<AtomicU64>),
        gate: &'a Gate,
    ) -> WalSinks<'a> {
        WalSinks {
            servers: setup.servers,
            links: setup.links,
            path: setup.route.path,
            source,
            run: &setup.request.id,
            observer: setup.observer,
            threads: &self.threads,
            gate,
            captured,
            by_aggregate: setup.request.partitions.is_some(),
            clock: setup.clock,
        }
    }
}

/// Without Kafka the records of our reader are those of a topic without a name.
fn topics_of(route: &Route) -> Topics {
    route.topics().unwrap_or_else(|| Topics::one(""))
}

/// What each has taken is delivered when this returns.
async fn stop_all(readers: Vec<CaptureWorker>) {
    join_all(readers.into_iter().map(CaptureWorker::stop)).await;
}

async fn kill_all(readers: Vec<CaptureWorker>) {
    join_all(readers.into_iter().map(CaptureWorker::kill)).await;
}
