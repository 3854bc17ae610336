//! A local stack: PostgreSQL, Kafka, Connect with Debezium and a document store as our children, on free loopback ports.
//!
//! Everything listens on 127.0.0.1 alone. PostgreSQL and the store ask for a generated password; Kafka and Connect have
//! none and are guarded by loopback alone.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::RngExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::artifacts::{self, Artifacts};
use super::cache::{Cache, write_private};
use super::child::{Child, ServerSpec};
use super::instance::Instance;
use super::java::Java;
use super::supervision::Supervision;
use super::{Progress, StackError, servers};
use crate::endpoints::{Endpoints, KafkaEndpoint, PostgresEndpoint, StoreEndpoint};

/// Longest wait for one server.
pub(super) const READY_LIMIT: Duration = Duration::from_secs(60);
/// Longest wait for one to end before it is killed. Its data is about to be deleted.
const STOP_PATIENCE: Duration = Duration::from_millis(1_500);
/// How often a start is tried when a port was taken in between.
const ATTEMPTS: usize = 3;

/// A running local stack.
#[derive(Debug)]
pub(super) struct LocalStack {
    pub(super) endpoints: Endpoints,
    pub(super) supervision: Supervision,
    /// Last: its folder goes when nobody writes there any more.
    instance: Instance,
}

/// What a user may choose of a local stack.
#[derive(Debug, Clone, Default)]
pub struct LocalOptions {
    /// Settings of PostgreSQL over ours.
    pub postgres_settings: Vec<(String, String)>,
    /// Variables of a server's environment: its name, the variable, its value.
    pub server_env: Vec<(String, String, String)>,
}

/// Where a stack lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In a folder that goes with its run.
    OfItsOwn,
    /// In the folder of the stack that is kept for later runs.
    Kept,
}

/// The kept stack's folder.
pub(super) const KEPT: &str = "kept";

/// The ports of a stack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) postgres: u16,
    pub(super) kafka: u16,
    pub(super) controller: u16,
    pub(super) connect: u16,
    pub(super) store: u16,
}

impl Ports {
    /// Five that are free now.
    pub(super) fn free() -> Result<Self, StackError> {
        // Held together, so that none is given twice.
        let taken: std::io::Result<Vec<TcpListener>> = (0..5)
            .map(|_| TcpListener::bind(("127.0.0.1", 0)))
            .collect();
        let failed = |e: std::io::Error| StackError::ServerFailed {
            server: "local stack".to_owned(),
            reason: format!("no free port on 127.0.0.1: {e}"),
            log: String::new(),
        };
        let ports: std::io::Result<Vec<u16>> =
            taken.and_then(|all| all.iter().map(|l| Ok(l.local_addr()?.port())).collect());
        match ports.map_err(failed)?[..] {
            [postgres, kafka, controller, connect, store] => Ok(Self {
                postgres,
                kafka,
                controller,
                connect,
                store,
            }),
            _ => unreachable!("five were asked for"),
        }
    }
}

/// A password nobody has to type.
pub(super) fn password() -> String {
    let mut rng = rand::rng();
    (0..24)
        .map(|_| char::from(rng.sample(rand::distr::Alphanumeric)))
        .collect()
}

/// Where servers of ours are, and how we get in.
pub(super) fn endpoints(ports: Ports, postgres_password: &str, store_password: &str) -> Endpoints {
    Endpoints {
        postgres: PostgresEndpoint {
            host: "127.0.0.1".to_owned(),
            port: ports.postgres,
            database: "activity_db".to_owned(),
            user: "postgres".to_owned(),
            password: postgres_password.to_owned().into(),
            tls: pgcdc::TlsConfig::disabled(),
        },
        postgres_for_connect: None,
        kafka: KafkaEndpoint {
            bootstrap: format!("127.0.0.1:{}", ports.kafka),
        },
        connect: Some(format!("http://127.0.0.1:{}", ports.connect)),
        store: StoreEndpoint {
            uri: format!(
                "mongodb://cdc_bench:{store_password}@127.0.0.1:{}/\
                 ?directConnection=true&authSource=admin",
                ports.store
            )
            .into(),
            database: "activity_read".to_owned(),
        },
    }
}

/// What the start of each server needs to know.
pub(super) struct Plan<'a> {
    pub(super) cache: &'a Cache,
    pub(super) java: &'a Java,
    pub(super) artifacts: &'a Artifacts,
    pub(super) folder: &'a Path,
    pub(super) ports: Ports,
    pub(super) endpoints: &'a Endpoints,
    pub(super) options: &'a LocalOptions,
    pub(super) cancel: &'a CancellationToken,
    pub(super) progress: &'a dyn Progress,
    /// Servers that are not ready yet.
    pub(super) waiting: Mutex<Vec<&'static str>>,
}

