//! Rising rates: one run a rate and capture path, all on the same servers.

use cdc_bench_model::RunId;
use cdc_bench_model::analysis::AchievedRate;
use cdc_bench_model::report::{
    PathSweep, ResultFolder, SWEEP_SCHEMA, Step, Stored, StoredError, SweepReport, page,
};
use cdc_bench_model::timeline::CapturePath;
use cdc_bench_stack::Stack;
use tokio_util::sync::CancellationToken;

use crate::load::{Limit, Rate};
use crate::pipeline::commands::run::run_on;
use crate::pipeline::commands::warm_up::warm;
use crate::pipeline::failure::Failure;
use crate::pipeline::outcome::stored_report::keep_report;
use crate::pipeline::progress::{NestedProgress, RunProgress};
use crate::pipeline::request::RunRequest;

/// What a sweep is asked to do.
#[derive(Debug, Clone)]
pub struct SweepRequest {
    /// What each step is, but for its rate and path. Id and folder are the sweep's, the paths those that are tried.
    pub step: RunRequest,
    /// Ascending, none twice, [`Rate::MAX`] last.
    pub rates: Vec<Rate>,
}

impl SweepRequest {
    /// The steps in their order. At each rate every path has its turn, so that all are measured at about the same time.
    fn steps(&self) -> Vec<(Rate, CapturePath)> {
        let paths = &self.step.paths;
        self.rates
            .iter()
            .flat_map(|rate| paths.iter().map(|path| (*rate, *path)))
            .collect()
    }

    /// How much a step inserts. What goes in as fast as it can is as much as the highest rate brings in the same time,
    /// else it would be a backlog of many times the step.
    fn limit(&self, rate: Rate) -> Limit {
        let highest = self.rates.iter().rev().find(|rate| **rate != Rate::MAX);
        match (self.step.limit, highest) {
            (Limit::Duration(span), Some(highest)) if rate == Rate::MAX => {
                Limit::Events(highest.events_in(span).unwrap_or(u64::MAX))
            }
            (limit, _) => limit,
        }
    }

    /// One run.
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

/// Makes every run. What was measured is in the report also where the sweep could not be finished; then the reason is
/// beside it.
///
/// # Errors
/// When nothing could be measured.
pub async fn sweep(
    request: &SweepRequest,
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<(SweepReport, Option<Failure>), Failure> {
    let started_at = jiff::Timestamp::now();
    let stack = Stack::bring_up(&request.step.settings.servers(), progress, cancel).await?;
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
    let failure = climb(request, &stack, &mut report, progress, cancel)
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

/// Goes step by step, and adds each to the report.
async fn climb(
    request: &SweepRequest,
    stack: &Stack,
    report: &mut SweepReport,
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let steps = request.steps();
    let count = steps.len();
    let lowest = request.rates.first().copied().unwrap_or(Rate::MAX);
    warm(&request.step, lowest, stack, progress, cancel).await?;
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
        let inner = NestedProgress::enter(progress, &name);
        let made = run_on(&run, stack, &inner, cancel).await;
        let made = match made {
            Ok(made) => made,
            Err(failure) => {
                run.folder.discard_if_empty();
                return Err(failure);
            }
        };
        let stored = keep_report(&made, &run.folder)?;
        let html = page(&stored).map_err(Failure::usage)?;
        run.folder.write("report.html", html.as_bytes())?;
        let pace = pace(&stored).map_err(Failure::usage)?;
        let step = Step::of(&stored.report, path, format!("{path}-{rate}"), &pace);
        progress.end(&name, &step.to_string());
        swept.add(step);
        report.environment.get_or_insert(stored.report.environment);
    }
    Ok(())
}

/// When each event of a run was sent and stored.
fn pace(stored: &Stored) -> Result<AchievedRate, StoredError> {
    let mut pace = AchievedRate::default();
    for event in stored.events()?.into_iter().flatten() {
        let stamps = event?.stamps;
        pace.record(stamps.t0, stamps.t5);
    }
    Ok(pace)
}
