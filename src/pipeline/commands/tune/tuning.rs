//! A tuning: halves the configurations, recommends one, and lets it be compared with the defaults.

use std::collections::BTreeMap;
use std::time::Instant;

use cdc_bench_model::analysis::Cost;
use cdc_bench_model::report::{
    Configuration, Recommended, RecommendedConnector, Stored, TUNE_SCHEMA, TrialRun, TuneReport,
    TuneTrial,
};
use cdc_bench_stack::Stack;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use tokio_util::sync::CancellationToken;

use super::head_to_head::compare_sides;
use super::plan::{HalvingPlan, RunTimeEstimate, survivors};
use super::request::{Preference, TuneRequest};
use super::space;
use crate::pipeline::commands::run::{FinishedRun, run_on};
use crate::pipeline::commands::warm_up::warm_up_servers;
use crate::pipeline::failure::Failure;
use crate::pipeline::progress::{NestedProgress, RunProgress};

/// Tries configurations, halves them, recommends one, and measures its gain. If the tuning ends early, the report has what
/// was measured, and the failure is returned beside it.
///
/// # Errors
/// When nothing could be measured, or the budget is too short for anything.
pub async fn tune(
    request: &TuneRequest,
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<(TuneReport, Option<Failure>), Failure> {
    let began = Instant::now();
    let started_at = jiff::Timestamp::now();
    let estimate = request.estimate_run_time()?;
    let plan = |candidates| {
        let (events, keep) = (request.events, request.keep);
        HalvingPlan::within(
            candidates,
            events,
            keep,
            request.head_to_head_rounds,
            &estimate,
            request.budget,
        )
    };
    let plan = plan(request.candidates).ok_or_else(|| {
        let least = HalvingPlan::new(2, request.events, request.keep).total_time(request.head_to_head_rounds, &estimate);
        Failure::usage(anyhow::anyhow!(
            "a budget of {} s is too short: two configurations and the head-to-head take some {} s (--budget, or fewer --events and --rounds)",
            request.budget.as_secs(),
            least.as_secs() + 1
        ))
    })?;
    let stack = Stack::bring_up(&request.run.servers(), progress, cancel).await?;
    let stack = stack.for_several_runs();
    let configurations =
        space::configurations(plan.rounds[0].0, request.run.seed, request.weaker_acks);
    if configurations.len() < request.candidates {
        tracing::warn!(
            asked = request.candidates,
            tried = configurations.len(),
            "the budget has room for fewer configurations"
        );
    }
    let mut tuning = Tuning {
        request,
        stack: &stack,
        plan,
        estimate,
        began,
        report: TuneReport {
            schema: TUNE_SCHEMA,
            id: request.run.id.to_string(),
            started_at: started_at.to_string(),
            finished_at: String::new(),
            stack: stack.kind().to_string(),
            rate_per_s: request.run.rate.per_second(),
            seed: request.run.seed,
            environment: None,
            trials: configurations
                .into_iter()
                .map(|(name, configuration)| TuneTrial {
                    name,
                    configuration,
                    measured: Vec::new(),
                    refused: None,
                })
                .collect(),
            frontier: Vec::new(),
            recommended: None,
            head_to_head: None,
            ended_early: None,
        },
        connectors: BTreeMap::new(),
        progress,
        cancel,
    };
    let failure = tuning.run_all().await.err();
    let mut report = tuning.report;
    stack.stop(progress);
    report.finished_at = jiff::Timestamp::now().to_string();
    report.find_frontier();
    match failure {
        Some(failure) if report.environment.is_none() => Err(failure),
        Some(failure) => {
            report.ended_early = Some(failure.to_string());
            Ok((report, Some(failure)))
        }
        None => Ok((report, None)),
    }
}

/// A tuning in progress.
struct Tuning<'a> {
    request: &'a TuneRequest,
    stack: &'a Stack,
    plan: HalvingPlan,
    estimate: RunTimeEstimate,
    began: Instant,
    report: TuneReport,
    /// The connector configuration of each trial, secrets redacted.
    connectors: BTreeMap<usize, BTreeMap<String, String>>,
    progress: &'a dyn RunProgress,
    cancel: &'a CancellationToken,
}

