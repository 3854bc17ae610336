//! The workers of a path: our reader, the consumer, and the connector watch.

use std::sync::Arc;

use cdc_bench_model::timeline::{CapturePath, Clock};

use crate::broker::{
    Backlog, KafkaSource, KafkaSourceConfig, MemberSession, Rebalance, Rebalances, fetch_settings,
};
use crate::consumer::{DeadLetterTopic, DeadLetters, StageConfig};
use crate::pipeline::failure::Failure;
use crate::pipeline::faults::ProcessAction;
use crate::pipeline::monitor::connector_watch::ConnectorWatch;
use crate::pipeline::monitor::threads;
use crate::pipeline::monitor::threads::{OwnThreads, Role};
use crate::pipeline::provision::route::{KafkaRoute, Route};
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::request::RunRequest;
use crate::pipeline::run::capture_worker::{CaptureWorker, captures};
use crate::pipeline::run::consumer_worker::{ConsumerWorker, WorkerSource};
use crate::pipeline::run::gate::{Gate, GateState};
use crate::pipeline::run::links::Links;
use crate::pipeline::run::observer::PathObserver;
use crate::pipeline::run::stage_setup::stage_config;
use crate::pipeline::run::wal_sinks::WalSinks;

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

/// The reader and the consumer of one path.
pub(crate) struct Workers {
    /// `None` while a fault has taken it away. Dropped before the reader, which may wait for room in its queue.
    consumer: Option<ConsumerWorker>,
    /// `None` without an observer, and while a fault has taken it away.
    reader: Option<CaptureWorker>,
    connector_watch: ConnectorWatch,
    /// Our threads that work for this path alone.
    pub(crate) threads: OwnThreads,
    rebalances: Rebalances,
    /// Rebalances of consumers that a fault has ended.
    earlier_rebalances: Vec<Rebalance>,
    /// The consumer's lag on its topic; `None` without Kafka.
    pub(crate) backlog: Option<Backlog>,
}

impl Workers {
    /// Starts our reader and the consumer.
    pub(crate) async fn start(setup: WorkerSetup<'_>) -> Result<Self, Failure> {
        let route = setup.route;
        let mut workers = Self {
            reader: None,
            consumer: None,
            connector_watch: ConnectorWatch::start(
                setup.servers,
                route.connector.as_ref(),
                route.connector_is_ours,
            ),
            threads: OwnThreads::default(),
            rebalances: Rebalances::default(),
            earlier_rebalances: Vec::new(),
            backlog: None,
        };
        // The consumer first: it must have its offsets before anything is published.
        match &route.kafka {
            _ if setup.here == Here::Nothing => {}
            Some(kafka) if setup.here == Here::Preparation => {
                let config = &setup.servers.kafka_config;
                let (topic, group) = (&kafka.topic, &kafka.group);
                KafkaSource::begin_group_at_end(config, topic, group, setup.clock).await?;
            }
            Some(kafka) => {
                // A run that is taken up again goes on where its group is, and so does one of several workers.
                let from_end = setup.request.resumption.is_none() && setup.here == Here::All;
                workers.consume(setup, kafka, from_end).await?;
                if setup.here == Here::All {
                    workers.reader = workers.start_reader(setup).await?;
                }
            }
            None => workers.start_embedded(setup).await?,
        }
        Ok(workers)
    }

    /// Starts our reader, or ends it, as another worker captures.
    pub(crate) async fn capture(
        &mut self,
        setup: WorkerSetup<'_>,
        captures: bool,
    ) -> Result<(), Failure> {
        match (captures, self.reader.take()) {
            (true, None) => self.reader = self.start_reader(setup).await?,
            (true, reader) => self.reader = reader,
            (false, Some(reader)) => reader.stop().await,
            (false, None) => {}
        }
        Ok(())
    }

    /// Fails if one of the workers has stopped by itself.
    pub(crate) async fn check(&mut self) -> Result<(), Failure> {
        self.reader.as_ref().map_or(Ok(()), CaptureWorker::check)?;
        match &mut self.consumer {
            Some(consumer) => consumer.check().await,
            None => Ok(()),
        }
    }

