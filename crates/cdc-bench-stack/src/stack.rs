//! The servers of one run, whatever their origin.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::artifacts::version;
use crate::cache::Cache;
use crate::compose::ComposeStack;
use crate::endpoints::{Endpoints, GivenEndpoints};
use crate::error::StackError;
use crate::kept::{Claim, KeptStack};
use crate::kind::StackKind;
use crate::link::Link;
use crate::local::{LocalStack, StackLifetime};
use crate::processes::{GcPause, OutageKind, ServerProcess, server_of};
use crate::progress::{STOPPING, StepProgress};
use crate::servers::{self, ClusterRequest, KafkaClient, LocalOptions};

/// Longest wait for a server's answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Which servers to start or to use.
#[derive(Debug, Clone)]
pub struct StackRequest {
    /// Where they come from.
    pub kind: StackKind,
    /// The user's endpoints, as far as given; `None` means servers started by us.
    pub given: Option<GivenEndpoints>,
    /// Properties of Kafka's clients, also on servers of ours. A value may be a secret.
    pub kafka_properties: Vec<(String, SecretString)>,
    /// Who reaches Kafka over a link that can be made worse, on servers that are started for one run.
    pub kafka_links: Vec<KafkaClient>,
    /// Whether Connect delivers exactly once, on servers that are started for one run.
    pub connect_exactly_once: bool,
    /// Brokers and Connect workers of a local stack.
    pub cluster: ClusterRequest,
}

impl StackRequest {
    /// Our servers' endpoints with the user's properties of Kafka's clients.
    fn with_properties(&self, mut endpoints: Endpoints) -> Endpoints {
        endpoints.kafka.properties = self.kafka_properties.clone();
        endpoints
    }
}

/// The servers of a run.
#[derive(Debug)]
pub struct Stack {
    endpoints: Endpoints,
    origin: Origin,
    /// Whether several runs use them one after the other.
    several_runs: bool,
}

#[derive(Debug)]
enum Origin {
    /// The user's.
    External,
    /// Ours, for this run alone.
    OneRun(LocalStack),
    /// Ours, for this run alone, in containers.
    Compose(ComposeStack),
    /// Ours, kept for later runs.
    Kept(KeptStack, #[allow(dead_code)] Claim),
}

impl Stack {
    /// Uses the user's servers; else the kept stack; else starts a stack that is stopped with the run.
    ///
    /// # Errors
    /// When a server is missing or does not start. Servers started so far are stopped.
    pub async fn bring_up(
        request: &StackRequest,
        progress: &dyn StepProgress,
        cancel: &CancellationToken,
    ) -> Result<Self, StackError> {
        if let Some(given) = &request.given {
            let endpoints = given.all()?;
            return Ok(Self {
                endpoints,
                origin: Origin::External,
                several_runs: false,
            });
        }
        let cache = Cache::open()?;
        if request.kind == StackKind::Compose {
            let stack = ComposeStack::start(&cache, progress, cancel).await?;
            return Ok(Self {
                endpoints: request.with_properties(stack.endpoints.clone()),
                origin: Origin::Compose(stack),
                several_runs: false,
            });
        }
        if let Some(kept) = KeptStack::find(&cache) {
            if let Some(claim) = kept.claim() {
                check_size(request.cluster, &kept)?;
                return Ok(Self {
                    endpoints: request.with_properties(kept.endpoints()),
                    origin: Origin::Kept(kept, claim),
                    several_runs: false,
                });
            }
            tracing::warn!(
                "the stack that is kept is in use by another run; starting one for this run"
            );
        }
        let options = LocalOptions {
            kafka_links: request.kafka_links.clone(),
            connect_exactly_once: request.connect_exactly_once,
            cluster: request.cluster.size(),
            ..LocalOptions::default()
        };
        let local =
            LocalStack::start(&cache, StackLifetime::OneRun, &options, progress, cancel).await?;
        Ok(Self {
            endpoints: request.with_properties(local.endpoints.clone()),
            origin: Origin::OneRun(local),
            several_runs: false,
        })
    }

    /// The kind of stack.
    #[must_use]
    pub fn kind(&self) -> StackKind {
        match self.origin {
            Origin::External => StackKind::External,
            Origin::OneRun(_) | Origin::Kept(..) => StackKind::Local,
            Origin::Compose(_) => StackKind::Compose,
        }
    }

    /// Where they are.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The same for several consecutive runs: each uses names of its own and cleans up after itself.
    #[must_use]
    pub fn for_several_runs(self) -> Self {
        Self {
            several_runs: true,
            ..self
        }
    }