impl Tuning<'_> {
    /// Warms up, halves, recommends, and compares.
    async fn run_all(&mut self) -> Result<(), Failure> {
        let run = &self.request.run;
        warm_up_servers(run, run.rate, self.stack, self.progress, self.cancel).await?;
        let left = self.halve().await?;
        let Some(chosen) = self.choose(&left) else {
            return Err(Failure::server(anyhow::anyhow!(
                "no configuration brought every event through"
            )));
        };
        self.recommend(chosen);
        if self.report.trials[chosen].name == space::STOCK {
            // Nothing to gain.
            return Ok(());
        }
        self.head_to_head(chosen).await
    }

    /// Runs the rounds. Returns the indices of the remaining trials with their costs. Each round has another order, so that no
    /// trial is always the first.
    async fn halve(&mut self) -> Result<Vec<(usize, Option<Cost>)>, Failure> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.request.run.seed);
        let mut remaining: Vec<usize> = (0..self.report.trials.len()).collect();
        let mut costs = Vec::new();
        let rounds = self.plan.rounds.clone();
        for (round, (keep, events)) in rounds.iter().copied().enumerate() {
            if round > 0 {
                remaining = survivors(&costs, keep);
            }
            remaining.shuffle(&mut rng);
            let mut measured = Vec::new();
            for (number, &trial) in remaining.iter().enumerate() {
                if !self.has_time_for(events) {
                    tracing::warn!("the budget is used up: halving ends here");
                    // Runs of different lengths cannot be compared.
                    return Ok(if measured.is_empty() { costs } else { measured });
                }
                let step = format!(
                    "round {} of {}, {} of {}: {}{}",
                    round + 1,
                    rounds.len(),
                    number + 1,
                    remaining.len(),
                    self.report.trials[trial].name,
                    self.time_left(round, number)
                );
                self.measure(trial, round, events, &step).await?;
                measured.push((trial, self.report.trials[trial].cost()));
            }
            costs = measured;
        }
        Ok(costs)
    }

    /// Whether the budget allows one more run and the head-to-head. The first two trials run in any case.
    fn has_time_for(&self, events: u64) -> bool {
        let measured = |trial: &TuneTrial| !trial.measured.is_empty() || trial.refused.is_some();
        if self.report.trials.iter().filter(|t| measured(t)).count() < 2 {
            return true;
        }
        let head_to_head_rounds =
            self.estimate.run_time(events) * self.request.head_to_head_rounds * 2;
        self.began.elapsed() + self.estimate.run_time(events) + head_to_head_rounds
            <= self.request.budget
    }

    /// The remaining time of the plan, as text.
    fn time_left(&self, round: usize, number: usize) -> String {
        let left = HalvingPlan {
            rounds: self.plan.rounds[round..].to_vec(),
        };
        let done = u32::try_from(number).unwrap_or(u32::MAX);
        let done = self.estimate.run_time(left.rounds[0].1) * done;
        let left = left
            .total_time(self.request.head_to_head_rounds, &self.estimate)
            .saturating_sub(done);
        let budget = self.request.budget.saturating_sub(self.began.elapsed());
        format!(" (some {} s left)", left.min(budget).as_secs())
    }

    /// Makes one run of a trial. A configuration that a server refuses is excluded, and the tuning continues.
    async fn measure(
        &mut self,
        trial: usize,
        round: usize,
        events: u64,
        step: &str,
    ) -> Result<(), Failure> {
        let known = &self.report.trials[trial];
        let folder = format!("{}-{}", known.name, round + 1);
        let configuration = known.configuration.clone();
        match self.run(&folder, &configuration, events, step).await {
            Ok(stored) => {
                let measured = TrialRun::of(&stored.report, folder);
                let environment = &stored.report.environment;
                if let Some(connector) = &environment.debezium.connector {
                    self.connectors.insert(trial, connector.config.clone());
                }
                self.report
                    .environment
                    .get_or_insert_with(|| environment.clone());
                self.report.trials[trial].measured.push(measured);
                Ok(())
            }
            Err(failure) if failure.is_interrupt() || self.stack.given_up().is_some() => {
                Err(failure)
            }
            Err(failure) => {
                tracing::warn!(%failure, settings = %configuration, "refused");
                let trial = &mut self.report.trials[trial];
                trial.measured.clear();
                trial.refused = Some(failure.to_string());
                Ok(())
            }
        }
    }

    /// Makes one run, with its result stored.
    async fn run(
        &mut self,
        folder: &str,
        configuration: &Configuration,
        events: u64,
        step: &str,
    ) -> Result<Stored, Failure> {
        let run = self.request.run(folder, configuration, events)?;
        let began = Instant::now();
        let inner = NestedProgress::begin_step(self.progress, step);
        let outcome = run_on(&run, self.stack, &inner, self.cancel).await;
        let FinishedRun { stored, clean_up } = outcome.inspect_err(|failure| {
            self.progress.end(step, &failure.to_string());
            run.folder.discard_if_empty();
        })?;
        clean_up?;
        self.estimate.observe(events, began.elapsed());
        let measured = TrialRun::of(&stored.report, String::new());
        self.progress.end(step, &measured.to_string());
        Ok(stored)
    }

    /// The index of the trial to recommend.
    fn choose(&self, left: &[(usize, Option<Cost>)]) -> Option<usize> {
        let price = |cost: &Cost| match self.request.prefer {
            Preference::Balance => cost.product(),
            Preference::Latency => cost.latency,
        };
        left.iter()
            .filter_map(|(trial, cost)| Some((*trial, price(cost.as_ref()?))))
            .min_by(|(_, a), (_, b)| a.total_cmp(b))
            .map(|(trial, _)| trial)
    }

    /// Writes the recommendation into the report.
    fn recommend(&mut self, chosen: usize) {
        let trial = &self.report.trials[chosen];
        let config = self.connectors.get(&chosen).cloned().unwrap_or_default();
        self.report.recommended = Some(Recommended {
            name: trial.name.clone(),
            why: match self.request.prefer {
                Preference::Balance => {
                    "of those left, the one with the least p99 times processor time"
                }
                Preference::Latency => "of those left, the one with the least p99",
            },
            configuration: trial.configuration.clone(),
            connector: RecommendedConnector::to_paste(&config),
        });
    }

    /// Alternates runs of the defaults and of the chosen configuration, in shuffled order, and compares them.
    async fn head_to_head(&mut self, chosen: usize) -> Result<(), Failure> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.request.run.seed);
        let chosen = self.report.trials[chosen].clone();
        let events = self.plan.last_events();
        let sides = [
            (space::STOCK, Configuration::default()),
            (chosen.name.as_str(), chosen.configuration),
        ];
        let mut results: [Vec<Stored>; 2] = Default::default();
        let rounds = self.request.head_to_head_rounds;
        for round in 1..=rounds {
            let mut order = [0, 1];
            order.shuffle(&mut rng);
            for side in order {
                let (name, configuration) = &sides[side];
                let left = self.estimate.run_time(events) * (rounds - round + 1) * 2;
                let step = format!(
                    "head to head, {round} of {rounds}: {name} (some {} s left)",
                    left.as_secs()
                );
                let folder = format!("duel-{round}-{name}");
                let stored = self.run(&folder, configuration, events, &step).await?;
                results[side].push(stored);
            }
        }
        let [stock, recommended] = results;
        let step = "comparison";
        self.progress.begin(step);
        let compared = compare_sides(stock, recommended, rounds)?;
        self.progress
            .end(step, "what was recommended with the defaults");
        self.report.head_to_head = Some(compared);
        Ok(())
    }
}
