//! `compare`: two results, two sets of them, or two capture paths of one.

use std::path::PathBuf;
use std::process::ExitCode;

use super::output::{print, print_json};
use super::progress::Terminal;
use super::results_args::ResultsArgs;
use crate::pipeline::{Failure, exit};
use cdc_bench_model::report::{
    Compared, ComparisonRequest, RUN_NOISE, Side, Stored, StoredObservation, compare_observations,
    compare_results, comparison_page, render_comparison, render_observation_comparison,
    write_whole,
};
use cdc_bench_stack::StepProgress;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What is compared with: a folder, a report.json, the id of a run, or "latest"
    #[arg(
        value_name = "BASELINE",
        required_unless_present = "baseline",
        conflicts_with_all = ["baseline", "candidate"]
    )]
    first: Option<String>,
    /// What is compared; with --paths of two names it may be left out
    #[arg(value_name = "CANDIDATE", requires = "first")]
    second: Option<String>,
    /// One of several results that are compared with, each a round; alternate the runs of both sides when making them
    #[arg(long, value_name = "RESULT", num_args = 1.., requires = "candidate")]
    baseline: Vec<String>,
    /// One of several results that are compared
    #[arg(long, value_name = "RESULT", num_args = 1.., requires = "baseline")]
    candidate: Vec<String>,
    /// Capture paths: one for both sides, or the baseline's and the candidate's [default: each result's first]
    #[arg(long, value_name = "PATHS", value_delimiter = ',')]
    paths: Vec<String>,
    /// What was varied on purpose, such as connector, run.rate_per_s, connector.poll.interval.ms
    #[arg(long, value_name = "NAME")]
    varied: Vec<String>,
    /// Compare unlike results too; what they differ in is in the answer
    #[arg(long)]
    force: bool,
    /// End with exit code 1 when the total is shown to be slower by this much or more, such as 5%
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    fail_on_regression: Option<f64>,
    /// How far runs differ by themselves (standard deviation), where a side is a single run
    #[arg(long, value_name = "PERCENT", value_parser = percent, default_value_t = RUN_NOISE * 100.0)]
    run_noise: f64,
    /// Write a page that stands alone
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print the comparison as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    results: ResultsArgs,
}

/// `5%` or `5`.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    match number.parse::<f64>() {
        Ok(percent) if percent >= 0.0 && percent.is_finite() => Ok(percent),
        _ => Err(format!("{text:?} is no percentage such as 5%")),
    }
}

/// The progress step.
const STEP: &str = "comparison";

pub(super) fn run(args: &Args, progress: &Terminal) -> Result<ExitCode, Failure> {
    progress.begin(STEP);
    if let Some(sides) = observations(args)? {
        return of_observations(args, &sides, progress);
    }
    let request = request(args, progress)?;
    let count = request.baseline.results.len() + request.candidate.results.len();
    progress.update(STEP, &format!("resampling the events of {count} results"));
    let compared = compare_results(&request).map_err(Failure::usage)?;
    if let Some(file) = &args.html {
        let page = comparison_page(&compared).map_err(Failure::usage)?;
        write_whole(file, page.as_bytes())?;
    }
    progress.clear();
    if args.json {
        print_json(&compared)?;
    } else {
        print(render_comparison(&compared))?;
    }
    Ok(code(args, &compared))
}

