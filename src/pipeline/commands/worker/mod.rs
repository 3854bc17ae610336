//! `worker`: a part of the work of a test that is spread over machines.

mod heartbeats;
mod share_load;
mod stamp_intake;
mod taking_part;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use cdc_bench_stack::Endpoints;
use tokio_util::sync::CancellationToken;

use crate::pipeline::commands::worker::heartbeats::{Heartbeats, Standing};
use crate::pipeline::commands::worker::taking_part::TakingPart;
use crate::pipeline::distributed::control_record::{
    ControlRecord, TestPlan, WorkerOffer, WorkerPhase, WorkerRole,
};
use crate::pipeline::distributed::control_topic::{ControlTopic, control_topic};
use crate::pipeline::failure::Failure;
use crate::pipeline::progress::RunProgress;
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::run::clocks::common_clock;
use crate::settings::Settings;

/// Between two looks at whether there is a test.
const TEST_POLL: Duration = Duration::from_secs(1);
/// Between two looks at how the test stands.
const TICK: Duration = Duration::from_millis(50);

/// Parameters of `worker`.
#[derive(Debug, Clone)]
pub struct WorkerRequest {
    /// Name of the test.
    pub test: String,
    /// Name of the worker.
    pub name: String,
    /// What it offers to do.
    pub roles: BTreeSet<WorkerRole>,
    /// Folder that has a folder for what each worker of a run has recorded.
    pub results: PathBuf,
}

/// What a worker has done.
#[derive(Debug, Clone)]
pub struct Worked {
    /// The run.
    pub run: String,
    /// Events that it inserted.
    pub inserted: u64,
    /// Events that it wrote into the store, of all paths.
    pub written: u64,
    /// Where its events are.
    pub folder: PathBuf,
}

/// Takes part in a test: waits for it, does its share, and ends with it.
///
/// # Errors
/// When a server is unreachable, the share cannot be done, or the test was given up.
pub async fn work(
    request: &WorkerRequest,
    settings: &Settings,
    endpoints: &Endpoints,
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<Worked, Failure> {
    let step = "worker";
    progress.begin(step);
    progress.update(step, "connecting to the servers");
    let servers = tokio::select! {
        () = cancel.cancelled() => return Err(Failure::interrupted()),
        servers = ServerClients::connect(endpoints) => servers?,
    };
    let topic = control_topic(&request.test);
    let waiting = format!(
        "waiting for test {} (cdc-bench run --workers N --test {})",
        request.test, request.test
    );
    while servers.kafka.topic(&topic).await?.is_none() {
        progress.update(step, &waiting);
        tokio::select! {
            () = cancel.cancelled() => return Err(Failure::interrupted()),
            () = tokio::time::sleep(TEST_POLL) => {}
        }
    }
    let (clock, host_offset) = common_clock(&servers.postgres).await?;
    tracing::info!(%host_offset, "PostgreSQL's clock is ahead of this machine's");
    let control = ControlTopic::join(&servers.kafka_config, &request.test)?;
    control.say(&ControlRecord::Offer(offer(request))).await?;
    let standing = Standing::new(&request.name);
    let heartbeats = Heartbeats::start(&servers.kafka_config, &request.test, standing.clone())?;
    progress.update(step, "waiting for the others");
    let outcome = async {
        let plan = wait_for_plan(&control, &request.name, cancel).await?;
        let part = TakingPart {
            request,
            settings,
            servers: &servers,
            control: &control,
            standing: &standing,
            clock,
            progress,
            step,
        };
        tokio::select! {
            () = cancel.cancelled() => Err(Failure::interrupted()),
            reason = given_up(&control) => Err(reason),
            worked = part.run(plan) => worked,
        }
    };
    let outcome = outcome.await;
    if let Ok(worked) = &outcome {
        progress.update(step, "waiting for the end of the test");
        wait_for_end(&control, cancel).await;
        let detail = format!(
            "{} inserted, {} written, in run {}",
            worked.inserted, worked.written, worked.run
        );
        progress.end(step, &detail);
    }
    let failure = outcome.as_ref().err().map(ToString::to_string);
    let is_told = control.read(|state| state.end.is_some());
    heartbeats.finish(failure.filter(|_| !is_told)).await;
    control.leave().await;
    outcome
}

fn offer(request: &WorkerRequest) -> WorkerOffer {
    WorkerOffer {
        worker: request.name.clone(),
        roles: request.roles.clone(),
        host: machine_name(),
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// The name of this machine, or of the container.
#[must_use]
pub fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let name = name.or_else(|_| std::env::var("HOSTNAME"));
    name.map_or_else(|_| "worker".to_owned(), |name| name.trim().to_owned())
}

/// Waits until the coordinator says what the test is.
async fn wait_for_plan(
    control: &ControlTopic,
    name: &str,
    cancel: &CancellationToken,
) -> Result<TestPlan, Failure> {
    loop {
        let (plan, end) = control.read(|state| (state.plan.clone(), state.end.clone()));
        if let Some(reason) = end {
            return Err(over(reason));
        }
        if let Some(plan) = plan {
            if plan.workers.contains(name) {
                return Ok(plan);
            }
            return Err(Failure::usage(anyhow::anyhow!(
                "the test has its workers already, and {name} is not among them"
            )));
        }
        tokio::select! {
            () = cancel.cancelled() => return Err(Failure::interrupted()),
            () = control.changed() => {}
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// The end of a test before its results were collected.
async fn given_up(control: &ControlTopic) -> Failure {
    loop {
        if let Some(reason) = control.read(|state| state.end.clone()) {
            return over(reason);
        }
        tokio::time::sleep(TICK).await;
    }
}

fn over(reason: Option<String>) -> Failure {
    match reason {
        Some(reason) => Failure::server(anyhow::anyhow!("the test was given up: {reason}")),
        None => Failure::server(anyhow::anyhow!("the test was over before")),
    }
}

async fn wait_for_end(control: &ControlTopic, cancel: &CancellationToken) {
    while control.read(|state| state.end.is_none()) {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = control.changed() => {}
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

impl Standing {
    /// It is ready, and its phase goes on.
    fn reach(&self, phase: WorkerPhase) {
        self.set(|standing| standing.phase = standing.phase.max(phase));
    }
}
