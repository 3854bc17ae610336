//! Asks the servers, until it is dropped.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cdc_bench_stack::PostgresEndpoint;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::pulses::Pulses;
use crate::broker::{LeaderPing, LeaderPings};
use crate::debezium::ConnectClient;
use crate::observe::discovery::{Pipeline, Sink};
use crate::observe::evidence::SharedTallies;
use crate::pipeline::{Failure, connect_postgres};
use crate::store::MongoStore;

/// Between two questions.
const INTERVAL: Duration = Duration::from_secs(1);
/// A question without an answer for so long is asked anew, on another connection where it can be.
const PATIENCE: Duration = Duration::from_secs(10);

/// In place of a tap's name, of a server that none needs: what it does wrong is told, and fails no probe.
const NO_TAP: &str = "none";

/// Asks every server of a pipeline.
pub(in crate::observe) struct Pings {
    tasks: JoinSet<()>,
    leaders: LeaderPings,
}

/// Who answers whom, and who counts the requests.
#[derive(Clone)]
struct Notes {
    pulses: Arc<Pulses>,
    tallies: Arc<SharedTallies>,
}

impl Notes {
    /// One question and its answer.
    async fn ask(
        &self,
        tap: &'static str,
        server: &str,
        question: impl Future<Output = Result<(), String>>,
    ) {
        self.tallies.requests.fetch_add(1, Ordering::Relaxed);
        self.pulses.asked(tap, server);
        match tokio::time::timeout(PATIENCE, question).await {
            Ok(Ok(())) => self.pulses.answered(tap, server),
            Ok(Err(reason)) => self.pulses.failed(tap, server, reason),
            // It goes on being waited for.
            Err(_) => {}
        }
    }
}

impl Pings {
    /// Begins to ask.
    ///
    /// # Errors
    /// When no client of the brokers can be made.
    pub(in crate::observe) fn start(
        pipeline: &Pipeline,
        pulses: &Arc<Pulses>,
        tallies: Arc<SharedTallies>,
    ) -> Result<Self, Failure> {
        let notes = Notes {
            pulses: Arc::clone(pulses),
            tallies,
        };
        let mut tasks = JoinSet::new();
        let source = pipeline.postgres.clone();
        tasks.spawn(ask_postgres("wal", source, notes.clone()));
        let topics = pipeline.topics.iter().map(|topic| topic.name.clone());
        let mut topics: Vec<_> = topics.collect();
        match &pipeline.sink {
            Some(Sink::Mongo(sink)) => {
                let (store, server) = (sink.store.clone(), sink.server.clone());
                tasks.spawn(ask_mongodb(store, server, notes.clone()));
            }
            Some(Sink::Postgres(sink)) => {
                tasks.spawn(ask_postgres("sink", sink.endpoint.clone(), notes.clone()));
            }
            Some(Sink::Kafka(sink)) => {
                topics.extend(sink.topics.iter().map(|topic| topic.name.clone()));
            }
            Some(Sink::Lines(_)) | None => {}
        }
        if let (Some(connect), Some(_)) = (&pipeline.connect, &pipeline.connector) {
            let client = ConnectClient::new(connect)?;
            let server = format!("Kafka Connect at {connect}");
            tasks.spawn(ask_connect(client, server, notes.clone()));
        }
        let leaders =
            LeaderPings::start(&pipeline.kafka, topics, INTERVAL, move |ping| match ping {
                LeaderPing::Leaders(brokers) => notes.pulses.needs("topics", brokers),
                LeaderPing::Asked(broker) => {
                    // The earliest and the latest offset.
                    notes.tallies.requests.fetch_add(2, Ordering::Relaxed);
                    notes.pulses.asked("topics", broker);
                }
                LeaderPing::Answered(broker) => notes.pulses.answered("topics", broker),
                LeaderPing::Failed(broker, reason) => {
                    notes.pulses.failed("topics", broker, reason);
                }
            })?;
        Ok(Self { tasks, leaders })
    }

    /// Asks no more.
    pub(in crate::observe) async fn stop(mut self) {
        self.tasks.shutdown().await;
        self.leaders.stop().await;
    }
}

async fn ask_mongodb(store: MongoStore, server: String, notes: Notes) {
    loop {
        let question = async { store.ping().await.map_err(|error| error.to_string()) };
        notes.ask("sink", &server, question).await;
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn ask_connect(client: ConnectClient, server: String, notes: Notes) {
    loop {
        let question = async {
            let version = client.version().await;
            version.map(drop).map_err(|error| error.to_string())
        };
        notes.ask(NO_TAP, &server, question).await;
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn ask_postgres(tap: &'static str, endpoint: PostgresEndpoint, notes: Notes) {
    let server = format!("PostgreSQL at {endpoint}");
    let mut session: Option<Client> = None;
    loop {
        let question = async {
            let client = match session.take().filter(|client| !client.is_closed()) {
                Some(client) => client,
                None => {
                    let connected = connect_postgres(&endpoint).await;
                    connected.map_err(|error| error.to_string())?
                }
            };
            let answer = client.simple_query("SELECT 1").await;
            answer.map_err(|error| error.to_string())?;
            session = Some(client);
            Ok(())
        };
        notes.ask(tap, &server, question).await;
        tokio::time::sleep(INTERVAL).await;
    }
}
