//! The main job: bring up, set up, warm up, load, follow, drain, verify, report, clean up.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use tokio_util::sync::CancellationToken;

use super::checkpoints::Checkpoint;
use super::circumstances::Circumstances;
use super::clocks::Clocks;
use super::cpu::Used;
use super::environment::Surroundings;
use super::gauge::Meters;
use super::leg::{Course, Leg, PathOutcome, add_used};
use super::observer::RunNames;
use super::route::Route;
use super::setup::{SourceNeeds, prepare_source};
use super::summary::{self, Facts, PathFacts};
use super::warm::WarmUp;
use super::{
    ConnectorRequest, Failure, Kind, Metrics, RunProgress, Servers, Traces, clean_up, exit,
};
use crate::load::{Limit, LoadSummary, Rate};
use crate::settings::Settings;
use crate::store::{Scope, verify};
use cdc_bench_model::RunId;
use cdc_bench_model::analysis::Targets;
use cdc_bench_model::report::{Recorder, Report, ResultFolder};
use cdc_bench_model::timeline::{CapturePath, Clock};
use cdc_bench_stack::Stack;

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
    pub warmup: WarmUp,
    /// Seed of the events.
    pub seed: u64,
    /// The capture paths, the first of which the objectives are for. None comes twice.
    pub paths: Vec<CapturePath>,
    /// How often each path has its turn; `None`: all at once, on the same inserts.
    pub rounds: Option<u32>,
    /// Which connector.
    pub connector: ConnectorRequest,
    /// How long every event is held up between its receipt and its write.
    pub transform_delay: Option<Duration>,
    /// Whether our reader looks on beside Debezium.
    pub observer: bool,
    /// What has to be reached.
    pub targets: Targets,
    /// Longest time without an event coming through before the drain gives up.
    pub drain_timeout: Duration,
    /// Folder of the result.
    pub folder: ResultFolder,
    /// Where whoever watches reads the figures while the run goes on.
    pub metrics: Option<Arc<Metrics>>,
    /// Where its events leave their traces.
    pub traces: Option<Arc<Traces>>,
}

impl RunRequest {
    /// The legs: one of all paths, or each path alone in every round, in an order that the seed shuffles.
    fn legs(&self) -> Vec<Leg> {
        let Some(rounds) = self.rounds else {
            return vec![Leg {
                round: 0,
                paths: self.paths.clone(),
                names: RunNames::of(&self.id),
                limit: self.limit,
                done: 0,
                settles_connect: self.paths.contains(&CapturePath::Debezium),
            }];
        };
        let mut rng = rand::rngs::Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let mut legs = Vec::new();
        for round in 0..rounds {
            let mut paths = self.paths.clone();
            paths.shuffle(&mut rng);
            legs.extend(paths.into_iter().map(|path| Leg {
                round,
                paths: vec![path],
                names: RunNames::of_path(&self.id, path),
                limit: part_of(self.limit, round, rounds),
                done: 0,
                settles_connect: round == 0 && path == CapturePath::Debezium,
            }));
        }
        legs
    }

    /// Slots and senders that must be free at once.
    fn slots(&self) -> i64 {
        let of = |path: &CapturePath| match path {
            // The connector's and the observer's.
            CapturePath::Debezium => 2,
            CapturePath::Wal | CapturePath::Embedded => 1,
        };
        let slots = self.paths.iter().map(of);
        match self.rounds {
            Some(_) => slots.max().unwrap_or(0),
            None => slots.sum(),
        }
    }

