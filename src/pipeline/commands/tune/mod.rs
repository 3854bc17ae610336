//! Tuning: compares configurations of Debezium, its producer and our consumer by successive halving, recommends one, and
//! measures what it gains over the defaults.

mod plan;
mod space;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use self::plan::{Pace, Plan, survivors};
use cdc_bench_model::RunId;
use cdc_bench_model::analysis::Cost;
use cdc_bench_model::report::{
    ComparisonRequest, Configuration, HeadToHead, Recommended, RecommendedConnector, ResultFolder,
    Side, Stored, TUNE_SCHEMA, TrialRun, TuneReport, TuneTrial, compare_results,
};
use cdc_bench_model::timeline::CapturePath;
use cdc_bench_stack::Stack;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use tokio_util::sync::CancellationToken;

use crate::debezium::ConnectorProfile;
use crate::load::Limit;
use crate::pipeline::commands::run::run_on;
use crate::pipeline::commands::warm_up::warm;
use crate::pipeline::failure::Failure;
use crate::pipeline::outcome::stored_report::keep_report;
use crate::pipeline::progress::{NestedProgress, RunProgress};
use crate::pipeline::request::{ConnectorRequest, RunRequest};
use crate::settings::Settings;

/// Name of the defaults, in the table and in folder names.
const STOCK: &str = "stock";
/// Settings in which two results of a tuning may differ.
const VARIED: [&str; 4] = [
    "connector",
    "kafka.consumer",
    "run.batch_size",
    "run.writes_in_flight",
];

/// What to optimise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Preference {
    /// Both: p99 times processor time is the least
    Balance,
    /// The lowest p99, whatever it costs
    Latency,
}

/// Parameters of a tuning.
#[derive(Debug, Clone)]
pub struct TuneRequest {
    /// Template of the runs, which differ in configuration and number of events. Id and folder are the tuning's.
    pub run: RunRequest,
    /// Number of configurations at the start, including the defaults.
    pub candidates: usize,
    /// Events of each configuration in the first round.
    pub events: u64,
    /// Number of configurations that are left when halving ends.
    pub keep: usize,
    /// Runs of each side in the head-to-head.
    pub duels: u32,
    /// Longest time for all of it.
    pub budget: Duration,
    /// What to optimise.
    pub prefer: Preference,
    /// Whether weaker acknowledgements are tried, at the risk of losing events.
    pub weaker: bool,
}

impl TuneRequest {
    /// The run of a configuration.
    fn run(
        &self,
        folder: &str,
        configuration: &Configuration,
        events: u64,
    ) -> Result<RunRequest, Failure> {
        let template = &self.run;
        let usize_of = |name: &str, default: usize| {
            let number = space::number(configuration, name);
            number
                .and_then(|n| usize::try_from(n).ok())
                .unwrap_or(default)
        };
        Ok(RunRequest {
            id: RunId::generate(),
            settings: Settings {
                batch_size: usize_of("batch_size", template.settings.batch_size),
                writes_in_flight: usize_of("writes_in_flight", template.settings.writes_in_flight),
                fetch: configuration.consumer.clone(),
                ..template.settings.clone()
            },
            limit: Limit::Events(events),
            paths: vec![CapturePath::Debezium],
            rounds: None,
            connector: ConnectorRequest {
                connector: None,
                profile: Some(ConnectorProfile::Stock),
                overrides: configuration.connector.clone().into_iter().collect(),
            },
            folder: ResultFolder::create(template.folder.path(), folder)?,
            ..template.clone()
        })
    }

    fn pace(&self) -> Result<Pace, Failure> {
        let rate = self.run.rate.per_second().ok_or_else(|| {
            Failure::usage(anyhow::anyhow!(
                "tuning needs a rate below saturation, such as --rate 167: at \"max\" latency is that of the backlog"
            ))
        })?;
        Ok(Pace::new(rate, self.run.warmup.events))
    }
}

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
    let pace = request.pace()?;
    let plan = |candidates| {
        let (events, keep) = (request.events, request.keep);
        Plan::within(
            candidates,
            events,
            keep,
            request.duels,
            &pace,
            request.budget,
        )
    };
    let plan = plan(request.candidates).ok_or_else(|| {
        let least = Plan::new(2, request.events, request.keep).takes(request.duels, &pace);
        Failure::usage(anyhow::anyhow!(
            "a budget of {} s is too short: two configurations and the head-to-head take some {} s (--budget, or fewer --events and --rounds)",
            request.budget.as_secs(),
            least.as_secs() + 1
        ))
    })?;
    let stack = Stack::bring_up(&request.run.settings.servers(), progress, cancel).await?;
    let stack = stack.for_several_runs();
    let configurations = space::configurations(plan.rounds[0].0, request.run.seed, request.weaker);
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
        pace,
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
    let failure = tuning.whole().await.err();
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
    plan: Plan,
    pace: Pace,
    began: Instant,
    report: TuneReport,
    /// The connector configuration of each trial, secrets redacted.
    connectors: BTreeMap<usize, BTreeMap<String, String>>,
    progress: &'a dyn RunProgress,
    cancel: &'a CancellationToken,
}

