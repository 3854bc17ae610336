//! The main job: bring up, set up, warm up, load, follow, drain, verify, report, clean up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::capture;
use super::clocks::{self, Measured};
use super::environment::Surroundings;
use super::followers::Followers;
use super::observer::{RunNames, RunObserver};
use super::phases::Phases;
use super::summary::{self, Facts};
use super::{CaptureRequest, Failure, Kind, RunProgress, Servers, clean_up, exit};
use crate::analysis::Targets;
use crate::config::{RunId, Settings};
use crate::load::{Limit, Rate};
use crate::report::{Recorder, Report, ResultFolder};
use crate::stack::{Stack, StackKind};
use crate::store::{Scope, verify};
use crate::timeline::{Clock, Corrections, Joiner, Nanos};

/// The one capture path of this release.
const PATH: &str = "debezium";
/// What a run is asked to do.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// Name of the run.
    pub id: RunId,
    /// Endpoints and what else comes from the environment.
    pub settings: Settings,
    /// How much is measured.
    pub limit: Limit,
    /// How fast.
    pub rate: Rate,
    /// Rows a transaction.
    pub insert_batch: usize,
    /// Connections of the load generator.
    pub connections: usize,
    /// Events before the measured ones.
    pub warmup: u64,
    /// Seed of the events.
    pub seed: u64,
    /// Which connector.
    pub capture: CaptureRequest,
    /// What has to be reached.
    pub targets: Targets,
    /// Longest time without an event coming through before the drain gives up.
    pub drain_timeout: Duration,
    /// Folder of the result.
    pub folder: ResultFolder,
}

impl RunRequest {
    pub(super) fn expected(&self) -> Option<u64> {
        match self.limit {
            Limit::Events(count) => Some(count),
            Limit::Duration(_) => None,
        }
    }
}

/// Does it all. Whatever happens, what the run made on servers is removed and what it started is stopped.
///
/// # Errors
/// When the run has no result; a result that misses its objectives is one.
pub async fn run(
    request: RunRequest,
    progress: &dyn RunProgress,
    cancel: CancellationToken,
) -> Result<Report, Failure> {
    let started_at = jiff::Timestamp::now();
    let stack = Stack::bring_up(&request.settings, progress, &cancel).await?;
    let outcome = on_stack(&request, &stack, started_at, progress, &cancel).await;
    if outcome
        .as_ref()
        .is_err_and(|failure| !failure.is_interrupt())
        && let Some(dir) = stack.log_dir()
    {
        tracing::info!(logs = %dir.display(), "logs of the servers");
    }
    stack.stop(progress);
    outcome
}

async fn on_stack(
    request: &RunRequest,
    stack: &Stack,
    started_at: jiff::Timestamp,
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<Report, Failure> {
    let servers = tokio::select! {
        () = cancel.cancelled() => return Err(Failure::interrupted()),
        servers = Servers::connect(stack.endpoints()) => servers?,
    };
    let outcome = tokio::select! {
        () = cancel.cancelled() => Err(Failure::interrupted()),
        outcome = measured(request, stack, &servers, started_at, progress, cancel) => outcome,
    };
    progress.load_over();
    // Servers of our own go away with everything on them.
    if stack.exclusive() {
        return outcome;
    }
    progress.begin("clean-up");
    let removed = clean_up::remove_run(&servers, &request.id, progress).await;
    match (&outcome, removed) {
        (_, Ok(removed)) => progress.end("clean-up", &removed.to_string()),
        (Ok(_), Err(failure)) => return Err(failure),
        (Err(_), Err(failure)) => {
            tracing::error!(%failure, "clean-up failed; \"cdc-bench cleanup\" tries again")
        }
    }
    outcome
}

async fn measured(
    request: &RunRequest,
    stack: &Stack,
    servers: &Servers,
    started_at: jiff::Timestamp,
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<Report, Failure> {
    let clock = Clock::start();
    progress.begin("set-up");
    let capture = capture::prepare(
        servers,
        request,
        stack,
        &|detail| progress.update("set-up", detail),
        cancel,
    )
    .await?;
    progress.update("set-up", "measuring clocks");
    let probe_topic = format!("cdc_bench_clock_{}", request.id);
    servers
        .ledger
        .record(Kind::Topic, &probe_topic, Some(&request.id))
        .await?;
    servers.kafka.create_topic(&probe_topic).await?;
    let offsets = clocks::measure(
        &servers.postgres,
        &servers.kafka_config,
        &probe_topic,
        clock,
    )
    .await?;

    progress.update("set-up", "starting reader and consumer");
    let one_host = stack.kind() != StackKind::External;
    let corrections = Corrections {
        postgres: offsets.postgres.offset,
        broker: offsets.broker.offset,
        // Connect's clock has no round trip of its own; on one host it is PostgreSQL's.
        connect: if one_host {
            offsets.postgres.offset
        } else {
            Nanos(0)
        },
    };
    let recorder = Recorder::start(&request.folder, PATH)?;
    let observer = Arc::new(RunObserver::new(
        RunNames::of(&request.id),
        Joiner::new(corrections),
        recorder.handle(),
    ));
    let followers =
        Followers::start(request, servers, &capture, recorder, &observer, clock).await?;
    progress.end("set-up", &capture.describe());

    let mut phases = Phases {
        request,
        stack,
        servers,
        observer: &observer,
        followers,
        clock,
        progress,
        cancel,
    };
    progress.begin("first event through");
    phases.probe().await?;
    progress.end("first event through", "the connector has caught up");
    phases.warm_up().await?;

    let before = servers
        .kafka
        .end_offsets(&capture.topic, capture.partitions)
        .await?;
    let foreign_before = observer.foreign.load(Ordering::Relaxed);
    let load = phases.load().await?;
    let drained = phases.drain().await?;
    let followers = phases.followers;
    let finished = clock.now();
    let after = servers
        .kafka
        .end_offsets(&capture.topic, capture.partitions)
        .await?;
    let foreign = observer.foreign.load(Ordering::Relaxed) - foreign_before;

    progress.begin("verification");
    let offsets_end = clocks::measure(
        &servers.postgres,
        &servers.kafka_config,
        &probe_topic,
        clock,
    )
    .await;
    let offsets_end = offsets_end
        .inspect_err(|error| tracing::warn!(%error, "clocks could not be measured again"))
        .ok();
    let (recording, connector_restarts) = followers.stop(&observer).await?;
    let verification = verify(
        &servers.postgres,
        &servers.store,
        Scope::Run(request.id.to_string()),
        cancel.clone(),
    )
    .await;
    let verification = verification.map_err(|error| {
        Failure::new(exit::DATA, error).context("comparing PostgreSQL with the store")
    })?;
    progress.end(
        "verification",
        &format!("{} % match", verification.match_percent),
    );

    let surroundings = Surroundings::read(servers, &capture, stack).await;
    let facts = Facts {
        request,
        path: PATH,
        stack: stack.kind(),
        started_at,
        capture: &capture,
        surroundings,
        tally: observer.joiner.tally(),
        in_kafka: (after - before).saturating_sub(foreign),
        dead_letters: observer.dead_letters.load(Ordering::Relaxed),
        load,
        finished,
        drained,
        connector_restarts,
        server_restarts: stack.restarts(),
        recording,
        postgres_clock: Measured {
            start: offsets.postgres,
            end: offsets_end.map(|o| o.postgres),
        },
        broker_clock: Measured {
            start: offsets.broker,
            end: offsets_end.map(|o| o.broker),
        },
        connect_shares_clock: one_host,
        verification,
    };
    Ok(summary::report(facts))
}
