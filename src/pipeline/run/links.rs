//! The links of a run that its faults make worse: each goes through a proxy of ours.

use cdc_bench_stack::{Endpoints, HostPort, Link, LinkState, PostgresEndpoint};

use crate::pipeline::failure::Failure;
use crate::pipeline::faults::{Fault, FaultTarget, LinkAction, LinkTarget};

/// The links that the faults of a run are about.
#[derive(Debug, Default)]
pub(crate) struct Links(Vec<(LinkTarget, Link)>);

impl Links {
    /// Opens a link for each of those that a fault is about.
    pub(crate) fn open(faults: &[Fault], endpoints: &Endpoints) -> Result<Self, Failure> {
        let mut links = Vec::new();
        for target in LinkTarget::ALL {
            if faults
                .iter()
                .any(|fault| fault.target() == FaultTarget::Link(target))
            {
                links.push((target, Link::to(&server_of(target, endpoints)?)?));
            }
        }
        Ok(Self(links))
    }

    fn link(&self, target: LinkTarget) -> Option<&Link> {
        let mut links = self.0.iter();
        links
            .find(|(known, _)| *known == target)
            .map(|(_, link)| link)
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

    /// Makes a link worse.
    pub(crate) fn spoil(&self, action: LinkAction, target: LinkTarget) {
        let Some(link) = self.link(target) else {
            return;
        };
        match action {
            LinkAction::Cut => link.set(LinkState::Cut),
            LinkAction::Reset => link.reset(),
            LinkAction::Delay(by) => link.set(LinkState::Delayed(by)),
            LinkAction::Throttle(bytes_per_s) => link.set(LinkState::Throttled(bytes_per_s)),
        }
    }

    /// Makes it sound again.
    pub(crate) fn mend(&self, target: LinkTarget) {
        if let Some(link) = self.link(target) {
            link.set(LinkState::Sound);
        }
    }
}

const LOOPBACK: &str = "127.0.0.1";

/// The server at the end of a link.
fn server_of(target: LinkTarget, endpoints: &Endpoints) -> Result<String, Failure> {
    match target {
        LinkTarget::ConnectPostgres | LinkTarget::ReaderPostgres => Ok(format!(
            "{}:{}",
            endpoints.postgres.host, endpoints.postgres.port
        )),
        LinkTarget::ConsumerStore => endpoints.store.only_host().ok_or_else(|| {
            Failure::usage(anyhow::anyhow!(
                "a fault of the link {} needs a store of one server, by its address in MONGODB_URI",
                target.as_str()
            ))
        }),
    }
}
