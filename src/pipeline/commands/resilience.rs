//! `resilience`: a matrix of faults, one run for each process and action, all on the same servers of ours.

use std::collections::BTreeMap;

use cdc_bench_model::RunId;
use cdc_bench_model::report::{
    RESILIENCE_SCHEMA, ResilienceReport, ResilienceRun, ResultFolder, Verdict, page,
};
use cdc_bench_model::timeline::CapturePath;
use cdc_bench_stack::Stack;
use tokio_util::sync::CancellationToken;

use crate::load::Limit;
use crate::pipeline::commands::run::{FinishedRun, run_on};
use crate::pipeline::failure::Failure;
use crate::pipeline::faults::{
    Fault, FaultAction, Moment, ProcessAction, ProcessTarget, check_faults,
};
use crate::pipeline::progress::{NestedProgress, RunProgress};
use crate::pipeline::request::RunRequest;

/// Moments of a fault in a run, percent of its events.
const MOMENTS: [f64; 3] = [10.0, 40.0, 70.0];
/// Events of a run of the quick matrix, as a share of those of a run with all moments.
const QUICK_SHARE: u64 = 4;
/// Where the one fault of a quick run is, percent of its events.
const QUICK_MOMENT: f64 = 25.0;

/// Parameters of a matrix of faults.
#[derive(Debug, Clone)]
pub struct ResilienceRequest {
    /// Template of the runs, which differ in their faults. Id and folder are the matrix's.
    pub run: RunRequest,
    /// Whether each process is only killed, once.
    pub quick: bool,
}

impl ResilienceRequest {
    /// The runs: the name of each and its faults.
    fn runs(&self) -> Vec<(String, Vec<Fault>)> {
        let captures = |path: &CapturePath| *path != CapturePath::Debezium;
        let has_reader = self.run.paths.iter().any(captures);
        let processes = ProcessTarget::ALL.into_iter();
        let processes = processes.filter(|process| *process != ProcessTarget::Reader || has_reader);
        let actions: &[_] = if self.quick {
            &[ProcessAction::Kill]
        } else {
            &[
                ProcessAction::Kill,
                ProcessAction::Pause,
                ProcessAction::Restart,
            ]
        };
        let moments: &[_] = if self.quick {
            &[QUICK_MOMENT]
        } else {
            &MOMENTS
        };
        let run = |process: ProcessTarget, action: ProcessAction| {
            let fault = |percent: &f64| Fault {
                action: FaultAction::Process(action, process),
                moment: Moment::Percent(*percent),
                length: action.usual_length(),
            };
            let name = format!("{}-{}", action.as_str(), process.as_str());
            (name, moments.iter().map(fault).collect())
        };
        processes
            .flat_map(|process| actions.iter().map(move |action| (process, *action)))
            .map(|(process, action)| run(process, action))
            .collect()
    }

    fn limit(&self) -> Limit {
        match self.run.limit {
            Limit::Events(count) if self.quick => Limit::Events((count / QUICK_SHARE).max(1)),
            limit => limit,
        }
    }
}

/// Makes every run. If the matrix ends early, the report has what was measured, and the failure is returned beside it.
///
/// # Errors
/// When nothing could be measured.
pub async fn resilience(
    request: &ResilienceRequest,
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<(ResilienceReport, Option<Failure>), Failure> {
    let started_at = jiff::Timestamp::now();
    let runs = request.runs();
    for (_, faults) in &runs {
        let kind = request.run.settings.stack;
        check_faults(faults, kind, &request.run.paths).map_err(Failure::usage)?;
    }
    let stack = Stack::bring_up(&request.run.servers(), progress, cancel).await?;
    let stack = stack.for_several_runs();
    let mut report = ResilienceReport {
        schema: RESILIENCE_SCHEMA.to_owned(),
        id: request.run.id.to_string(),
        started_at: started_at.to_string(),
        finished_at: String::new(),
        quick: request.quick,
        rate_per_s: request.run.rate.per_second(),
        runs: Vec::new(),
        worst: BTreeMap::new(),
        ended_early: None,
        verdict: Verdict::Pass,
    };
    let ended = make_runs(request, runs, &stack, &mut report, progress, cancel).await;
    stack.stop(progress);
    report.finished_at = jiff::Timestamp::now().to_string();
    match ended {
        Err(failure) if report.runs.is_empty() => Err(failure),
        Err(failure) => {
            report.ended_early = Some(failure.to_string());
            report.verdict = Verdict::Fail;
            Ok((report, Some(failure)))
        }
        Ok(()) => Ok((report, None)),
    }
}

async fn make_runs(
    request: &ResilienceRequest,
    runs: Vec<(String, Vec<Fault>)>,
    stack: &Stack,
    report: &mut ResilienceReport,
    progress: &dyn RunProgress,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let count = runs.len();
    for (number, (name, faults)) in (1..).zip(runs) {
        let planned = faults.len();
        let run = RunRequest {
            id: RunId::generate(),
            limit: request.limit(),
            faults,
            folder: ResultFolder::create(request.run.folder.path(), &name)?,
            ..request.run.clone()
        };
        let step = format!("{number} of {count}: {name}");
        let inner = NestedProgress::begin_step(progress, &step);
        let outcome = run_on(&run, stack, &inner, cancel).await;
        let FinishedRun { stored, clean_up } =
            outcome.inspect_err(|_| run.folder.discard_if_empty())?;
        let html = page(&stored).map_err(Failure::usage)?;
        run.folder.write("report.html", html.as_bytes())?;
        let made = ResilienceRun::of(&name, planned, &stored.report);
        let end = if made.is_sound() {
            "nothing lost, doubled or out of order"
        } else {
            "not sound: its own report says why"
        };
        progress.end(&step, end);
        report.add(made);
        clean_up?;
    }
    Ok(())
}