impl Tuning<'_> {
    async fn whole(&mut self) -> Result<(), Failure> {
        let run = &self.request.run;
        warm(run, run.rate, self.stack, self.progress, self.cancel).await?;
        let left = self.halve().await?;
        let Some(chosen) = self.choose(&left) else {
            return Err(Failure::server(anyhow::anyhow!(
                "no configuration brought every event through"
            )));
        };
        self.recommend(chosen);
        if self.report.trials[chosen].name == STOCK {
            // Nothing to gain.
            return Ok(());
        }
        self.duel(chosen).await
    }

    /// Runs the rounds. Returns the indices of the remaining trials with their costs. Each round has another order, so that no
    /// trial is always the first.
    async fn halve(&mut self) -> Result<Vec<(usize, Option<Cost>)>, Failure> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.request.run.seed);
        let mut alive: Vec<usize> = (0..self.report.trials.len()).collect();
        let mut standing = Vec::new();
        let rounds = self.plan.rounds.clone();
        for (round, (keep, events)) in rounds.iter().copied().enumerate() {
            if round > 0 {
                alive = survivors(&standing, keep);
            }
            alive.shuffle(&mut rng);
            let mut measured = Vec::new();
            for (number, &trial) in alive.iter().enumerate() {
                if !self.has_time_for(events) {
                    tracing::warn!("the budget is used up: halving ends here");
                    // Runs of different lengths cannot be compared.
                    return Ok(if measured.is_empty() {
                        standing
                    } else {
                        measured
                    });
                }
                let step = format!(
                    "round {} of {}, {} of {}: {}{}",
                    round + 1,
                    rounds.len(),
                    number + 1,
                    alive.len(),
                    self.report.trials[trial].name,
                    self.time_left(round, number)
                );
                self.measure(trial, round, events, &step).await?;
                measured.push((trial, self.report.trials[trial].cost()));
            }
            standing = measured;
        }
        Ok(standing)
    }

    /// Whether the budget allows one more run and the head-to-head. The first two trials run in any case.
    fn has_time_for(&self, events: u64) -> bool {
        let measured = |trial: &TuneTrial| !trial.measured.is_empty() || trial.refused.is_some();
        if self.report.trials.iter().filter(|t| measured(t)).count() < 2 {
            return true;
        }
        let duels = self.pace.of_run(events) * self.request.duels * 2;
        self.began.elapsed() + self.pace.of_run(events) + duels <= self.request.budget
    }

    /// The remaining time of the plan, as text.
    fn time_left(&self, round: usize, number: usize) -> String {
        let left = Plan {
            rounds: self.plan.rounds[round..].to_vec(),
        };
        let done = u32::try_from(number).unwrap_or(u32::MAX);
        let done = self.pace.of_run(left.rounds[0].1) * done;
        let left = left
            .takes(self.request.duels, &self.pace)
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

    async fn run(
        &mut self,
        folder: &str,
        configuration: &Configuration,
        events: u64,
        step: &str,
    ) -> Result<Stored, Failure> {
        let run = self.request.run(folder, configuration, events)?;
        let began = Instant::now();
        let inner = NestedProgress::enter(self.progress, step);
        let made = run_on(&run, self.stack, &inner, self.cancel).await;
        let made = made.inspect_err(|failure| {
            self.progress.end(step, &failure.to_string());
            run.folder.discard_if_empty();
        })?;
        let stored = keep_report(&made, &run.folder)?;
        self.pace.learn(events, began.elapsed());
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

    /// Alternates runs of the defaults and of the chosen configuration, in shuffled order.
    async fn duel(&mut self, chosen: usize) -> Result<(), Failure> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.request.run.seed);
        let chosen = self.report.trials[chosen].clone();
        let events = self.plan.last_events();
        let sides = [
            (STOCK, Configuration::default()),
            (chosen.name.as_str(), chosen.configuration),
        ];
        let mut results: [Vec<Stored>; 2] = Default::default();
        let duels = self.request.duels;
        for round in 1..=duels {
            let mut order = [0, 1];
            order.shuffle(&mut rng);
            for side in order {
                let (name, configuration) = &sides[side];
                let left = self.pace.of_run(events) * (duels - round + 1) * 2;
                let step = format!(
                    "head to head, {round} of {duels}: {name} (some {} s left)",
                    left.as_secs()
                );
                let folder = format!("duel-{round}-{name}");
                let stored = self.run(&folder, configuration, events, &step).await?;
                results[side].push(stored);
            }
        }
        let [stock, recommended] = results;
        let cpu = mean_cpu(&stock).zip(mean_cpu(&recommended));
        let side = |results| Side {
            results,
            path: Some(CapturePath::Debezium.to_string()),
        };
        let step = "comparison";
        self.progress.begin(step);
        let comparison = compare_results(&ComparisonRequest {
            baseline: side(stock),
            candidate: side(recommended),
            varied: VARIED.map(str::to_owned).to_vec(),
            force: false,
            run_noise: cdc_bench_model::report::RUN_NOISE,
        })
        .map_err(Failure::usage)?;
        self.progress
            .end(step, "what was recommended with the defaults");
        self.report.head_to_head = Some(HeadToHead {
            rounds: duels,
            cpu_s_per_million: cpu.map(|(stock, recommended)| [stock, recommended]),
            comparison,
        });
        Ok(())
    }
}

/// Mean processor time per million events of several results; `None` if one of them does not have it.
#[allow(clippy::cast_precision_loss)] // a handful of runs
fn mean_cpu(results: &[Stored]) -> Option<f64> {
    let costs = results.iter().map(|stored| {
        let paths = &stored.report.paths;
        paths.get(CapturePath::Debezium.as_str())?.cpu_cost()
    });
    let sum: f64 = costs.sum::<Option<f64>>()?;
    Some((sum / results.len().max(1) as f64 * 10.0).round() / 10.0)
}
