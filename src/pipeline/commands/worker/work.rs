//! Waits for the test, takes part in it, and ends with it.

use std::time::Duration;

use cdc_bench_model::timeline::Clock;
use cdc_bench_stack::Endpoints;
use tokio_util::sync::CancellationToken;

use crate::pipeline::commands::worker::heartbeats::{Heartbeats, Standing};
use crate::pipeline::commands::worker::name::{free_name, taken};
use crate::pipeline::commands::worker::ntp;
use crate::pipeline::commands::worker::request::{Worked, WorkerRequest};
use crate::pipeline::commands::worker::taking_part::TakingPart;
use crate::pipeline::distributed::control_record::{
    ControlRecord, TestPlan, WorkerOffer, WorkerPhase,
};
use crate::pipeline::distributed::control_topic::{ControlTopic, control_topic};
use crate::pipeline::failure::Failure;
use crate::pipeline::progress::RunProgress;
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::run::clocks::common_clock;
use crate::settings::Settings;

/// Between two looks at whether there is a test.
const TEST_POLL: Duration = Duration::from_secs(1);
/// So long a coordinator may be away that is started again.
const DESERTED: Duration = Duration::from_secs(600);
/// Between two looks at how the test stands.
const TICK: Duration = Duration::from_millis(50);

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
    let ntp_bound = match request.trust_ntp {
        true => Some(ntp::bound().await?),
        false => None,
    };
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
    let own = Clock::start().ahead_by(request.clock_skew);
    let own = own.faster_by(request.clock_drift);
    let (clock, host_offset) = common_clock(&servers.postgres, own).await?;
    tracing::info!(%host_offset, "PostgreSQL's clock is ahead of this machine's");
    let request = &WorkerRequest {
        name: free_name(request, &servers, cancel).await?,
        ..request.clone()
    };
    let control = ControlTopic::join(&servers.kafka_config, &request.test)?;
    let offer = offer(request);
    control.say(&ControlRecord::Offer(offer.clone())).await?;
    let standing = Standing::new(&request.name);
    standing.set(|state| {
        state.set_by = host_offset;
        state.ntp_bound = ntp_bound;
    });
    let heartbeats = Heartbeats::start(&servers.kafka_config, &request.test, standing.clone())?;
    progress.update(step, "waiting for the others");
    let plan = tokio::select! {
        plan = wait_for_plan(&control, &request.name, cancel) => plan,
        failure = until_taken(&control, request, &offer) => {
            // What it says would be taken for the other's.
            heartbeats.abandon();
            return Err(failure);
        }
    };
    let outcome = async {
        let plan = plan?;
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
            () = ntp::follow(&standing), if request.trust_ntp => Err(Failure::interrupted()),
            reason = given_up(&control, &standing) => Err(reason),
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
    // Who is told to stop, as by a node that is drained, leaves its partitions to the others.
    let failure = outcome
        .as_ref()
        .err()
        .filter(|failure| !failure.is_interrupt());
    let failure = failure.map(ToString::to_string);
    let is_told = control.read(|state| state.end.is_some());
    heartbeats.finish(failure.filter(|_| !is_told)).await;
    control.leave().await;
    outcome
}

fn offer(request: &WorkerRequest) -> WorkerOffer {
    WorkerOffer {
        worker: request.name.clone(),
        instance: uuid::Uuid::now_v7(),
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

/// Until another worker, which began at the same moment, has taken the name.
async fn until_taken(
    control: &ControlTopic,
    request: &WorkerRequest,
    own: &WorkerOffer,
) -> Failure {
    loop {
        let failure = control.read(|state| {
            let last = state.offers.get(&request.name)?;
            (last.instance != own.instance).then(|| taken(state, request))
        });
        if let Some(failure) = failure {
            return failure;
        }
        tokio::time::sleep(TICK).await;
    }
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
        if is_deserted(control) {
            return Err(over(Some("its coordinator is gone".to_owned())));
        }
        if let Some(plan) = plan {
            if !plan.workers.contains(name) {
                tracing::info!(
                    "the test has begun: this worker takes partitions over, and loads nothing"
                );
            }
            return Ok(plan);
        }
        tokio::select! {
            () = cancel.cancelled() => return Err(Failure::interrupted()),
            () = control.changed() => {}
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// The end of a test before its results were collected.
async fn given_up(control: &ControlTopic, standing: &Standing) -> Failure {
    loop {
        let is_part_done = standing.read(|state| state.phase >= WorkerPhase::Collected);
        let end = control.read(|state| state.end.clone());
        if let Some(reason) = end.filter(|_| !is_part_done) {
            return over(reason);
        }
        if !is_part_done && is_deserted(control) {
            return Failure::server(anyhow::anyhow!(
                "the coordinator has said nothing for {} minutes; started again for the same test (cdc-bench run --test), it would have taken it up",
                DESERTED.as_secs() / 60
            ));
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

/// Whether the coordinator was not heard of for so long that it is not waited for any more.
fn is_deserted(control: &ControlTopic) -> bool {
    let silence = control.read(|state| state.coordinator_silence());
    silence.is_some_and(|silence| silence > DESERTED)
}

async fn wait_for_end(control: &ControlTopic, cancel: &CancellationToken) {
    while control.read(|state| state.end.is_none()) && !is_deserted(control) {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = control.changed() => {}
            () = tokio::time::sleep(TICK) => {}
        }
    }
}
