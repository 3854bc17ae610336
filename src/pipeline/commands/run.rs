//! The main job: bring up, set up, warm up, load, follow, drain, verify, report, clean up.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use cdc_bench_model::RunId;
use cdc_bench_model::report::{Recorder, Report, Stored};
use cdc_bench_model::timeline::{CapturePath, Clock};
use cdc_bench_stack::{Stack, StackKind};
use tokio_util::sync::CancellationToken;

use crate::pipeline::commands::comparison::compare;
use crate::pipeline::commands::resume::set_recordings_aside;
use crate::pipeline::distributed::coordinator::Coordinator;
use crate::pipeline::failure::{Failure, exit};
use crate::pipeline::monitor::disk_guard::DiskGuard;
use crate::pipeline::monitor::postgres_guard::PostgresGuard;
use crate::pipeline::monitor::store_guard::watch_store;
use crate::pipeline::outcome::environment::read_environment;
use crate::pipeline::outcome::facts::{PathFacts, RunFacts};
use crate::pipeline::outcome::report::build_report;
use crate::pipeline::outcome::stored_report::store_report;
use crate::pipeline::progress::RunProgress;
use crate::pipeline::provision::clean_up::remove_run;
use crate::pipeline::provision::connector::check_connector;
use crate::pipeline::provision::group::check_groups;
use crate::pipeline::provision::load_permission::check_load;
use crate::pipeline::provision::patience::Patience;
use crate::pipeline::provision::removal::Removal;
use crate::pipeline::provision::resource_registry::ResourceKind;
use crate::pipeline::provision::rights::missing_rights;
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::provision::session_lock::{LockKey, SessionLock};
use crate::pipeline::provision::source::{
    SourceNeeds, check_replication, check_shards, check_writable, prepare_shards, prepare_source,
};
use crate::pipeline::request::RunRequest;
use crate::pipeline::run::clocks::{Clocks, common_clock};
use crate::pipeline::run::cluster_process::check_processes;
use crate::pipeline::run::context::RunContext;
use crate::pipeline::run::links::Links;
use crate::pipeline::run::live_metrics::LiveMetrics;
use crate::pipeline::run::trials::run_trials;

/// A run with a result, which is in its folder whatever came after.
#[derive(Debug)]
pub struct FinishedRun {
    /// The result.
    pub stored: Stored,
    /// Whether all that comes after the measurement was done: stores compared, and what the run made on the servers removed.
    pub completed: Result<(), Failure>,
}

