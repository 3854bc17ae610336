//! What the starts of the four servers share: ports, passwords, folder, options.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rand::RngExt;
use tokio_util::sync::CancellationToken;

use super::cluster::ClusterSize;
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
    /// Brokers and Connect workers.
    pub cluster: ClusterSize,
    /// Whether Connect's worker supports exactly-once delivery (`exactly.once.source.support`).
    pub connect_exactly_once: bool,
}

/// The ports of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) postgres: u16,
    pub(crate) store: u16,
    /// Of each broker: as broker and as controller.
    pub(crate) brokers: Vec<BrokerPorts>,
    /// Of each Connect worker.
    pub(crate) connect: Vec<u16>,
}

/// The ports of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BrokerPorts {
    pub(crate) broker: u16,
    pub(crate) controller: u16,
}

impl Ports {
    /// Free ports for a stack of one broker and one worker.
    pub(crate) fn free() -> Result<Self, StackError> {
        Self::with_links(ClusterSize::default(), &[]).map(|(ports, _)| ports)
    }

    /// Free ports for a stack of this size, and the links of these clients to ports of each broker that are free as well.
    pub(crate) fn with_links(
        size: ClusterSize,
        clients: &[KafkaClient],
    ) -> Result<(Self, KafkaLinks), StackError> {
        let failed = |e: std::io::Error| StackError::ServerFailed {
            server: "local stack".to_owned(),
            reason: format!("no free port on 127.0.0.1: {e}"),
            log: String::new(),
        };
        // All bound until all are chosen, so that no port is chosen twice.
        let mut taken = Vec::new();
        let mut free = || -> Result<u16, StackError> {
            let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(failed)?;
            let port = listener.local_addr().map_err(failed)?.port();
            taken.push(listener);
            Ok(port)
        };
        let (postgres, store) = (free()?, free()?);
        let (mut brokers, mut connect, mut linked) = (Vec::new(), Vec::new(), Vec::new());
        for number in 1..=size.brokers {
            let (broker, controller) = (free()?, free()?);
            brokers.push(BrokerPorts { broker, controller });
            for client in clients {
                linked.push((*client, number, free()?));
            }
        }
        for _ in 0..size.connect_workers {
            connect.push(free()?);
        }
        let ports = Self {
            postgres,
            store,
            brokers,
            connect,
        };
        drop(taken);
        Ok((ports, KafkaLinks::open(linked.into_iter())?))
    }

    /// The port of the first Connect worker, which is asked for everything.
    pub(crate) fn first_connect(&self) -> u16 {
        self.connect.first().copied().unwrap_or_default()
    }

    /// The port of the first broker.
    pub(crate) fn first_broker(&self) -> u16 {
        self.brokers.first().map_or(0, |ports| ports.broker)
    }

    /// Where clients find the brokers.
    pub(crate) fn bootstrap(&self) -> String {
        let addresses = self.brokers.iter();
        let addresses = addresses.map(|ports| format!("127.0.0.1:{}", ports.broker));
        addresses.collect::<Vec<_>>().join(",")
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
pub(crate) fn endpoints(ports: &Ports, postgres_password: &str, store_password: &str) -> Endpoints {
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
        kafka: KafkaEndpoint::plaintext(ports.bootstrap()),
        connect: Some(ConnectEndpoint::on_loopback(ports.first_connect())),
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
    pub(crate) ports: &'a Ports,
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
