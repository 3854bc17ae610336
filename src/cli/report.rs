//! `report`: prints a stored result in one of several formats.

use std::path::PathBuf;
use std::process::ExitCode;

use super::output::print;
use super::progress::Terminal;
use super::results_args::ResultsArgs;
use crate::pipeline::Failure;
use cdc_bench_model::report::{
    LATEST, Stored, StoredObservation, csv, junit, markdown, observation_csv, observation_junit,
    observation_markdown, observation_page, page, render, render_observation, write_whole,
};
use cdc_bench_stack::StepProgress;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ReportFormat {
    /// As run prints it
    Text,
    /// report.json as it stands
    Json,
    /// One page that stands alone, with plots
    Html,
    /// For a comment on a pull request
    Markdown,
    /// Each objective a test case
    Junit,
    /// One line a capture path and hop, microseconds
    Csv,
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A result: its folder, its report.json, the id of its run, or "latest"
    #[arg(value_name = "RESULT", default_value = LATEST)]
    result: String,
    /// How it is written
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    format: ReportFormat,
    /// Write it here instead of to stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    results: ResultsArgs,
}

pub(super) fn run(args: &Args, progress: &Terminal) -> Result<ExitCode, Failure> {
    let step = "report";
    progress.begin(step);
    progress.update(step, &format!("reading {}", args.result));
    let results = &args.results.results_dir;
    let observation = StoredObservation::find(&args.result, results).map_err(Failure::usage)?;
    let text = match observation {
        Some(stored) => of_observation(args.format, &stored)?,
        None => {
            let stored = Stored::find(&args.result, results).map_err(Failure::usage)?;
            of_run(args.format, &stored)?
        }
    };
    let text = match args.output {
        // A file has no colours.
        Some(_) => console::strip_ansi_codes(&text).into_owned(),
        None => text,
    };
    progress.clear();
    match &args.output {
        Some(file) => write_whole(file, text.as_bytes())?,
        None => print(text)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn of_run(format: ReportFormat, stored: &Stored) -> Result<String, Failure> {
    let report = &stored.report;
    Ok(match format {
        ReportFormat::Text => render(report),
        ReportFormat::Json => stored.json.clone(),
        ReportFormat::Html => page(stored).map_err(Failure::usage)?,
        ReportFormat::Markdown => markdown(report),
        ReportFormat::Junit => junit(report).map_err(Failure::usage)?,
        ReportFormat::Csv => csv(report),
    })
}

fn of_observation(format: ReportFormat, stored: &StoredObservation) -> Result<String, Failure> {
    let report = &stored.report;
    Ok(match format {
        ReportFormat::Text => render_observation(report),
        ReportFormat::Json => stored.json.clone(),
        ReportFormat::Html => observation_page(stored).map_err(Failure::usage)?,
        ReportFormat::Markdown => observation_markdown(report),
        ReportFormat::Junit => observation_junit(report).map_err(Failure::usage)?,
        ReportFormat::Csv => observation_csv(report),
    })
}