    /// Whether only this run uses them and they are deleted with it.
    #[must_use]
    pub fn exclusive(&self) -> bool {
        !self.several_runs && matches!(self.origin, Origin::OneRun(_) | Origin::Compose(_))
    }

    /// Whether it is the stack that is kept for several runs, on which a user may have things of his own.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        matches!(self.origin, Origin::Kept(..))
    }

    /// The links over which a client reaches Kafka, one to each broker; none where there are none.
    #[must_use]
    pub fn kafka_links(&self, client: KafkaClient) -> Vec<Arc<Link>> {
        match &self.origin {
            Origin::OneRun(local) => local.kafka_links.get(client),
            Origin::External | Origin::Kept(..) | Origin::Compose(_) => Vec::new(),
        }
    }

    /// Kafka's version, where we chose it; `None` for the user's servers.
    #[must_use]
    pub fn kafka_version(&self) -> Option<&str> {
        match &self.origin {
            Origin::External => None,
            Origin::OneRun(_) | Origin::Compose(_) => Some(version::kafka()),
            Origin::Kept(kept, _) => Some(kept.kafka_version()),
        }
    }

    /// The folder of the servers' logs, for the kept stack.
    #[must_use]
    pub fn log_dir(&self) -> Option<&Path> {
        match &self.origin {
            Origin::Kept(kept, _) => Some(kept.folder()),
            Origin::External | Origin::OneRun(_) | Origin::Compose(_) => None,
        }
    }

    /// The folder that servers of ours write to; `None` where they are containers, or not ours.
    #[must_use]
    pub fn data_dir(&self) -> Option<&Path> {
        match &self.origin {
            Origin::OneRun(local) => Some(local.folder()),
            Origin::Kept(kept, _) => Some(kept.folder()),
            Origin::External | Origin::Compose(_) => None,
        }
    }

    /// The server that supervision has given up, with the end of its log.
    #[must_use]
    pub fn given_up(&self) -> Option<String> {
        match &self.origin {
            Origin::OneRun(local) => local.supervision.given_up(),
            Origin::External | Origin::Kept(..) | Origin::Compose(_) => None,
        }
    }

    /// Names and addresses of the processes of a server that run as our children, such as `kafka-1` and `kafka-2` of `kafka`.
    #[must_use]
    pub fn processes_of(&self, server: &str) -> Vec<(String, String)> {
        let servers = self.servers_now().into_iter();
        let of_server = servers.filter(|process| server_of(&process.name) == server);
        of_server
            .map(|process| (process.name, process.address))
            .collect()
    }

    /// Name and process id of each server that runs as our child.
    #[must_use]
    pub fn processes(&self) -> Vec<(String, u32)> {
        let servers = self.servers_now().into_iter();
        servers.map(|server| (server.name, server.pid)).collect()
    }

    /// Whether PostgreSQL and Connect can be assumed to share one clock, that of this host's kernel: the user's servers
    /// if all are reached by loopback, ours if no library is preloaded into them that could fake the time (such as
    /// libfaketime).
    #[must_use]
    pub fn has_one_clock(&self) -> bool {
        match self.origin {
            Origin::External => self.endpoints.are_on_loopback(),
            Origin::Compose(_) => true,
            Origin::OneRun(_) | Origin::Kept(..) => {
                let processes = self.processes().into_iter();
                let mut both =
                    processes.filter(|(name, _)| matches!(server_of(name), "postgres" | "connect"));
                both.all(|(_, pid)| uses_kernel_clock(pid))
            }
        }
    }

    /// Restarts by supervision after `since`: server and time.
    #[must_use]
    pub fn restarts(&self, since: jiff::Timestamp) -> Vec<(String, jiff::Timestamp)> {
        let servers = self.servers_now();
        let times = |server: ServerProcess| {
            let name = server.name;
            let times = server.restarted_at.into_iter();
            times.map(move |at| (name.clone(), at))
        };
        servers
            .into_iter()
            .flat_map(times)
            .filter(|(_, at)| *at > since)
            .collect()
    }

    /// Pauses of our JVMs for collecting garbage after `since`, in order of time.
    #[must_use]
    pub fn gc_pauses(&self, since: jiff::Timestamp) -> Vec<GcPause> {
        let servers = self.servers_now();
        let mut pauses: Vec<_> = servers.iter().flat_map(ServerProcess::gc_pauses).collect();
        pauses.retain(|pause| pause.began > since);
        pauses.sort_by_key(|pause| pause.began);
        pauses
    }

