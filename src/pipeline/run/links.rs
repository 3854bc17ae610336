//! The links of a run that its faults make worse: each goes through a proxy of ours.

use std::sync::Arc;

use cdc_bench_stack::{Endpoints, HostPort, Link, LinkState, PostgresEndpoint, Stack};
use rdkafka::ClientConfig;

use crate::pipeline::failure::Failure;
use crate::pipeline::faults::{Fault, LinkAction, LinkTarget};

/// The links that the faults of a run are about.
#[derive(Debug, Default)]
pub(crate) struct Links(Vec<(LinkTarget, Arc<Link>)>);

impl Links {
    /// Opens a link for each of those that a fault is about. Those to Kafka are the stack's.
    pub(crate) fn open(faults: &[Fault], stack: &Stack) -> Result<Self, Failure> {
        let mut links = Vec::new();
        for target in LinkTarget::of(faults) {
            let opened = open(target, stack)?.into_iter();
            links.extend(opened.map(|link| (target, link)));
        }
        Ok(Self(links))
    }

    /// The links of a target: one, but to Kafka one for each broker.
    fn all(&self, target: LinkTarget) -> impl Iterator<Item = &Link> {
        let links = self.0.iter();
        links
            .filter(move |(known, _)| *known == target)
            .map(|(_, link)| &**link)
    }

    fn link(&self, target: LinkTarget) -> Option<&Link> {
        self.all(target).next()
    }

    /// The endpoints as those see them whose way is over a link.
    pub(crate) fn endpoints(&self, endpoints: &Endpoints) -> Endpoints {
        let mut linked = endpoints.clone();
        if let Some(link) = self.link(LinkTarget::ConnectPostgres) {
            linked.postgres_for_connect = Some(HostPort {
                host: LOOPBACK.to_owned(),
                port: link.port(),
            });
        }
        if let Some(link) = self.link(LinkTarget::ConsumerStore) {
            linked.store = endpoints.store.on_loopback(link.port());
        }
        linked
    }

    /// PostgreSQL as our reader sees it.
    pub(crate) fn postgres_of_reader(&self, postgres: &PostgresEndpoint) -> PostgresEndpoint {
        match self.link(LinkTarget::ReaderPostgres) {
            Some(link) => {
                let mut server = postgres.server();
                LOOPBACK.clone_into(&mut server.host);
                server.port = link.port();
                server.into()
            }
            None => postgres.clone(),
        }
    }

    /// Kafka as our consumer sees it.
    pub(crate) fn kafka_of_consumer(&self, kafka: &ClientConfig) -> ClientConfig {
        self.kafka_over(LinkTarget::ConsumerKafka, kafka)
    }

    /// Kafka as the producer behind our reader sees it.
    pub(crate) fn kafka_of_reader(&self, kafka: &ClientConfig) -> ClientConfig {
        self.kafka_over(LinkTarget::ReaderKafka, kafka)
    }

    fn kafka_over(&self, target: LinkTarget, kafka: &ClientConfig) -> ClientConfig {
        let mut config = kafka.clone();
        let links = self.all(target);
        let addresses: Vec<_> = links
            .map(|link| format!("{LOOPBACK}:{}", link.port()))
            .collect();
        if !addresses.is_empty() {
            // A broker advertises its link's port to whoever comes over it.
            config.set("bootstrap.servers", addresses.join(","));
        }
        config
    }

    /// Makes a link worse.
    pub(crate) fn spoil(&self, action: LinkAction, target: LinkTarget) {
        for link in self.all(target) {
            match action {
                LinkAction::Cut => link.set(LinkState::Cut),
                LinkAction::Reset => link.reset(),
                LinkAction::Delay(by) => link.set(LinkState::Delayed(by)),
                LinkAction::Throttle(bytes_per_s) => link.set(LinkState::Throttled(bytes_per_s)),
            }
        }
    }

    /// Connections of a link that cuts and resets have broken so far.
    pub(crate) fn broken(&self, target: LinkTarget) -> Option<u64> {
        self.link(target)?;
        Some(self.all(target).map(Link::broken).sum())
    }

    /// Makes it sound again.
    pub(crate) fn mend(&self, target: LinkTarget) {
        self.all(target).for_each(|link| link.set(LinkState::Sound));
    }
}

const LOOPBACK: &str = "127.0.0.1";

fn open(target: LinkTarget, stack: &Stack) -> Result<Vec<Arc<Link>>, Failure> {
    let endpoints = stack.endpoints();
    let server = match (target.kafka_client(), target) {
        (Some(client), _) => {
            // Only a broker that was started for this run has the listener of a link.
            let links = stack.kafka_links(client);
            if links.is_empty() {
                return Err(Failure::usage(anyhow::anyhow!(
                    "a fault of the link {target} needs a listener of its own on the broker, and this one was started without; a run that starts its servers itself gives them one: end those that are kept with \"cdc-bench stack down\" first"
                )));
            }
            return Ok(links);
        }
        (None, LinkTarget::ConsumerStore) => endpoints.store.only_host().ok_or_else(|| {
            Failure::usage(anyhow::anyhow!(
                "a fault of the link {target} needs a store of one server, by its address in MONGODB_URI"
            ))
        })?,
        (None, _) => format!("{}:{}", endpoints.postgres.host, endpoints.postgres.port),
    };
    Ok(vec![Arc::new(Link::to(&server)?)])
}