/// A local stack's servers, in the pipeline's order.
const SERVERS: [&str; 4] = [POSTGRES, KAFKA, CONNECT, STORE];
pub(super) const POSTGRES: &str = "PostgreSQL";
pub(super) const KAFKA: &str = "Kafka";
pub(super) const CONNECT: &str = "Connect";
pub(super) const STORE: &str = "the store";

impl Plan<'_> {
    /// Says which servers are waited for still.
    pub(super) fn is_ready(&self, server: &str) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|name| *name != server);
        if !waiting.is_empty() {
            let detail = format!("{server} is ready; waiting for {}", waiting.join(", "));
            self.progress.update("servers", &detail);
        }
    }
}

impl LocalStack {
    /// Fetches what is missing and starts the servers.
    pub(super) async fn start(
        cache: &Cache,
        place: Place,
        options: &LocalOptions,
        progress: &dyn Progress,
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
                Place::OfItsOwn => Instance::fresh(cache)?,
                Place::Kept => Instance::named(cache, KEPT)?,
            };
            let started = Self::attempt(
                instance, cache, &java, &artifacts, options, progress, cancel,
            );
            match started.await {
                Err(StackError::ServerFailed { server, log, .. })
                    if attempt < ATTEMPTS && lost_its_port(&log) =>
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
        progress: &dyn Progress,
        cancel: &CancellationToken,
    ) -> Result<Self, StackError> {
        let ports = Ports::free()?;
        let store_password = password();
        let endpoints = endpoints(ports, &password(), &store_password);
        let plan = Plan {
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
    pub(super) fn describe(&self) -> String {
        let servers: Vec<_> = self
            .supervision
            .servers()
            .iter()
            .map(|server| format!("{} {} on {}", server.name, server.version, server.address))
            .collect();
        servers.join(", ")
    }

    /// Where the servers write.
    pub(super) fn folder(&self) -> &Path {
        self.instance.folder()
    }

    /// Stops the servers and removes what they wrote.
    pub(super) fn stop(self) {
        self.supervision.end(STOP_PATIENCE);
        drop(self.instance);
    }
}

fn lost_its_port(log: &str) -> bool {
    let log = log.to_ascii_lowercase();
    ["address already in use", "could not bind", "bindexception"]
        .iter()
        .any(|words| log.contains(words))
}

/// Asks again and again until `ready` says yes, the child ends, the user asks to stop, or time is up.
pub(super) async fn until_ready<F: Future<Output = Result<(), String>>>(
    child: &mut Child,
    cancel: &CancellationToken,
    mut ready: impl FnMut() -> F,
) -> Result<(), StackError> {
    let began = Instant::now();
    let mut last = "it did not answer".to_owned();
    while began.elapsed() < READY_LIMIT {
        if let Some(status) = child.ended() {
            return Err(child.failure(format!("it ended ({status})")));
        }
        tokio::select! {
            () = cancel.cancelled() => return Err(StackError::Cancelled),
            answer = ready() => match answer {
                Ok(()) => return Ok(()),
                Err(reason) => last = reason,
            },
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(child.failure(format!(
        "it was not ready within {} s: {last}",
        READY_LIMIT.as_secs()
    )))
}

/// Writes a server's configuration.
pub(super) fn configure(path: &Path, lines: &[(&str, &str)]) -> Result<(), StackError> {
    let text: String = lines
        .iter()
        .map(|(key, value)| format!("{key}={value}\n"))
        .collect();
    write_private(path, text.as_bytes())
}

/// A spec with what all of them share.
pub(super) fn spec(
    plan: &Plan<'_>,
    name: &str,
    version: &str,
    port: u16,
    program: impl Into<PathBuf>,
    args: Vec<String>,
) -> ServerSpec {
    ServerSpec {
        name: name.to_owned(),
        version: version.to_owned(),
        address: format!("127.0.0.1:{port}"),
        program: program.into(),
        args,
        env: plan
            .options
            .server_env
            .iter()
            .filter(|(server, ..)| server == name)
            .map(|(_, variable, value)| (variable.clone(), value.clone()))
            .collect(),
        folder: plan.folder.to_owned(),
        log: plan.folder.join(format!("{name}.log")),
        never_root: false,
        stop_signal: nix::sys::signal::Signal::SIGTERM as i32,
        new_archive: None,
    }
}
