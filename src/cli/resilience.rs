//! `resilience`: a matrix of faults with one table and one page at its end.

use std::process::ExitCode;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::capture_args::{CapturePaths, paths};
use super::cluster_args::ClusterArgs;
use super::connector_args::ConnectorArgs;
use super::progress::Terminal;
use super::results_args::{ResultsArgs, discard_result};
use super::run_display::{RunDisplay, stack_kind};
use super::series_result::tell;
use crate::load::{Limit, Rate};
use crate::pipeline::{Failure, Limits, ResilienceRequest, RunRequest, WarmUp, exit, resilience};
use crate::settings::Settings;
use cdc_bench_model::analysis::Targets;
use cdc_bench_model::event::Shards;
use cdc_bench_model::report::{ResilienceReport, Verdict, render_resilience, resilience_page};
use cdc_bench_stack::StackKind;

/// Longest time without an event coming through: a server that was taken away needs some time to come back.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(90);
/// Events before those of each run.
const WARM_UP: u64 = 100;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only kill each process, once: some four minutes
    #[arg(long)]
    quick: bool,
    /// Capture paths, as of run; each fault is made on all of them at once
    #[arg(long, value_name = "PATHS", default_value = "both", value_parser = paths)]
    capture: CapturePaths,
    /// Events of each run with three faults; a quick one has a quarter
    #[arg(long, value_name = "N", default_value_t = 2_400, value_parser = clap::value_parser!(u64).range(4..))]
    events: u64,
    /// Events a second
    #[arg(long, value_name = "RATE", default_value = "50")]
    rate: Rate,
    #[command(flatten)]
    connector: ConnectorArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    results: ResultsArgs,
    /// Print the result as JSON, and nothing else, to stdout
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    args: Args,
    settings: Settings,
    progress: &Terminal,
    cancel: CancellationToken,
) -> Result<ExitCode, Failure> {
    let stack = stack_kind(&settings)?;
    if stack != StackKind::Local {
        return Err(Failure::usage(anyhow::anyhow!(
            "resilience takes servers away: it takes a local stack, and none of yours (leave out the addresses of your servers, or give \"run --fault\" a fault of the consumer or the reader)"
        )));
    }
    let connector = args.connector.request()?;
    let cluster = args.cluster.request_of(stack)?;
    let (id, folder) = args.results.create()?;
    let display = RunDisplay::start(progress, (&id, stack, None), &folder, false);
    let request = ResilienceRequest {
        quick: args.quick,
        run: RunRequest {
            id: id.clone(),
            settings,
            limit: Limit::Events(args.events),
            rate: args.rate,
            insert_batch: 1,
            connections: 4,
            warmup: WarmUp::fixed(WARM_UP),
            seed: 42,
            hot_share: 0.0,
            paths: args.capture.into_paths(),
            rounds: None,
            connector,
            partitions: None,
            shards: Shards::ONE,
            cluster,
            transform_delay: None,
            observer: true,
            faults: Vec::new(),
            targets: Targets {
                throughput_per_s: None,
                ..Targets::default()
            },
            drain_timeout: DRAIN_TIMEOUT,
            limits: Limits::by_default(stack),
            folder: folder.clone(),
            metrics: None,
            traces: None,
            resumption: None,
            distributed: None,
        },
    };
    let outcome = resilience(&request, &display, &cancel).await;
    let is_good = |report: &ResilienceReport| report.verdict == Verdict::Pass;
    display.finish_series(outcome.as_ref().is_ok_and(|(report, _)| is_good(report)));
    progress.clear();
    let (report, failure) = outcome.map_err(|failure| discard_result(&folder, failure))?;
    let page = resilience_page(&report).map_err(Failure::usage)?;
    tell(
        (&folder, "resilience"),
        &report,
        Some(&page),
        || render_resilience(&report),
        args.json,
    )?;
    match failure {
        Some(failure) => Err(failure),
        None if is_good(&report) => Ok(ExitCode::SUCCESS),
        None => Ok(ExitCode::from(exit::DATA)),
    }
}