    /// Stops reader and consumer. The times of the connector's restarts.
    pub(crate) async fn stop(
        self,
        observer: &PathObserver,
    ) -> Result<Vec<jiff::Timestamp>, Failure> {
        if let Some(consumer) = self.consumer {
            consumer.stop().await?;
        }
        let restarts = self.connector_watch.stop().await;
        if let Some(reader) = self.reader {
            reader.stop().await;
        }
        observer.close();
        Ok(restarts)
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
        if route.kafka.is_none() && action != ProcessAction::Pause {
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
        if route.kafka.is_none() && action != ProcessAction::Pause {
            return self.take_embedded_away(action).await;
        }
        match (action, self.reader.take()) {
            (ProcessAction::Pause, Some(reader)) => {
                reader.gate.set(GateState::Shut);
                self.reader = Some(reader);
            }
            (ProcessAction::Kill, Some(reader)) => reader.kill().await,
            (ProcessAction::Stop | ProcessAction::Restart, Some(reader)) => reader.stop().await,
            (_, None) => {}
        }
        Ok(())
    }

    async fn take_embedded_away(&mut self, action: ProcessAction) -> Result<(), Failure> {
        let (consumer, reader) = (self.consumer.take(), self.reader.take());
        if action == ProcessAction::Kill {
            if let Some(consumer) = consumer {
                consumer.kill().await;
            }
            if let Some(reader) = reader {
                reader.kill().await;
            }
            return Ok(());
        }
        if let Some(consumer) = consumer {
            consumer.stop().await?;
        }
        if let Some(reader) = reader {
            reader.stop().await;
        }
        Ok(())
    }

    /// Brings back whatever a fault has taken away.
    pub(crate) async fn bring_back(&mut self, setup: WorkerSetup<'_>) -> Result<(), Failure> {
        for gate in self.gates() {
            gate.set(GateState::Open);
        }
        match &setup.route.kafka {
            Some(kafka) => {
                if self.consumer.is_none() {
                    self.consume(setup, kafka, false).await?;
                }
                if self.reader.is_none() {
                    self.reader = self.start_reader(setup).await?;
                }
            }
            None if self.consumer.is_none() => self.start_embedded(setup).await?,
            None => {}
        }
        Ok(())
    }

    fn gates(&self) -> impl Iterator<Item = &Gate> {
        let consumer = self.consumer.as_ref().map(|consumer| &consumer.gate);
        let reader = self.reader.as_ref().map(|reader| &reader.gate);
        consumer.into_iter().chain(reader)
    }

    /// Starts the consumer of a topic: at its end, or where its group is.
    async fn consume(
        &mut self,
        setup: WorkerSetup<'_>,
        kafka: &KafkaRoute,
        from_end: bool,
    ) -> Result<(), Failure> {
        let config = KafkaSourceConfig {
            topic: kafka.topic.clone(),
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
        self.consumer = Some(start_stage(setup, WorkerSource::Kafka(records)));
        Ok(())
    }

    /// Starts our reader beside or before Kafka; none where nobody observes.
    async fn start_reader(&self, setup: WorkerSetup<'_>) -> Result<Option<CaptureWorker>, Failure> {
        let gate = Gate::default();
        let sinks = self.sinks(setup, &gate);
        let (reader, publisher) = match (&setup.route.kafka, setup.route.path) {
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
        let (reader, channel) = self.sinks(setup, &gate).start_embedded().await?;
        self.reader = Some(CaptureWorker::new(reader, None, gate));
        self.consumer = Some(start_stage(setup, WorkerSource::Channel(channel)));
        Ok(())
    }

    fn sinks<'a>(&'a self, setup: WorkerSetup<'a>, gate: &'a Gate) -> WalSinks<'a> {
        WalSinks {
            servers: setup.servers,
            links: setup.links,
            route: setup.route,
            run: &setup.request.id,
            observer: setup.observer,
            threads: &self.threads,
            gate,
            by_aggregate: setup.request.partitions.is_some(),
            clock: setup.clock,
        }
    }
}

fn start_stage(setup: WorkerSetup<'_>, source: WorkerSource) -> ConsumerWorker {
    let (request, route) = (setup.request, setup.route);
    let topic = route.kafka.as_ref().map_or("", |kafka| &kafka.topic);
    let dead_letters = DeadLetters::at(request.folder.file("dead-letters.jsonl"));
    ConsumerWorker::start(
        source,
        route.store.clone(),
        Arc::clone(setup.observer) as Arc<_>,
        dead_letters.with_topic(setup.dead_letters.clone()),
        StageConfig {
            store_outage: request.longest_silence(),
            ..stage_config(topic, &request.settings)
        },
        setup.clock,
    )
}
