//! The trials of a run: one of all its capture paths, or, when they are interleaved, one per path and round.

use std::collections::BTreeSet;

use cdc_bench_model::report::FootprintSeries;
use cdc_bench_model::timeline::CapturePath;
use rand::SeedableRng;
use rand::seq::SliceRandom;

use crate::load::{Limit, LoadSummary};
use crate::pipeline::failure::Failure;
use crate::pipeline::faults::Fault;
use crate::pipeline::monitor::cpu::Used;
use crate::pipeline::monitor::postgres_checkpoints::PostgresCheckpoint;
use crate::pipeline::monitor::resource_usage::ResourceUsage;
use crate::pipeline::monitor::server_monitor::Silence;
use crate::pipeline::provision::clean_up;
use crate::pipeline::provision::route::Route;
use crate::pipeline::provision::source::{CONNECTOR_CONNECTIONS, READER_CONNECTIONS};
use crate::pipeline::request::{RunNames, RunRequest};
use crate::pipeline::run::context::{RunContext, Trial};
use crate::pipeline::run::fault_runner::MadeFault;
use crate::pipeline::run::trial_outcome::{PathOutcome, add_used};

impl RunRequest {
    /// The trials: one of all paths, or one per path and round, in an order shuffled by the seed.
    pub(crate) fn trials(&self) -> Vec<Trial> {
        let Some(rounds) = self.rounds else {
            return vec![Trial {
                round: 0,
                paths: self.paths.clone(),
                names: RunNames::for_run(&self.id, self.part()),
                limit: self.limit,
                done: self.resumption.as_ref().map_or(0, |again| again.next_seq),
                settles_connect: self.paths.contains(&CapturePath::Debezium),
            }];
        };
        let mut rng = rand::rngs::Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let mut trials = Vec::new();
        for round in 0..rounds {
            let mut paths = self.paths.clone();
            paths.shuffle(&mut rng);
            trials.extend(paths.into_iter().map(|path| Trial {
                round,
                paths: vec![path],
                names: RunNames::for_path(&self.id, path),
                limit: round_share(self.limit, round, rounds),
                done: 0,
                settles_connect: round == 0 && path == CapturePath::Debezium,
            }));
        }
        trials
    }

    /// Replication slots and WAL senders that are needed at the same time.
    pub(crate) fn required_slots(&self) -> i64 {
        let slots_of = |path: &CapturePath| match path {
            // The connector's and the observer's.
            CapturePath::Debezium => 2,
            CapturePath::Wal | CapturePath::Embedded => 1,
        };
        let shards = i64::from(self.shards.count());
        let slots = self.paths.iter().map(|path| slots_of(path) * shards);
        match self.rounds {
            Some(_) => slots.max().unwrap_or(0),
            None => slots.sum(),
        }
    }

    /// Connections to PostgreSQL that are needed at the same time besides those that set up, sessions of replication not counted.
    pub(crate) fn required_connections(&self) -> i64 {
        let connections_of = |path: &CapturePath| match path {
            CapturePath::Debezium => CONNECTOR_CONNECTIONS + READER_CONNECTIONS,
            CapturePath::Wal | CapturePath::Embedded => READER_CONNECTIONS,
        };
        let shards = i64::from(self.shards.count());
        let connections = self.paths.iter().map(|path| connections_of(path) * shards);
        let of_paths = match self.rounds {
            Some(_) => connections.max().unwrap_or(0),
            None => connections.sum(),
        };
        let of_load = i64::try_from(self.connections).unwrap_or(i64::MAX);
        // The clock's and the guard's.
        of_load.saturating_add(of_paths + 2)
    }
}

