//! A local stack: PostgreSQL, Kafka, Connect with Debezium and a document store as our children, on free loopback ports.
//!
//! Everything listens on 127.0.0.1 alone. PostgreSQL and the store ask for a generated password; Kafka and Connect have
//! none and are guarded by loopback alone.

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
use crate::servers::{self, Java, LocalOptions, Ports, SERVERS, StartPlan, endpoints, password};

/// Longest wait for one to end before it is killed. Its data is about to be deleted.
const STOP_PATIENCE: Duration = Duration::from_millis(1_500);
/// How often a start is tried when a port was taken in between.
const ATTEMPTS: usize = 3;

/// A running local stack.
#[derive(Debug)]
pub(crate) struct LocalStack {
    pub(crate) endpoints: Endpoints,
    pub(crate) supervision: Supervision,
    /// Last: its folder goes when nobody writes there any more.
    instance: Instance,
}

/// Where a stack lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StackLifetime {
    /// In a folder that goes with its run.
    OneRun,
    /// In the folder of the stack that is kept for later runs.
    Kept,
}

/// The kept stack's folder.
pub(crate) const KEPT: &str = "kept";

impl LocalStack {
    /// Fetches what is missing and starts the servers.
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
        let ports = Ports::free()?;
        let store_password = password();
        let endpoints = endpoints(ports, &password(), &store_password);
        let plan = StartPlan {
            cache,
            java,
            artifacts,
            folder: instance.folder(),
            ports,
            endpoints: &endpoints,
            options,
            cancel,
            progress,
            waiting: Mutex::new(SERVERS.to_vec()),
        };
        progress.begin("servers");
        progress.update("servers", &format!("waiting for {}", SERVERS.join(", ")));
        // At once where they do not need each other; Connect needs the broker. In this task and no other: see `Child::start`.
        let (postgres, (kafka, connect), store) = tokio::join!(
            servers::postgres::start(&plan),
            async {
                let kafka = servers::kafka::start(&plan).await;
                let connect = match &kafka {
                    Ok(_) => Some(servers::connect::start(&plan).await),
                    Err(_) => None,
                };
                (kafka, connect)
            },
            servers::store::start(&plan, &store_password),
        );
        let (mut children, mut failure) = (Vec::new(), None);
        for started in [Some(postgres), Some(kafka), connect, Some(store)]
            .into_iter()
            .flatten()
        {
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
            instance,
        };
        progress.end("servers", &stack.describe());
        Ok(stack)
    }

    /// The servers, in a line.
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
