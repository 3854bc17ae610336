//! What every trial of a run works with, and what a trial is.

use std::sync::Arc;

use cdc_bench_model::report::Recorder;
use cdc_bench_model::timeline::{CapturePath, Clock};
use cdc_bench_stack::Stack;
use tokio_util::sync::CancellationToken;

use crate::load::Limit;
use crate::pipeline::monitor::cpu::PathProcesses;
use crate::pipeline::monitor::server_monitor::MonitoredPath;
use crate::pipeline::progress::RunProgress;
use crate::pipeline::provision::route::Route;
use crate::pipeline::provision::servers::Servers;
use crate::pipeline::request::{RunNames, RunRequest};
use crate::pipeline::run::clocks::Clocks;
use crate::pipeline::run::live_metrics::LiveMetrics;
use crate::pipeline::run::observer::PathObserver;
use crate::pipeline::run::workers::Workers;

/// What every trial of a run works with.
#[derive(Clone, Copy)]
pub(crate) struct RunContext<'a> {
    pub(crate) request: &'a RunRequest,
    pub(crate) stack: &'a Stack,
    pub(crate) servers: &'a Servers,
    pub(crate) publication: &'a str,
    pub(crate) clocks: &'a Clocks,
    pub(crate) recorder: &'a Recorder,
    pub(crate) live_metrics: &'a LiveMetrics,
    pub(crate) clock: Clock,
    pub(crate) progress: &'a dyn RunProgress,
    pub(crate) cancel: &'a CancellationToken,
}

/// Which paths, and which events.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    pub(crate) round: u32,
    pub(crate) paths: Vec<CapturePath>,
    pub(crate) names: RunNames,
    pub(crate) limit: Limit,
    /// Events that earlier trials of the same load have inserted.
    pub(crate) done: u64,
    /// Whether it is the first on Debezium's path: its warm-up tells Connect's clock.
    pub(crate) settles_connect: bool,
}

/// A path at work: its way through the servers, who follows it, and where its events meet.
pub(crate) struct ActivePath {
    pub(crate) route: Route,
    pub(crate) observer: Arc<PathObserver>,
    pub(crate) workers: Workers,
}

impl ActivePath {
    /// What the server monitor asks about it.
    pub(crate) fn monitored(&self) -> MonitoredPath {
        let connector = self.route.connector.as_ref();
        MonitoredPath {
            path: self.route.path,
            slot: self.route.slot.clone(),
            backlog: self.workers.backlog.clone(),
            connector: connector.map(|connector| connector.name.clone()),
        }
    }

    /// What works for it alone.
    pub(crate) fn processes(&self) -> PathProcesses {
        PathProcesses {
            path: self.route.path,
            slot: self.route.slot.clone(),
            observer_slot: self.route.observer_slot.clone(),
            threads: self.workers.threads.clone(),
        }
    }
}
