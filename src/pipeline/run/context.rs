//! What the trials of a run share, the definition of a trial, and an active capture path.

use std::sync::Arc;

use cdc_bench_model::report::Recorder;
use cdc_bench_model::timeline::{CapturePath, Clock};
use cdc_bench_stack::Stack;
use tokio_util::sync::CancellationToken;

use crate::broker::MemberSession;
use crate::consumer::DeadLetterTopic;
use crate::load::Limit;
use crate::pipeline::distributed::coordinator::Coordinator;
use crate::pipeline::monitor::cpu::PathProcesses;
use crate::pipeline::monitor::postgres_guard::PostgresGuard;
use crate::pipeline::monitor::server_monitor::MonitoredPath;
use crate::pipeline::progress::RunProgress;
use crate::pipeline::provision::route::Route;
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::request::{RunNames, RunRequest};
use crate::pipeline::run::clocks::Clocks;
use crate::pipeline::run::links::Links;
use crate::pipeline::run::live_metrics::LiveMetrics;
use crate::pipeline::run::observer::PathObserver;
use crate::pipeline::run::workers::Workers;

/// What the trials of a run share.
#[derive(Clone, Copy)]
pub(crate) struct RunContext<'a> {
    pub(crate) request: &'a RunRequest,
    pub(crate) stack: &'a Stack,
    pub(crate) servers: &'a ServerClients,
    pub(crate) links: &'a Links,
    pub(crate) postgres_guard: &'a PostgresGuard<'a>,
    /// Of each shard of the outbox.
    pub(crate) publications: &'a [String],
    pub(crate) clocks: &'a Clocks,
    pub(crate) recorder: &'a Recorder,
    pub(crate) live_metrics: &'a LiveMetrics,
    pub(crate) clock: Clock,
    /// The workers on other machines that do the work, where it is spread.
    pub(crate) distributed: Option<&'a Coordinator>,
    pub(crate) progress: &'a dyn RunProgress,
    pub(crate) cancel: &'a CancellationToken,
}

impl RunContext<'_> {
    /// The session of consumers in their groups: what is left of a group on servers that outlive the run is to be soon over.
    pub(crate) fn member_session(&self) -> MemberSession {
        if self.stack.exclusive() {
            MemberSession::Long
        } else {
            MemberSession::Short
        }
    }
}

/// One measurement of some paths on the same events.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    pub(crate) round: u32,
    pub(crate) paths: Vec<CapturePath>,
    pub(crate) names: RunNames,
    pub(crate) limit: Limit,
    /// Events that earlier trials of the same load have inserted.
    pub(crate) done: u64,
    /// Whether this is the first trial with Debezium: its warm-up determines Connect's clock.
    pub(crate) settles_connect: bool,
}

/// An active capture path: its route through the servers, its observer, and its workers.
pub(crate) struct ActivePath {
    pub(crate) route: Route,
    pub(crate) observer: Arc<PathObserver>,
    pub(crate) dead_letters: Option<Arc<dyn DeadLetterTopic>>,
    pub(crate) workers: Workers,
}

impl ActivePath {
    /// What the server monitor polls for this path.
    pub(crate) fn monitored(&self) -> MonitoredPath {
        let topics = self.route.topics();
        let connectors = self.route.connectors();
        MonitoredPath {
            path: self.route.path,
            slots: self.route.slots().cloned().collect(),
            backlog: self.workers.backlog.clone(),
            topics: topics.map_or_else(Vec::new, |topics| topics.names().to_vec()),
            connectors: connectors.map(|connector| connector.name.clone()).collect(),
        }
    }

    /// The processes and threads that work for this path alone.
    pub(crate) fn processes(&self) -> PathProcesses {
        let sources = self.route.sources.iter();
        let observers = sources.flat_map(|source| &source.observer_slot);
        PathProcesses {
            path: self.route.path,
            slots: self.route.slots().cloned().collect(),
            observer_slots: observers.cloned().collect(),
            threads: self.workers.threads.clone(),
        }
    }
}