/// The two observations that are compared; `None` where both are runs, or there are not two.
fn observations(args: &Args) -> Result<Option<[StoredObservation; 2]>, Failure> {
    let find = |reference: &String| {
        let found = StoredObservation::find(reference, &args.results.results_dir);
        found.map_err(Failure::usage)
    };
    let (first, second) = match (&args.first, &args.second) {
        (Some(first), Some(second)) => (vec![first], vec![second]),
        (Some(_), None) => return Ok(None),
        (None, _) => (
            args.baseline.iter().collect(),
            args.candidate.iter().collect(),
        ),
    };
    let mut sides = Vec::new();
    for reference in first.iter().chain(&second) {
        sides.push((*reference, find(reference)?));
    }
    let refused = |text: String| Err(Failure::usage(anyhow::anyhow!(text)));
    let is_observation = |side: &&(&String, Option<StoredObservation>)| side.1.is_some();
    let Some((of_observation, _)) = sides.iter().find(is_observation) else {
        return Ok(None);
    };
    if let Some((of_run, _)) = sides.iter().find(|side| side.1.is_none()) {
        return refused(format!(
            "{of_observation} is an observation and {of_run} is a run: their hops are not the same spans; compare an observation with another one"
        ));
    }
    if sides.len() > 2 {
        return refused(
            "of observations, one is compared with one other: cdc-bench compare BASELINE CANDIDATE"
                .to_owned(),
        );
    }
    if !args.paths.is_empty() || !args.varied.is_empty() || args.html.is_some() {
        return refused(
            "--paths, --varied and --html are for runs: a comparison of observations is written as text, or with --json".to_owned(),
        );
    }
    let both: Vec<_> = sides.into_iter().filter_map(|side| side.1).collect();
    Ok(<[StoredObservation; 2]>::try_from(both).ok())
}

fn of_observations(
    args: &Args,
    [baseline, candidate]: &[StoredObservation; 2],
    progress: &Terminal,
) -> Result<ExitCode, Failure> {
    let noise = args.run_noise / 100.0;
    let compared = compare_observations(baseline, candidate, noise, args.force);
    let compared = compared.map_err(Failure::usage)?;
    progress.clear();
    if args.json {
        print_json(&compared)?;
    } else {
        print(render_observation_comparison(&compared))?;
    }
    let regression = args
        .fail_on_regression
        .and_then(|percent| compared.regression(percent));
    Ok(exit_code(regression.is_some()))
}

fn code(args: &Args, compared: &Compared) -> ExitCode {
    let regression = args
        .fail_on_regression
        .and_then(|percent| compared.comparison.regression(percent));
    exit_code(regression.is_some())
}

fn exit_code(has_regression: bool) -> ExitCode {
    ExitCode::from(if has_regression {
        exit::OBJECTIVE_MISSED
    } else {
        0
    })
}

fn request(args: &Args, progress: &Terminal) -> Result<ComparisonRequest, Failure> {
    let usage = |text: String| Failure::usage(anyhow::anyhow!(text));
    let (first_path, second_path) = match args.paths.as_slice() {
        [] => (None, None),
        [both] => (Some(both.clone()), Some(both.clone())),
        [first, second] => (Some(first.clone()), Some(second.clone())),
        more => {
            return Err(usage(format!(
                "--paths takes one path for both sides, or one for each, and not {}",
                more.len()
            )));
        }
    };
    let (baseline, candidate) = match (&args.first, &args.second) {
        (Some(first), Some(second)) => (vec![first.clone()], vec![second.clone()]),
        (Some(only), None) if args.paths.len() == 2 => (vec![only.clone()], vec![only.clone()]),
        (Some(_), None) => {
            return Err(usage(
                "compare with what? Name a second result, or two capture paths of this one with --paths debezium,wal".to_owned(),
            ));
        }
        (None, _) => (args.baseline.clone(), args.candidate.clone()),
    };
    let read = |references: Vec<String>| -> Result<Vec<Stored>, Failure> {
        references
            .iter()
            .map(|reference| {
                progress.update(STEP, &format!("reading {reference}"));
                Stored::find(reference, &args.results.results_dir)
            })
            .collect::<Result<_, _>>()
            .map_err(Failure::usage)
    };
    Ok(ComparisonRequest {
        baseline: Side {
            results: read(baseline)?,
            path: first_path,
        },
        candidate: Side {
            results: read(candidate)?,
            path: second_path,
        },
        varied: args.varied.clone(),
        force: args.force,
        run_noise: args.run_noise / 100.0,
    })
}