/// The outcome of all trials together.
pub(crate) struct TrialsOutcome {
    /// In the request's order.
    pub(crate) paths: Vec<PathOutcome>,
    pub(crate) load: LoadSummary,
    /// Warm-up events of the trial that had the most.
    pub(crate) warmup_events: u64,
    /// Processor time shared by paths that were active at the same time.
    pub(crate) shared: Used,
    pub(crate) resource_usage: ResourceUsage,
    pub(crate) checkpoints: Vec<PostgresCheckpoint>,
    pub(crate) silences: Vec<Silence>,
    pub(crate) footprint: FootprintSeries,
    pub(crate) faults: Vec<MadeFault>,
    pub(crate) faults_not_made: Vec<Fault>,
}

/// Executes the trials in order. The step `set-up` has begun for the first one.
/// Where it is spread over workers, these are its workers, and the topic that they measure the broker's clock by.
pub(crate) async fn run_trials(
    context: &RunContext<'_>,
    (workers, clock_topic): (BTreeSet<String>, &str),
) -> Result<TrialsOutcome, Failure> {
    let (request, progress) = (context.request, context.progress);
    let trials = request.trials();
    let count = trials.len();
    let mut outcomes: Vec<PathOutcome> = Vec::new();
    let (mut load, mut shared) = (LoadSummary::default(), Used::new());
    let mut warmup_events = 0;
    let mut resource_usage = ResourceUsage::default();
    let mut checkpoints = Vec::new();
    let mut silences = Vec::new();
    let mut footprint = FootprintSeries::default();
    let (mut faults, mut faults_not_made) = (Vec::new(), Vec::new());
    let mut previous_routes: Vec<Route> = Vec::new();
    for (number, mut trial) in (1..).zip(trials) {
        let step = match number {
            1 => "set-up".to_owned(),
            number => format!("turn {number} of {count}"),
        };
        if number > 1 {
            progress.begin(&step);
            progress.update(&step, "removing what the turn before has captured with");
        }
        for route in previous_routes.drain(..) {
            clean_up::remove_capture(context.servers, &route).await?;
        }
        let sent_before = |path: &CapturePath| {
            let known = outcomes.iter().find(|known| known.route.path == *path);
            known.map_or(0, |known| known.tally.sent)
        };
        trial.done += trial.paths.iter().map(sent_before).max().unwrap_or(0);
        let paths = context
            .start_paths(&trial, &|detail| progress.update(&step, detail))
            .await?;
        if let Some(test) = context.distributed
            && !test.is_taken_up()
        {
            let plan = context.test_plan(workers.clone(), clock_topic, &paths)?;
            let detail = |detail: &str| progress.update(&step, detail);
            test.begin(plan, &detail, context.cancel).await?;
        }
        let routes: Vec<_> = paths.iter().map(|path| path.route.describe()).collect();
        progress.end(&step, &routes.join("; "));
        let outcome = context.execute(&trial, paths).await?;
        load.add(&outcome.load);
        warmup_events = outcome.warmup_events.max(warmup_events);
        add_used(&mut shared, outcome.shared);
        resource_usage.add(&outcome.resource_usage);
        checkpoints.extend(outcome.checkpoints);
        silences.extend(outcome.silences);
        outcome
            .footprint
            .into_iter()
            .for_each(|sample| footprint.push(sample));
        faults.extend(outcome.faults);
        faults_not_made.extend(outcome.faults_not_made);
        for path in outcome.paths {
            previous_routes.push(path.route.clone());
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
    Ok(TrialsOutcome {
        paths: outcomes,
        load,
        warmup_events,
        shared,
        resource_usage,
        checkpoints,
        silences,
        footprint,
        faults,
        faults_not_made,
    })
}

/// One round's share of a load.
fn round_share(limit: Limit, round: u32, rounds: u32) -> Limit {
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
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_rounds_shares_add_up_to_the_load() {
        let events = |round| match round_share(Limit::Events(10), round, 4) {
            Limit::Events(count) => count,
            Limit::Duration(_) => 0,
        };
        assert_eq!([0, 1, 2, 3].map(events), [3, 3, 2, 2]);
        let span = round_share(Limit::Duration(Duration::from_secs(10)), 3, 4);
        assert_eq!(span, Limit::Duration(Duration::from_millis(2_500)));
    }
}
