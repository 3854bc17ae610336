//! `run`: the main job.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::connector_args::ConnectorArgs;
use super::load_args::LoadArgs;
use super::logging;
use super::progress::Terminal;
use super::results_args::ResultsArgs;
use super::watched::Watched;
use crate::analysis::Targets;
use crate::config::{RunId, Settings};
use crate::pipeline::{Failure, RunRequest, exit, run as run_pipeline};
use crate::report::{PathReport, Report, ResultFolder, Stored, Verdict, page, render, write_whole};
use crate::stack::StackKind;
use crate::timeline::CapturePath;

/// How often each path has its turn, where the number is not given.
const ROUNDS: u32 = 10;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    load: LoadArgs,
    /// Capture paths: debezium, wal (our reader and producer), embedded (our reader, no Kafka), with commas; "both" is
    /// debezium,wal. The objectives are for the first
    #[arg(
        long,
        value_name = "PATHS",
        default_value = "debezium",
        value_parser = paths
    )]
    capture: CapturePaths,
    /// Let the paths take turns, a round after the other in shuffled order, instead of all at once
    #[arg(long)]
    interleave: bool,
    /// Rounds of --interleave: each path gets --events in this many parts [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000), requires = "interleave")]
    rounds: Option<u32>,
    /// Events before the measured ones, not counted
    #[arg(long, value_name = "N", default_value_t = 500)]
    warmup: u64,
    #[command(flatten)]
    ours: ConnectorArgs,
    /// Use this connector as it is
    #[arg(long, value_name = "NAME", conflicts_with_all = ["connector_profile", "connector_config"])]
    connector: Option<String>,
    /// Longest time without an event coming through before the drain gives up
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    drain_timeout: u64,
    #[command(flatten)]
    results: ResultsArgs,
    /// Copy of report.json
    #[arg(long, value_name = "FILE", env = "METRICS_FILE")]
    metrics_file: Option<PathBuf>,
    /// Slow every event down by this much between its receipt and its write, to see that it is found
    #[arg(long, value_name = "MS", hide = true, value_parser = milliseconds)]
    inject_transform_delay: Option<Duration>,
    /// Let our reader look on beside Debezium, or not, to see what that costs
    #[arg(long, value_name = "ON|OFF", default_value = "on", value_parser = on_or_off, hide = true, action = clap::ArgAction::Set)]
    observer: bool,
    /// No dashboard: progress bars alone
    #[arg(long)]
    no_tui: bool,
    /// Print the report as JSON, and nothing else, to stdout
    #[arg(long)]
    json: bool,
    /// Objective: median of the total, ms
    #[arg(long, value_name = "MS", default_value_t = 30.0)]
    max_p50: f64,
    /// Objective: 95th percentile of the total, ms
    #[arg(long, value_name = "MS", default_value_t = 100.0)]
    max_p95: f64,
    /// Objective: 99th percentile of the total, ms
    #[arg(long, value_name = "MS", default_value_t = 200.0)]
    max_p99: f64,
    /// Objective: average events a second
    #[arg(long, value_name = "RATE", default_value_t = 100.0)]
    min_throughput: f64,
    /// Objective: success, percent
    #[arg(long, value_name = "PERCENT", default_value_t = 99.9)]
    min_success: f64,
}

/// Milliseconds, with or without a fraction.
fn milliseconds(text: &str) -> Result<Duration, String> {
    let ms: f64 = text.parse().map_err(|e| format!("{e}"))?;
    Duration::try_from_secs_f64(ms / 1_000.0).map_err(|e| e.to_string())
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("expected on or off".to_owned()),
    }
}

/// At least one, none twice.
#[derive(Debug, Clone)]
struct CapturePaths(Vec<CapturePath>);

fn paths(text: &str) -> Result<CapturePaths, String> {
    if text == "both" {
        return Ok(CapturePaths(vec![CapturePath::Debezium, CapturePath::Wal]));
    }
    let mut paths = Vec::new();
    for name in text.split(',') {
        let path: CapturePath = name.trim().parse().map_err(|e| format!("{e}"))?;
        if paths.contains(&path) {
            return Err(format!("{path} is named twice"));
        }
        paths.push(path);
    }
    Ok(CapturePaths(paths))
}

pub(super) async fn run(
    args: Args,
    settings: Settings,
    progress: &Terminal,
    cancel: CancellationToken,
) -> Result<ExitCode, Failure> {
    // Before anything is made.
    let stack = match settings.endpoints()? {
        Some(_) => StackKind::External,
        None => settings.stack,
    };
    let id = RunId::generate();
    let folder = ResultFolder::create(&args.results.results_dir, id.as_str())?;
    let log = folder.create_file("run.log")?;
    logging::into_file(log).map_err(Failure::usage)?;
    let watched = Watched::begin(
        progress,
        (&id, stack, args.load.rate),
        &folder,
        !args.no_tui,
    );
    let request = RunRequest {
        id,
        settings,
        limit: args.load.limit(),
        rate: args.load.rate,
        insert_batch: args.load.insert_batch(),
        connections: args.load.connections(),
        warmup: args.warmup,
        seed: args.load.seed,
        paths: args.capture.0,
        rounds: args.interleave.then(|| args.rounds.unwrap_or(ROUNDS)),
        connector: args.ours.request(args.connector),
        transform_delay: args.inject_transform_delay,
        observer: args.observer,
        targets: Targets {
            p50_ms: args.max_p50,
            p95_ms: args.max_p95,
            p99_ms: args.max_p99,
            throughput_per_s: args.min_throughput,
            success_percent: args.min_success,
            ..Targets::default()
        },
        drain_timeout: Duration::from_secs(args.drain_timeout),
        folder: folder.clone(),
    };
    let outcome = run_pipeline(request, &watched, cancel).await;
    watched.end(outcome.as_ref());
    progress.clear();
    let report = match outcome {
        Ok(report) => report,
        Err(failure) => {
            tracing::info!(%failure, "the run has no result");
            logging::finish();
            folder.discard_if_empty();
            return Err(failure);
        }
    };
    let json = serde_json::to_vec_pretty(&report).map_err(Failure::usage)?;
    folder.write("report.json", &json)?;
    let stored = Stored::read(&folder.file("report.json")).map_err(Failure::usage)?;
    let html = page(&stored).map_err(Failure::usage)?;
    folder.write("report.html", html.as_bytes())?;
    if let Some(copy) = &args.metrics_file {
        write_whole(copy, &json)?;
    }
    if args.json {
        println!("{}", String::from_utf8_lossy(&json));
    } else {
        print!("{}", render(&report));
        println!("\n{}", folder.path().display());
    }
    Ok(ExitCode::from(code(&report)))
}

/// The exit code of a result.
fn code(report: &Report) -> u8 {
    if !report.paths.values().all(PathReport::is_clean) {
        exit::DATA
    } else if report.verdict == Verdict::Fail {
        exit::OBJECTIVE_MISSED
    } else {
        0
    }
}