/// Makes a run. Whatever its outcome, resources that it created on servers are removed and servers that it started are stopped.
///
/// # Errors
/// When the run has no result; a result that misses its objectives is one.
pub async fn run(
    request: RunRequest,
    progress: &dyn RunProgress,
    cancel: CancellationToken,
) -> Result<FinishedRun, Failure> {
    disk_guard(&request, None).check()?;
    let stack = Stack::bring_up(&request.servers(), progress, &cancel).await?;
    let outcome = run_on(&request, &stack, progress, &cancel).await;
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

/// Makes a run on servers that are up and stay up. On servers that are discarded afterwards no resources are removed.
///
/// # Errors
/// As [`run`].
pub async fn run_on(
    request: &RunRequest,
    stack: &Stack,
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<FinishedRun, Failure> {
    let started_at = jiff::Timestamp::now();
    if request.distributed.is_some() && stack.exclusive() {
        return Err(Failure::usage(anyhow::anyhow!(
            "another run uses the stack that is kept, and workers reach no other: wait for its end (cdc-bench stack status)"
        )));
    }
    check_processes(&request.faults, stack)?;
    let links = Links::open(&request.faults, stack)?;
    progress.begin("set-up");
    progress.update("set-up", "connecting to the servers");
    let endpoints = links.endpoints(stack.endpoints());
    let servers = tokio::select! {
        () = cancel.cancelled() => return Err(Failure::interrupted()),
        servers = ServerClients::connect(&endpoints) => servers?,
    };
    let silence = request.longest_silence();
    let limits = (request.limits.retained_wal, silence);
    let postgres_guard = PostgresGuard::new(&endpoints.postgres, &request.id, limits);
    let disk_guard = disk_guard(request, Some(stack));
    // From then on there is a result, whoever is silent and whatever the user wants.
    let measured = CancellationToken::new();
    // Its workers are told of the end, whatever it is.
    let test = OnceLock::new();
    // Until the clean-up is over.
    let mut life_sign = None;
    let outcome = tokio::select! {
        () = unless(&measured, cancel.cancelled()) => Err(Failure::interrupted()),
        reached = unless(&measured, postgres_guard.watch()) => Err(reached),
        reached = disk_guard.watch() => Err(reached),
        silent = unless(&measured, watch_store(&servers.store, silence)) => Err(silent),
        outcome = async {
            life_sign = give_life_sign(request, stack, &servers).await?;
            let is_registered = life_sign.as_ref().is_some_and(|lock| !lock.is_shared());
            let means = (&servers, &links, &postgres_guard, is_registered, &test);
            let ends = (&measured, cancel);
            let measured = run_measured(request, stack, means, started_at, progress, ends).await;
            match measured {
                Err(failure) if failure.exit_code() == exit::SERVER => Err(postgres_guard.explain(failure).await),
                measured => measured,
            }
        } => outcome,
    };
    progress.load_over();
    if let Some(test) = test.into_inner() {
        let failed = outcome.as_ref().err().map(ToString::to_string);
        test.end(failed).await;
    }
    // Before anything else that may fail.
    let outcome = outcome
        .and_then(|(report, compared)| Ok((store_report(&report, &request.folder)?, compared)));
    let outcome = outcome.map_err(|failure| match &life_sign {
        Some(_) if can_be_taken_up(request, &failure) => failure.context(format!(
            "run {id} is not cleaned up after: \"cdc-bench run --resume {id}\" takes it up again, \"cdc-bench cleanup --run {id}\" gives it up",
            id = request.id
        )),
        _ => failure,
    });
    let is_to_stay = matches!(&outcome, Err(failure) if can_be_taken_up(request, failure));
    // Our own servers are discarded with everything on them; and without its lock a run has made nothing.
    let clean_up = if stack.exclusive() || life_sign.is_none() || is_to_stay {
        Ok(())
    } else {
        // Before anything else: what a failed run has taken away must be there to be cleaned up.
        stack.bring_back();
        progress.begin("clean-up");
        let failure = outcome.as_ref().err();
        if let Some(failure) = failure.filter(|failure| !failure.is_interrupt()) {
            // Before a clean-up that may take long where a server is away.
            tracing::error!(%failure, "the run ends");
        }
        let of = (&request.id, failure.is_some());
        let removed = clean_up(&servers, of, progress, cancel).await;
        removed.map(|removed| {
            tracing::info!(%removed, "clean-up");
            progress.end("clean-up", &removed.summary());
        })
    };
    let (stored, compared) = outcome.inspect_err(|_| {
        if let Err(failure) = &clean_up {
            tracing::error!(%failure, "clean-up failed; \"cdc-bench cleanup\" tries again");
        }
    })?;
    let clean_up = clean_up.map_err(|failure| {
        failure.context("the run has its result, but what it made on the servers is not all removed; \"cdc-bench cleanup\" tries again")
    });
    let completed = match (compared, clean_up) {
        (Err(failure), Err(left)) => {
            tracing::error!(failure = %left, "clean-up failed");
            Err(failure)
        }
        (compared, clean_up) => compared.and(clean_up),
    };
    Ok(FinishedRun { stored, completed })
}

/// What ends a run, unless it has been measured by then.
async fn unless<T>(measured: &CancellationToken, end: impl Future<Output = T>) -> T {
    let end = end.await;
    if measured.is_cancelled() {
        std::future::pending().await
    }
    end
}

/// Guards the disk of the results, and that of servers of ours.
fn disk_guard(request: &RunRequest, stack: Option<&Stack>) -> DiskGuard {
    let servers = stack.and_then(Stack::data_dir);
    let folders = [Some(request.folder.path()), servers].into_iter().flatten();
    DiskGuard::new(
        folders.map(Path::to_owned).collect(),
        request.limits.free_disk,
    )
}

/// Removes what the run has made, by new clients if a fault has broken the run's.
async fn clean_up(
    servers: &ServerClients,
    run: (&RunId, bool),
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<Removal, Failure> {
    // Where a server does not answer, the run's own know at least what was made.
    let renewed = Patience::for_an_answer(cancel)
        .within(servers.renewed())
        .await;
    let renewed = renewed.transpose()?.flatten();
    let servers = renewed.as_ref().unwrap_or(servers);
    remove_run(servers, run, progress, cancel).await
}

/// Whether a run keeps what it has on the servers although it failed: it was taken up, and may be again once the reason is gone.
fn can_be_taken_up(request: &RunRequest, failure: &Failure) -> bool {
    request.resumption.is_some() && !failure.is_interrupt()
}

/// Holds the run's lock on servers that outlive it, so that others can tell that it lives.
async fn give_life_sign(
    request: &RunRequest,
    stack: &Stack,
    servers: &ServerClients,
) -> Result<Option<SessionLock>, Failure> {
    if stack.exclusive() {
        return Ok(None);
    }
    let keys = vec![LockKey::of_run(&request.id)];
    let lock = SessionLock::take(
        &stack.endpoints().postgres,
        &servers.postgres,
        keys,
        Duration::ZERO,
    )
    .await?;
    let lock = lock.ok_or_else(|| {
        Failure::usage(anyhow::anyhow!(
            "run {} is under way already in another process",
            request.id
        ))
    })?;
    if lock.is_shared() {
        tracing::warn!(
            "a pooler shares its sessions with PostgreSQL among clients: if this run is killed, that cannot be told there; \"cdc-bench cleanup --run {}\" removes what it leaves",
            request.id
        );
    }
    Ok(Some(lock))
}

/// Looks at what a run would meet on the servers, before anything is made.
async fn check_existing(
    request: &RunRequest,
    stack: &Stack,
    servers: &ServerClients,
    progress: &dyn RunProgress,
) -> Result<(), Failure> {
    check_writable(&servers.postgres, &servers.endpoints.postgres).await?;
    if stack.kind() == StackKind::External {
        let missing = missing_rights(&servers.postgres).await?;
        if !missing.is_empty() {
            return Err(Failure::server(anyhow::anyhow!("PostgreSQL: {missing}")));
        }
        let (postgres, consent) = (&servers.endpoints.postgres, &request.settings.yes_load);
        let consent = consent.as_deref();
        let outbox = check_load(&servers.postgres, &servers.registry, postgres, consent).await?;
        outbox.tell_of_rows(&request.id, progress);
    }
    let is_taken_up = request
        .distributed
        .as_ref()
        .is_some_and(|test| test.is_taken_up);
    if request.resumption.is_some() || is_taken_up {
        // Groups and connector are the run's own, and in use until a moment ago.
        return Ok(());
    }
    check_groups(servers, request).await?;
    if request.paths.contains(&CapturePath::Debezium) {
        let lifetime = (stack.exclusive(), stack.is_kept());
        check_connector(servers, request, lifetime).await?;
    }
    Ok(())
}

/// Sets up, runs the trials, compares the stores, and builds the report, which says so where they could not be compared.
async fn run_measured(
    request: &RunRequest,
    stack: &Stack,
    (servers, links, postgres_guard, is_registered, test): (
        &ServerClients,
        &Links,
        &PostgresGuard<'_>,
        bool,
        &OnceLock<Coordinator>,
    ),
    started_at: jiff::Timestamp,
    progress: &dyn RunProgress,
    (measured, cancel): (&CancellationToken, &CancellationToken),
) -> Result<(Report, Result<(), Failure>), Failure> {
    let clock = match &request.distributed {
        Some(_) => common_clock(&servers.postgres, Clock::start()).await?.0,
        None => Clock::start(),
    };
    progress.update("set-up", "looking for what is there");
    check_existing(request, stack, servers, progress).await?;
    check_shards(&servers.postgres, &servers.registry, request.shards).await?;
    progress.update("set-up", "tables and publication");
    let needs = SourceNeeds {
        run_id: Some(request.id.clone()),
        slots: request.required_slots(),
        connections: request.required_connections(),
        permanent_slot: None,
    };
    check_replication(&servers.postgres, &servers.endpoints.postgres).await?;
    if is_registered {
        let (kind, id) = (ResourceKind::Run, &request.id);
        servers.registry.record(kind, id.as_str(), Some(id)).await?;
    }
    let source = prepare_source(&servers.postgres, &servers.registry, &needs).await?;
    let prepared = (source, request.shards);
    let publications = prepare_shards(
        &servers.postgres,
        &servers.registry,
        prepared,
        Some(&request.id),
    );
    let publications = publications.await?;
    let mut workers = BTreeSet::new();
    if let Some(distributed) = &request.distributed {
        let partitions = request.partitions.unwrap_or(1);
        let opened = Coordinator::open(servers, &request.id, distributed, partitions).await?;
        let opened = test.get_or_init(|| opened);
        if !opened.is_taken_up() {
            workers = opened.wait_for_workers("set-up", progress, cancel).await?;
        }
    }
    progress.update("set-up", "measuring clocks");
    let probe_topic = match request.part() {
        1 => format!("cdc_bench_clock_{}", request.id),
        part => format!("cdc_bench_clock_{}_{part}", request.id),
    };
    servers
        .registry
        .record(ResourceKind::Topic, &probe_topic, Some(&request.id))
        .await?;
    servers.kafka.create_topic(&probe_topic, 1).await?;
    let clocks = Clocks::start(servers, &probe_topic, stack.has_one_clock(), clock).await?;
    let live_metrics = LiveMetrics::new(&request.paths);
    if request.resumption.is_some() {
        set_recordings_aside(&request.folder, request.part() - 1)?;
    }
    let recorder = Recorder::start(&request.folder, &request.paths, live_metrics.listener())?;
    let context = RunContext {
        request,
        stack,
        servers,
        links,
        postgres_guard,
        publications: &publications,
        clocks: &clocks,
        recorder: &recorder,
        live_metrics: &live_metrics,
        clock,
        distributed: test.get(),
        progress,
        cancel,
    };
    let trials = run_trials(&context, (workers, &probe_topic)).await?;
    let finished = clock.now();

    progress.begin("verification");
    let renewed = servers.renewed().await?;
    let servers = renewed.as_ref().unwrap_or(servers);
    progress.update("verification", "measuring clocks");
    let mut clocks = clocks.stop().await?;
    progress.update("verification", "closing the recordings");
    let recordings = tokio::task::spawn_blocking(move || recorder.finish()).await;
    let mut recordings = recordings.map_err(|panicked| Failure::new(exit::USAGE, panicked))??;
    let mut workers = Vec::new();
    if let Some(test) = test.get() {
        progress.update("verification", "collecting the results of the workers");
        recordings = test.collect(&request.paths, cancel).await?;
        let (any, ends) = test.bounds();
        clocks.set_workers(any, ends);
        workers = test.report();
    }
    let routes = trials.paths.iter().map(|outcome| &outcome.route);
    let environment = read_environment(servers, routes, stack).await;
    measured.cancel();
    let mut compared = Ok(());
    let mut paths = Vec::new();
    for (outcome, recording) in trials.paths.into_iter().zip(recordings) {
        let tell = |count: u64| {
            let detail = format!("{count} events compared");
            progress.update("verification", &detail);
        };
        let names = request.names_for(recording.path);
        let store = &outcome.route.store;
        let mut verification = None;
        if compared.is_ok() {
            let found = tokio::select! {
                () = cancel.cancelled() => Err(Failure::interrupted()),
                found = compare((servers, store, request.limits.silence), &names, &tell, cancel) => found,
            };
            match found {
                Ok(found) => verification = Some(found),
                Err(failure) => compared = Err(failure),
            }
        }
        paths.push(PathFacts {
            outcome,
            recording,
            verification,
        });
    }
    if workers.iter().any(|worker| worker.is_gone) {
        paths.iter_mut().for_each(PathFacts::count_by_stores);
    }
    let percents = paths.iter().filter_map(|path| path.verification.as_ref());
    let percents: Vec<_> = percents
        .map(|found| found.match_percent.to_string())
        .collect();
    let found = match compared {
        Ok(()) => format!("{} % match", percents.join(", ")),
        Err(_) => "not made".to_owned(),
    };
    progress.end("verification", &found);
    let report = build_report(RunFacts {
        request,
        paths,
        stack: stack.kind(),
        started_at,
        environment,
        load: trials.load,
        warmup_events: trials.warmup_events,
        shared: trials.shared,
        resource_usage: trials.resource_usage,
        checkpoints: trials.checkpoints,
        silences: trials.silences,
        slots: postgres_guard.incidents(),
        footprint: trials.footprint,
        collections: stack.gc_pauses(started_at),
        faults: trials.faults,
        faults_not_made: trials.faults_not_made,
        finished,
        server_restarts: stack.restarts(started_at),
        load_changes: progress.pace().map_or_else(Vec::new, |pace| pace.changes()),
        clocks,
        workers,
    });
    let compared = compared.map_err(|failure: Failure| {
        failure.context(
            "the run has its result, but the stores were not compared (\"cdc-bench verify\")",
        )
    });
    Ok((report, compared))
}
