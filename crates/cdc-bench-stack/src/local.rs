//! A local stack: PostgreSQL, Kafka, Connect with Debezium and a document store as our children, on free loopback ports.
//!
//! Everything listens on 127.0.0.1 alone. PostgreSQL and the store ask for a generated password; Kafka and Connect have
//! none and are protected only by being on loopback.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::artifacts::{self, Artifacts};
use crate::cache::Cache;
use crate::endpoints::Endpoints;
use crate::error::StackError;
use crate::instance::Instance;
use crate::processes::Supervision;
use crate::progress::StepProgress;
use crate::servers::{
    self, Java, KafkaLinks, LocalOptions, Ports, SERVERS, StartPlan, endpoints, password,
};

/// Longest wait for a server to end before it is killed. Short, because its data is deleted next.
const STOP_PATIENCE: Duration = Duration::from_millis(1_500);
/// Attempts to start when another process takes a chosen port first.
const ATTEMPTS: usize = 3;

/// A running local stack.
#[derive(Debug)]
pub(crate) struct LocalStack {
    pub(crate) endpoints: Endpoints,
    pub(crate) supervision: Supervision,
    pub(crate) kafka_links: KafkaLinks,
    /// Last field: the folder is removed on drop, after the servers have stopped writing to it.
    instance: Instance,
}

/// How long a stack runs, which decides its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StackLifetime {
    /// One run: its folder is removed with it.
    OneRun,
    /// Kept for later runs, in a folder of a fixed name.
    Kept,
}

/// Name of the kept stack's folder.
pub(crate) const KEPT: &str = "kept";

impl LocalStack {
    /// Fetches missing artifacts and starts the servers.
    pub(crate) async fn start(
        cache: &Cache,
        place: StackLifetime,
        options: &LocalOptions,
        progress: &dyn StepProgress,
        cancel: &CancellationToken,
    ) -> Result<Self, StackError> {
        let java = Java::require(cancel).await?;
        let artifacts = artifacts::provide(cache, progress, cancel).await?;
        if cancel.is_cancelled() {
            return Err(StackError::Cancelled);
        }
        let mut attempt = 1;
        loop {
            let instance = match place {
                StackLifetime::OneRun => Instance::fresh(cache)?,
                StackLifetime::Kept => Instance::named(cache, KEPT)?,
            };
            let started = Self::attempt(
                instance, cache, &java, &artifacts, options, progress, cancel,
            );
            match started.await {
                Err(StackError::ServerFailed { server, log, .. })
                    if attempt < ATTEMPTS && port_was_taken(&log) =>
                {
                    tracing::warn!(
                        server,
                        "its port was taken meanwhile; starting again on others"
                    );
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn attempt(
        instance: Instance,
        cache: &Cache,
        java: &Java,
        artifacts: &Artifacts,
        options: &LocalOptions,
        progress: &dyn StepProgress,
        cancel: &CancellationToken,
    ) -> Result<Self, StackError> {
        let (ports, kafka_links) = Ports::with_links(options.cluster, &options.kafka_links)?;
        let store_password = password();
        let endpoints = endpoints(&ports, &password(), &store_password);
        let plan = StartPlan {
            cache,
            java,
            artifacts,
            folder: instance.folder(),
            ports: &ports,
            kafka_links: &kafka_links,
            endpoints: &endpoints,
            options,
            cancel,
            progress,
            waiting: Mutex::new(SERVERS.to_vec()),
        };
        progress.begin("servers");
        progress.update("servers", &format!("waiting for {}", SERVERS.join(", ")));
        // Independent servers start concurrently; Connect waits for the broker. All in this task, because the kernel
        // ends a child with the thread that started it (see `Child::start`).
        let (postgres, (kafka, connect), store) = tokio::join!(
            servers::postgres::start(&plan),
            async {
                let kafka = servers::kafka::start(&plan).await;
                let connect = if kafka.iter().all(Result::is_ok) {
                    servers::connect::start(&plan).await
                } else {
                    Vec::new()
                };
                (kafka, connect)
            },
            servers::store::start(&plan, &store_password),
        );
        let (mut children, mut failure) = (Vec::new(), None);
        let clusters = kafka.into_iter().chain(connect);
        for started in [postgres].into_iter().chain(clusters).chain([store]) {
            match started {
                Ok(child) => children.push(child),
                Err(error) => failure = Some(failure.unwrap_or(error)),
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        let stack = Self {
            supervision: Supervision::begin(children)?,
            endpoints,
            kafka_links,
            instance,
        };
        progress.end("servers", &stack.describe());
        Ok(stack)
    }

    /// Name, version and address of each server, on one line.
    pub(crate) fn describe(&self) -> String {
        let servers: Vec<_> = self
            .supervision
            .servers()
            .iter()
            .map(|server| format!("{} {} on {}", server.name, server.version, server.address))
            .collect();
        servers.join(", ")
    }

    /// Where the servers write.
    pub(crate) fn folder(&self) -> &Path {
        self.instance.folder()
    }

    /// Stops the servers and removes what they wrote.
    pub(crate) fn stop(self) {
        self.supervision.end(STOP_PATIENCE);
        drop(self.instance);
    }
}

fn port_was_taken(log: &str) -> bool {
    let log = log.to_ascii_lowercase();
    ["address already in use", "could not bind", "bindexception"]
        .iter()
        .any(|message| log.contains(message))
}
