//! `run`: the main job.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::capture_args::CaptureArgs;
use super::cluster_args::ClusterArgs;
use super::connector_args::AnyConnectorArgs;
use super::distributed_args::DistributedArgs;
use super::limit_args::LimitArgs;
use super::load_args::LoadArgs;
use super::objective_args::ObjectiveArgs;
use super::output::{print, print_line};
use super::progress::Terminal;
use super::results_args::{ResultsArgs, discard_result};
use super::run_display::{RunDisplay, stack_kind};
use super::screen_args::ScreenArgs;
use super::shard_args::ShardArgs;
use super::topic_args::TopicArgs;
use super::traces_args::TracesArgs;
use crate::pipeline::{
    Endpoint, Failure, Fault, FinishedRun, Metrics, RunParameters, RunRequest, WarmUp,
    check_faults, exit, resume, run as run_pipeline, test_under_way,
};
use crate::settings::Settings;
use cdc_bench_model::RunId;
use cdc_bench_model::report::{PathReport, Report, Verdict, page, render, write_whole};
use cdc_bench_stack::StepProgress;

/// Default objective for the throughput, events per second.
const MIN_THROUGHPUT: f64 = 100.0;
/// Default number of rounds if paths are interleaved.
const ROUNDS: u32 = 10;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Take up a run that was killed, with the parameters that it had: its load goes on after its last event, and all of its events
    /// are verified
    #[arg(
        long,
        value_name = "RUN_ID",
        value_parser = RunId::parse,
        conflicts_with_all = [
            "profile", "events", "duration", "rate", "insert_batch", "connections", "seed", "capture", "interleave", "warmup",
            "connector", "connector_profile", "connector_config", "connector_config_file", "drain_timeout", "faults",
            "inject_transform_delay", "observer", "max_p50", "max_p95", "max_p99", "min_success", "min_throughput", "shards",
        ]
    )]
    resume: Option<RunId>,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    capture: CaptureArgs,
    /// Let the paths take turns, a round after the other in shuffled order, instead of all at once
    #[arg(long, conflicts_with = "shards")]
    interleave: bool,
    /// Rounds of --interleave: each path gets --events in this many parts [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000), requires = "interleave")]
    rounds: Option<u32>,
    /// Events before the measured ones, not counted; "auto": 500, and on until the JVMs of a local stack have compiled
    /// what there is to compile (two minutes at most)
    #[arg(long, value_name = "N|auto", default_value = "auto")]
    warmup: WarmUp,
    #[command(flatten)]
    connector: AnyConnectorArgs,
    #[command(flatten)]
    topics: TopicArgs,
    #[command(flatten)]
    shards: ShardArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    distributed: DistributedArgs,
    /// Longest time without an event coming through before the drain gives up
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    drain_timeout: u64,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    results: ResultsArgs,
    /// Copy of report.json
    #[arg(long, value_name = "FILE", env = "METRICS_FILE")]
    metrics_file: Option<PathBuf>,
    /// Answer Prometheus at this address while the run goes on (GET /metrics), such as 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_listen: Option<SocketAddr>,
    #[command(flatten)]
    traces: TracesArgs,
    /// Make a fault while events are under way, such as kill:connect@30% or pause:store@9s,for=2s; may be repeated. ACTION is kill,
    /// stop, restart or pause of postgres, kafka, connect, store, consumer or reader; or cut, reset, delay or throttle of a link
    /// such as connect-postgres, reader-kafka or consumer-store; MOMENT is a time since the load began or a share of it
    #[arg(
        long = "fault",
        value_name = "ACTION:TARGET@MOMENT[,for=TIME]",
        conflicts_with_all = ["interleave", "shards"]
    )]
    faults: Vec<Fault>,
    /// Share of the events that are about one aggregate, percent: of several partitions, the one that it is in is hot
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    hot_share: f64,
    /// Slow every event down by this much between its receipt and its write, to see that it is found
    #[arg(long, value_name = "MS", hide = true, value_parser = milliseconds)]
    inject_transform_delay: Option<Duration>,
    /// Let our reader look on beside Debezium, or not, to see what that costs
    #[arg(long, value_name = "ON|OFF", default_value = "on", value_parser = on_or_off, hide = true, action = clap::ArgAction::Set)]
    observer: bool,
    #[command(flatten)]
    screen: ScreenArgs,
    /// Print the report as JSON, and nothing else, to stdout
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    objectives: ObjectiveArgs,
    /// Objective: average events a second [default: 100; none with --profile]
    #[arg(long, value_name = "RATE")]
    min_throughput: Option<f64>,
}

/// Milliseconds, with or without a fraction.
fn milliseconds(text: &str) -> Result<Duration, String> {
    let ms: f64 = text.parse().map_err(|e| format!("{e}"))?;
    Duration::try_from_secs_f64(ms / 1_000.0).map_err(|e| e.to_string())
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("expected a number from 0 to 100".to_owned()),
    }
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("expected on or off".to_owned()),
    }
}

