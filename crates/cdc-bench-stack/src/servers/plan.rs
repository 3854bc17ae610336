//! What the starts of the four servers share: ports, passwords, folder, options.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rand::RngExt;
use tokio_util::sync::CancellationToken;

use super::java::Java;
use super::kafka_links::{KafkaClient, KafkaLinks};
use crate::artifacts::Artifacts;
use crate::cache::Cache;
use pgcdc::Server;

use crate::endpoints::{ConnectEndpoint, Endpoints, KafkaEndpoint, StoreEndpoint};
use crate::error::StackError;
use crate::progress::StepProgress;

/// The user's settings for a local stack.
#[derive(Debug, Clone, Default)]
pub struct LocalOptions {
    /// PostgreSQL settings that override ours.
    pub postgres_settings: Vec<(String, String)>,
    /// Environment variables for a server: server, variable, value.
    pub server_env: Vec<(String, String, String)>,
    /// Folders of Connect plugins beside Debezium's.
    pub connect_plugins: Vec<PathBuf>,
    /// Who reaches the broker over a link that can be made worse.
    pub kafka_links: Vec<KafkaClient>,
    /// Whether Connect's worker supports exactly-once delivery (`exactly.once.source.support`).
    pub connect_exactly_once: bool,
}

/// The ports of a stack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) postgres: u16,
    pub(crate) kafka: u16,
    pub(crate) controller: u16,
    pub(crate) connect: u16,
    pub(crate) store: u16,
}

impl Ports {
    /// Five free ports.
    pub(crate) fn free() -> Result<Self, StackError> {
        Self::with_links(&[]).map(|(ports, _)| ports)
    }

    /// The same, and the links of these clients to ports that are free as well.
    pub(crate) fn with_links(clients: &[KafkaClient]) -> Result<(Self, KafkaLinks), StackError> {
        // All bound at the same time, so that no port is chosen twice.
        let taken: std::io::Result<Vec<TcpListener>> = (0..5 + clients.len())
            .map(|_| TcpListener::bind(("127.0.0.1", 0)))
            .collect();
        let failed = |e: std::io::Error| StackError::ServerFailed {
            server: "local stack".to_owned(),
            reason: format!("no free port on 127.0.0.1: {e}"),
            log: String::new(),
        };
        let taken = taken.map_err(failed)?;
        let ports: std::io::Result<Vec<u16>> =
            taken.iter().map(|l| Ok(l.local_addr()?.port())).collect();
        let ports = ports.map_err(failed)?;
        let [postgres, kafka, controller, connect, store, linked @ ..] = &ports[..] else {
            unreachable!("five and more were asked for");
        };
        let links = clients.iter().copied().zip(linked.iter().copied());
        let ports = Self {
            postgres: *postgres,
            kafka: *kafka,
            controller: *controller,
            connect: *connect,
            store: *store,
        };
        Ok((ports, KafkaLinks::open(links)?))
    }
}

/// A random password.
pub(crate) fn password() -> String {
    let mut rng = rand::rng();
    (0..24)
        .map(|_| char::from(rng.sample(rand::distr::Alphanumeric)))
        .collect()
}

/// The endpoints of a local or Compose stack.
pub(crate) fn endpoints(ports: Ports, postgres_password: &str, store_password: &str) -> Endpoints {
    Endpoints {
        postgres: Server::new(
            "127.0.0.1",
            ports.postgres,
            "postgres",
            postgres_password.to_owned(),
            "activity_db",
        )
        .into(),
        postgres_for_connect: None,
        kafka: KafkaEndpoint::plaintext(format!("127.0.0.1:{}", ports.kafka)),
        connect: Some(ConnectEndpoint::on_loopback(ports.connect)),
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

/// Everything that the start of a server needs.
pub(crate) struct StartPlan<'a> {
    pub(crate) cache: &'a Cache,
    pub(crate) java: &'a Java,
    pub(crate) artifacts: &'a Artifacts,
    pub(crate) folder: &'a Path,
    pub(crate) ports: Ports,
    pub(crate) kafka_links: &'a KafkaLinks,
    pub(crate) endpoints: &'a Endpoints,
    pub(crate) options: &'a LocalOptions,
    pub(crate) cancel: &'a CancellationToken,
    pub(crate) progress: &'a dyn StepProgress,
    /// Servers that are not ready yet.
    pub(crate) waiting: Mutex<Vec<&'static str>>,
}

/// A local stack's servers, in the pipeline's order.
pub(crate) const SERVERS: [&str; 4] = [POSTGRES, KAFKA, CONNECT, STORE];
pub(crate) const POSTGRES: &str = "PostgreSQL";
pub(crate) const KAFKA: &str = "Kafka";
pub(crate) const CONNECT: &str = "Connect";
pub(crate) const STORE: &str = "the store";

impl StartPlan<'_> {
    /// Reports a server as ready, and which ones are still waited for.
    pub(crate) fn report_ready(&self, server: &str) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|name| *name != server);
        if !waiting.is_empty() {
            let detail = format!("{server} is ready; waiting for {}", waiting.join(", "));
            self.progress.update("servers", &detail);
        }
    }
}
