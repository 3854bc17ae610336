//! `sweep`: rising rates, one run per rate and capture path, all on the same servers.

use cdc_bench_model::RunId;
use cdc_bench_model::analysis::AchievedRate;
use cdc_bench_model::report::{
    PathSweep, ResultFolder, SWEEP_SCHEMA, Step, Stored, StoredError, SweepReport, page,
};
use cdc_bench_model::timeline::CapturePath;
use cdc_bench_stack::Stack;
use tokio_util::sync::CancellationToken;

use crate::load::{Limit, Rate};
use crate::pipeline::commands::run::{FinishedRun, run_on};
use crate::pipeline::commands::warm_up::warm_up_servers;
use crate::pipeline::failure::Failure;
use crate::pipeline::progress::{NestedProgress, RunProgress};
use crate::pipeline::request::RunRequest;

/// Parameters of a sweep.
#[derive(Debug, Clone)]
pub struct SweepRequest {
    /// Template of the steps, which differ in rate and path. Id and folder are the sweep's; every path is tried.
    pub step: RunRequest,
    /// Ascending, without duplicates, [`Rate::MAX`] last.
    pub rates: Vec<Rate>,
}

impl SweepRequest {
    /// The steps in order: all paths at one rate before the next rate, so that they are measured at about the same time.
    fn steps(&self) -> Vec<(Rate, CapturePath)> {
        let paths = &self.step.paths;
        self.rates
            .iter()
            .flat_map(|rate| paths.iter().map(|path| (*rate, *path)))
            .collect()
    }

    /// Size of a step. At the maximum rate it is the number of events that the highest fixed rate inserts in the same time;
    /// otherwise its backlog would be many times a step.
    fn limit(&self, rate: Rate) -> Limit {
        let highest = self.rates.iter().rev().find(|rate| **rate != Rate::MAX);
        match (self.step.limit, highest) {
            (Limit::Duration(span), Some(highest)) if rate == Rate::MAX => {
                Limit::Events(highest.events_in(span).unwrap_or(u64::MAX))
            }
            (limit, _) => limit,
        }
    }

    /// The run of a step.
    fn run(&self, rate: Rate, path: CapturePath) -> Result<RunRequest, Failure> {
        let folder = ResultFolder::create(self.step.folder.path(), &format!("{path}-{rate}"))?;
        Ok(RunRequest {
            id: RunId::generate(),
            limit: self.limit(rate),
            rate,
            paths: vec![path],
            folder,
            ..self.step.clone()
        })
    }
}

/// Makes every run. If the sweep ends early, the report has what was measured, and the failure is returned beside it.
///
/// # Errors
/// When nothing could be measured.
pub async fn sweep(
    request: &SweepRequest,
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<(SweepReport, Option<Failure>), Failure> {
    let started_at = jiff::Timestamp::now();
    let stack = Stack::bring_up(&request.step.servers(), progress, cancel).await?;
    let stack = stack.for_several_runs();
    let mut report = SweepReport {
        schema: SWEEP_SCHEMA,
        id: request.step.id.to_string(),
        started_at: started_at.to_string(),
        finished_at: String::new(),
        stack: stack.kind().to_string(),
        step: match request.step.limit {
            Limit::Events(count) => format!("{count} events"),
            Limit::Duration(span) => format!("{} s", span.as_secs()),
        },
        warmup_events: request.step.warmup.events,
        insert_batch: request.step.insert_batch,
        connections: request.step.connections,
        shards: request.step.shards.count(),
        seed: request.step.seed,
        environment: None,
        paths: request
            .step
            .paths
            .iter()
            .copied()
            .map(PathSweep::new)
            .collect(),
        ended_early: None,
    };
    let failure = run_steps(request, &stack, &mut report, progress, cancel)
        .await
        .err();
    stack.stop(progress);
    report.finished_at = jiff::Timestamp::now().to_string();
    match failure {
        Some(failure) if report.environment.is_none() => Err(failure),
        Some(failure) => {
            report.ended_early = Some(failure.to_string());
            Ok((report, Some(failure)))
        }
        None => Ok((report, None)),
    }
}

/// Makes the runs step by step, and adds each to the report.
async fn run_steps(
    request: &SweepRequest,
    stack: &Stack,
    report: &mut SweepReport,
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let steps = request.steps();
    let count = steps.len();
    let lowest = request.rates.first().copied().unwrap_or(Rate::MAX);
    warm_up_servers(&request.step, lowest, stack, progress, cancel).await?;
    for (number, (rate, path)) in (1..).zip(steps) {
        let Some(swept) = report.paths.iter_mut().find(|swept| swept.path == path) else {
            continue;
        };
        if let Some(per_s) = rate.per_second()
            && swept.is_far_past_saturation()
        {
            swept.left_out.push(per_s);
            continue;
        }
        let name = match rate.per_second() {
            Some(_) => format!("step {number} of {count}: {path} at {rate}/s"),
            None => format!("step {number} of {count}: {path} at its fastest"),
        };
        let run = request.run(rate, path)?;
        let inner = NestedProgress::begin_step(progress, &name);
        let outcome = run_on(&run, stack, &inner, cancel).await;
        let FinishedRun { stored, completed } =
            outcome.inspect_err(|_| run.folder.discard_if_empty())?;
        let html = page(&stored).map_err(Failure::usage)?;
        run.folder.write("report.html", html.as_bytes())?;
        let achieved = achieved_rate(&stored).map_err(Failure::usage)?;
        let step = Step::of(&stored.report, path, format!("{path}-{rate}"), &achieved);
        progress.end(&name, &step.to_string());
        swept.add(step);
        report.environment.get_or_insert(stored.report.environment);
        completed?;
    }
    Ok(())
}

/// When each event of a run was sent and stored.
fn achieved_rate(stored: &Stored) -> Result<AchievedRate, StoredError> {
    let mut achieved = AchievedRate::default();
    for event in stored.events()?.into_iter().flatten() {
        let stamps = event?.stamps;
        achieved.record(stamps.t0, stamps.t5);
    }
    Ok(achieved)
}