    /// Takes a server away for a time, after which its supervision brings it back: a server that was killed or stopped is started
    /// again on its port and its data. It counts for no restart.
    ///
    /// # Errors
    /// When the server is not a child of ours, or the outage cannot be noted for its supervision.
    pub fn take_away(
        &self,
        name: &str,
        kind: OutageKind,
        length: Duration,
    ) -> Result<(), StackError> {
        let server = self.server(name).ok_or_else(|| {
            StackError::Usage(format!(
                "{name} cannot be taken away: it is no process of a local stack of ours"
            ))
        })?;
        server.take_away(kind, length)
    }

    /// Whether a server was taken away and is not back yet; one that was started again may not be ready.
    #[must_use]
    pub fn is_away(&self, name: &str) -> bool {
        self.server(name).is_some_and(|server| server.is_away())
    }

    /// Brings back every server that was taken away, now.
    pub fn bring_back(&self) {
        self.servers_now()
            .iter()
            .for_each(ServerProcess::bring_back);
    }

    /// Whether each process of ours answers as what it is, in the pipeline's order; the reason where one does not.
    pub async fn answers(&self) -> Vec<(String, Result<(), String>)> {
        servers::answers_of(&self.servers_now(), &self.endpoints, ANSWER_LIMIT).await
    }

    fn server(&self, name: &str) -> Option<ServerProcess> {
        let mut servers = self.servers_now().into_iter();
        servers.find(|server| server.name == name)
    }

    /// The servers that are our children, as they are now.
    fn servers_now(&self) -> Vec<ServerProcess> {
        match &self.origin {
            Origin::OneRun(local) => local.supervision.servers(),
            Origin::Kept(kept, _) => kept.servers_now(),
            Origin::External | Origin::Compose(_) => Vec::new(),
        }
    }

    /// Stops what was started for this run.
    pub fn stop(self, progress: &dyn StepProgress) {
        let step = STOPPING;
        // A server that stands still does not end in order.
        self.bring_back();
        match self.origin {
            Origin::OneRun(local) => {
                progress.begin(step);
                local.stop();
                progress.end(step, "nothing is left running");
            }
            Origin::Compose(compose) => {
                progress.begin(step);
                match compose.stop() {
                    Ok(()) => progress.end(step, "nothing is left running"),
                    Err(error) => tracing::error!(%error, "containers are left running"),
                }
            }
            Origin::External | Origin::Kept(..) => {}
        }
    }
}

/// Whether the stack that is kept has the brokers and workers that are asked for.
fn check_size(asked: ClusterRequest, kept: &KeptStack) -> Result<(), StackError> {
    let size = kept.size();
    if asked.is_met_by(size) {
        return Ok(());
    }
    Err(StackError::Usage(format!(
        "the stack that is kept has another size (brokers: {}, Connect workers: {}) than is asked for (--brokers, --connect-workers): end it with \"cdc-bench stack down\", or leave them out",
        size.brokers, size.connect_workers
    )))
}

/// Whether no library is preloaded into a process (`LD_PRELOAD`); false if that cannot be read.
fn uses_kernel_clock(pid: u32) -> bool {
    let environment = std::fs::read(format!("/proc/{pid}/environ"));
    environment.is_ok_and(|variables| {
        let mut variables = variables.split(|byte| *byte == 0);
        !variables.any(|variable| variable.starts_with(b"LD_PRELOAD="))
    })
}

/// Endpoints of servers that already run: the user's, or the kept stack's.
///
/// # Errors
/// When there are none.
pub fn running_endpoints(request: &StackRequest) -> Result<GivenEndpoints, StackError> {
    if let Some(given) = &request.given {
        return Ok(given.clone());
    }
    if request.kind == StackKind::Compose {
        return Err(StackError::NotUp(
            "containers of ours live for one run; for several, bring up docker-compose.yml yourself (its head says how) and give their addresses in the environment".to_owned(),
        ));
    }
    let kept = KeptStack::find(&Cache::open()?);
    kept.map(|kept| request.with_properties(kept.endpoints()).into()).ok_or_else(|| {
        StackError::NotUp(
            "no servers: start some that stay with \"cdc-bench stack up\", or say where yours are (POSTGRES_HOST, KAFKA_BOOTSTRAP_SERVERS, MONGODB_URI, CONNECT_URL)"
                .to_owned(),
        )
    })
}