    /// The `run_id` that a path's measured rows have.
    pub(super) fn names_of(&self, path: CapturePath) -> RunNames {
        match self.rounds {
            Some(_) => RunNames::of_path(&self.id, path),
            None => RunNames::of(&self.id),
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
    let stack = Stack::bring_up(&request.settings.servers(), progress, &cancel).await?;
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

/// The same on servers that are up, and stay so. What goes away with them is left on them.
///
/// # Errors
/// As [`run`].
pub async fn run_on(
    request: &RunRequest,
    stack: &Stack,
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<Report, Failure> {
    let started_at = jiff::Timestamp::now();
    progress.begin("set-up");
    progress.update("set-up", "connecting to the servers");
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
        (_, Ok(removed)) => {
            tracing::info!(%removed, "clean-up");
            progress.end("clean-up", &removed.in_short());
        }
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
    progress.update("set-up", "tables and publication");
    let needs = SourceNeeds {
        run_id: Some(request.id.clone()),
        slots: request.slots(),
        permanent_slot: None,
    };
    let source = prepare_source(&servers.postgres, &servers.ledger, &needs).await?;
    progress.update("set-up", "measuring clocks");
    let probe_topic = format!("cdc_bench_clock_{}", request.id);
    servers
        .ledger
        .record(Kind::Topic, &probe_topic, Some(&request.id))
        .await?;
    servers.kafka.create_topic(&probe_topic).await?;
    let clocks = Clocks::start(servers, &probe_topic, stack.has_one_clock(), clock).await?;
    let meters = Meters::new(&request.paths);
    let recorder = Recorder::start(&request.folder, &request.paths, meters.listener())?;
    let course = Course {
        request,
        stack,
        servers,
        publication: &source.publication,
        clocks: &clocks,
        recorder: &recorder,
        meters: &meters,
        clock,
        progress,
        cancel,
    };
    let followed = follow(&course).await?;
    let finished = clock.now();

    progress.begin("verification");
    progress.update("verification", "measuring clocks");
    let clocks = clocks.stop().await?;
    progress.update("verification", "closing the recordings");
    let recordings = tokio::task::spawn_blocking(move || recorder.finish()).await;
    let recordings = recordings.map_err(|panicked| Failure::new(exit::USAGE, panicked))??;
    let mut paths = Vec::new();
    for (outcome, recording) in followed.paths.into_iter().zip(recordings) {
        let scope = Scope::Run(request.names_of(recording.path).measured);
        let store = &outcome.route.store;
        let compared = |count: u64| {
            let detail = format!("{count} events compared");
            progress.update("verification", &detail);
        };
        let verified = verify(&servers.postgres, store, scope, &compared, cancel.clone()).await;
        let verification = verified.map_err(|error| {
            Failure::new(exit::DATA, error).context("comparing PostgreSQL with the store")
        })?;
        paths.push(PathFacts {
            outcome,
            recording,
            verification,
        });
    }
    let matches: Vec<_> = paths
        .iter()
        .map(|path| path.verification.match_percent.to_string())
        .collect();
    progress.end("verification", &format!("{} % match", matches.join(", ")));

    let routes = paths.iter().map(|path| &path.outcome.route);
    let surroundings = Surroundings::read(servers, routes, stack).await;
    Ok(summary::report(Facts {
        request,
        paths,
        stack: stack.kind(),
        started_at,
        surroundings,
        load: followed.load,
        warmup_events: followed.warmup_events,
        shared: followed.shared,
        circumstances: followed.circumstances,
        checkpoints: followed.checkpoints,
        finished,
        server_restarts: stack.restarts(started_at),
        steered: progress.pace().map_or_else(Vec::new, |pace| pace.changes()),
        clocks,
    }))
}

/// What all legs together came to.
struct Followed {
    /// In the request's order.
    paths: Vec<PathOutcome>,
    load: LoadSummary,
    /// Events before the measured ones, of the leg that had most.
    warmup_events: u64,
    /// Processor time of what paths at work at once have shared.
    shared: Used,
    circumstances: Circumstances,
    checkpoints: Vec<Checkpoint>,
}

/// Goes leg by leg. The first has been begun as `set-up`.
async fn follow(course: &Course<'_>) -> Result<Followed, Failure> {
    let (request, progress) = (course.request, course.progress);
    let legs = request.legs();
    let count = legs.len();
    let mut outcomes: Vec<PathOutcome> = Vec::new();
    let (mut load, mut shared) = (LoadSummary::default(), Used::new());
    let mut warmup_events = 0;
    let mut circumstances = Circumstances::default();
    let mut checkpoints = Vec::new();
    let mut before: Vec<Route> = Vec::new();
    for (number, mut leg) in (1..).zip(legs) {
        let step = match number {
            1 => "set-up".to_owned(),
            number => format!("turn {number} of {count}"),
        };
        if number > 1 {
            progress.begin(&step);
            progress.update(&step, "removing what the turn before has captured with");
        }
        for route in before.drain(..) {
            clean_up::remove_capture(course.servers, &route).await?;
        }
        let of = |path: &CapturePath| {
            let known = outcomes.iter().find(|known| known.route.path == *path);
            known.map_or(0, |known| known.tally.sent)
        };
        leg.done = leg.paths.iter().map(of).max().unwrap_or(0);
        let paths = course
            .begin(&leg, &|detail| progress.update(&step, detail))
            .await?;
        let routes: Vec<_> = paths.iter().map(|path| path.route.describe()).collect();
        progress.end(&step, &routes.join("; "));
        let outcome = course.go(&leg, paths).await?;
        load.add(&outcome.load);
        warmup_events = outcome.warmup_events.max(warmup_events);
        add_used(&mut shared, outcome.shared);
        circumstances.add(&outcome.circumstances);
        checkpoints.extend(outcome.checkpoints);
        for path in outcome.paths {
            before.push(path.route.clone());
            match outcomes
                .iter_mut()
                .find(|known| known.route.path == path.route.path)
            {
                Some(known) => known.add(path),
                None => outcomes.push(path),
            }
        }
    }
    let position = |path: &PathOutcome| request.paths.iter().position(|p| *p == path.route.path);
    outcomes.sort_by_key(position);
    Ok(Followed {
        paths: outcomes,
        load,
        warmup_events,
        shared,
        circumstances,
        checkpoints,
    })
}

/// One round's part of a load.
fn part_of(limit: Limit, round: u32, rounds: u32) -> Limit {
    match limit {
        Limit::Events(count) => {
            let (rounds, round) = (u64::from(rounds), u64::from(round));
            Limit::Events(count / rounds + u64::from(round < count % rounds))
        }
        Limit::Duration(span) => Limit::Duration(span / rounds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_load_are_the_whole() {
        let events = |round| match part_of(Limit::Events(10), round, 4) {
            Limit::Events(count) => count,
            Limit::Duration(_) => 0,
        };
        assert_eq!([0, 1, 2, 3].map(events), [3, 3, 2, 2]);
        let span = part_of(Limit::Duration(Duration::from_secs(10)), 3, 4);
        assert_eq!(span, Limit::Duration(Duration::from_millis(2_500)));
    }
}