pub(super) async fn run(
    args: Args,
    settings: Settings,
    progress: &Terminal,
    cancel: CancellationToken,
) -> Result<ExitCode, Failure> {
    // Before anything is created.
    let stack = stack_kind(&settings)?;
    let resumed = match &args.resume {
        Some(run) => Some(take_up(run, &args.results, &settings).await?),
        None => None,
    };
    let (paths, rate) = match &resumed {
        Some(resumed) => (resumed.paths.clone(), resumed.rate),
        None => (args.capture.paths(), args.load.rate()),
    };
    check_faults(&args.faults, stack, &paths).map_err(Failure::usage)?;
    let connector = args.connector.request(&paths)?;
    let partitions = args.topics.partitions(&paths)?;
    let shards = args.shards.shards(&paths)?;
    let (distributed, partitions) = args.distributed.request(&settings, &paths, partitions)?;
    let cluster = args.cluster.request_of(stack)?;
    let under_way = match &distributed {
        Some(test) => test_under_way(test, &settings).await?,
        None => None,
    };
    let resumed = match (under_way, &distributed) {
        (Some(parameters), Some(test)) => {
            let id = parameters.run_id()?;
            progress.say(&format!(
                "test {} is under way: run {id} is taken up",
                test.test
            ));
            let folder = args.results.open(&id)?;
            Some(parameters.taken_up(folder, settings.clone(), test.clone())?)
        }
        _ => resumed,
    };
    let (id, folder) = match &resumed {
        Some(resumed) => (resumed.id.clone(), resumed.folder.clone()),
        None => args.results.create()?,
    };
    let (metrics, endpoint) = match args.metrics_listen {
        Some(address) => {
            let metrics = Arc::new(Metrics::new(&id, &paths, rate));
            let exported: Arc<Metrics> = Arc::clone(&metrics);
            let endpoint = Endpoint::listen(address, exported).await;
            let endpoint = endpoint.map_err(Failure::usage)?;
            progress.say(&format!("metrics: http://{}/metrics", endpoint.address()));
            (Some(metrics), Some(endpoint))
        }
        None => (None, None),
    };
    let tracing = args.traces.begin(&id, rate);
    let tracing = tracing.map_err(|failure| discard_result(&folder, failure))?;
    let (traces, exporter) = tracing.unzip();
    let display = RunDisplay::start(
        progress,
        (&id, stack, Some(rate)),
        &folder,
        args.screen.wants_screen(),
    );
    // A profile may be slower than that by intention.
    let is_named = args.load.is_named();
    let min_throughput = args
        .min_throughput
        .or((!is_named).then_some(MIN_THROUGHPUT));
    let traces = traces.map(Arc::new);
    let request = match resumed {
        Some(resumed) => RunRequest {
            limits: args.limits.limits(stack),
            metrics,
            traces,
            ..resumed
        },
        None => RunRequest {
            id,
            settings,
            limit: args.load.limit(),
            rate,
            insert_batch: args.load.inserter.insert_batch(),
            connections: args.load.inserter.connections(),
            warmup: args.warmup,
            seed: args.load.inserter.seed,
            hot_share: args.hot_share / 100.0,
            paths,
            rounds: args.interleave.then(|| args.rounds.unwrap_or(ROUNDS)),
            connector,
            partitions,
            shards,
            cluster,
            transform_delay: args.inject_transform_delay,
            observer: args.observer,
            faults: args.faults,
            targets: args.objectives.targets(min_throughput, Some(rate)),
            drain_timeout: Duration::from_secs(args.drain_timeout),
            limits: args.limits.limits(stack),
            folder: folder.clone(),
            metrics,
            traces,
            resumption: None,
            distributed,
        },
    };
    let outcome = run_pipeline(request, &display, cancel).await;
    if let Some(exporter) = exporter {
        display.begin("traces");
        display.update(
            "traces",
            "waiting for the collector to take the last of them",
        );
        progress.say(&format!("traces: {}", exporter.finish().await));
    }
    display.finish_run(outcome.as_ref().map(|finished| &finished.stored.report));
    drop(endpoint);
    progress.clear();
    let outcome = outcome.map_err(|failure| discard_result(&folder, failure));
    let FinishedRun { stored, completed } = outcome?;
    progress.begin("report");
    progress.update("report", "writing the page and its plots");
    let html = page(&stored).map_err(Failure::usage)?;
    folder.write("report.html", html.as_bytes())?;
    progress.clear();
    if let Some(copy) = &args.metrics_file {
        write_whole(copy, stored.json.as_bytes())?;
    }
    if args.json {
        print_line(&stored.json)?;
    } else {
        print(render(&stored.report))?;
        print_line(format_args!("\n{}", folder.path().display()))?;
    }
    completed?;
    Ok(ExitCode::from(code(&stored.report)))
}

/// A run that was killed, as it goes on.
async fn take_up(
    run: &RunId,
    results: &ResultsArgs,
    settings: &Settings,
) -> Result<RunRequest, Failure> {
    let folder = results.reopen(run)?;
    let parameters = RunParameters::read(&folder, run)?;
    let postgres = cdc_bench_stack::running_endpoints(&settings.servers())?.postgres()?;
    resume(run, parameters, folder, settings.clone(), &postgres).await
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
