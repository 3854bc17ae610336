//! `tune`: finds the best settings, and measures what they gain.

use std::process::ExitCode;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::limit_args::LimitArgs;
use super::load_args::InserterArgs;
use super::progress::Terminal;
use super::results_args::{ResultsArgs, discard_result};
use super::run_display::{RunDisplay, stack_kind};
use super::screen_args::ScreenArgs;
use super::series_result::tell;
use crate::load::{Limit, Rate};
use crate::pipeline::{
    ConnectorRequest, Failure, Preference, RunRequest, TuneRequest, WarmUp, tune,
};
use crate::settings::Settings;
use cdc_bench_model::analysis::Targets;
use cdc_bench_model::event::Shards;
use cdc_bench_model::report::render_tune;
use cdc_bench_model::timeline::CapturePath;
use cdc_bench_stack::ClusterRequest;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Longest time for all of it, in seconds; as many configurations are tried as fit
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    budget: u64,
    /// Configurations to begin with: Debezium as it comes, the low-latency profile, and others drawn by --seed
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u16).range(2..=1_000))]
    candidates: u16,
    /// Events of each in the first round; each next round has half as many configurations, and twice the events
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u64).range(20..))]
    events: u64,
    /// Configurations that are left when halving ends
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    keep: u16,
    /// Runs of each side in the head-to-head of what is recommended with the defaults
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=100))]
    rounds: u32,
    /// What is recommended of what is left
    #[arg(long, value_enum, value_name = "WHAT", default_value = "balance")]
    prefer: Preference,
    /// Try acks=1 too: what a broker has acknowledged and not copied yet is lost with it
    #[arg(long)]
    weaker_acks: bool,
    /// Events a second on an open-loop schedule, below saturation
    #[arg(long, value_name = "RATE", default_value = "167")]
    rate: Rate,
    #[command(flatten)]
    inserter: InserterArgs,
    /// Events before those of each run, not counted
    #[arg(long, value_name = "N", default_value_t = 100)]
    warmup: u64,
    /// Longest time without an event coming through before the drain gives up
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    drain_timeout: u64,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    results: ResultsArgs,
    #[command(flatten)]
    screen: ScreenArgs,
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
    let (id, folder) = args.results.create()?;
    let about = (&id, stack, None);
    let display = RunDisplay::start(progress, about, &folder, args.screen.wants_screen());
    let request = TuneRequest {
        run: RunRequest {
            id: id.clone(),
            settings,
            limit: Limit::Events(args.events),
            rate: args.rate,
            insert_batch: args.inserter.insert_batch(),
            connections: args.inserter.connections(),
            warmup: WarmUp::fixed(args.warmup),
            seed: args.inserter.seed,
            hot_share: 0.0,
            paths: vec![CapturePath::Debezium],
            rounds: None,
            connector: ConnectorRequest::default(),
            partitions: None,
            shards: Shards::ONE,
            cluster: ClusterRequest::default(),
            transform_delay: None,
            faults: Vec::new(),
            observer: true,
            targets: Targets::default(),
            drain_timeout: Duration::from_secs(args.drain_timeout),
            folder: folder.clone(),
            limits: args.limits.limits(stack),
            metrics: None,
            traces: None,
            resumption: None,
            distributed: None,
        },
        candidates: args.candidates.into(),
        events: args.events,
        keep: args.keep.into(),
        head_to_head_rounds: args.rounds,
        budget: Duration::from_secs(args.budget),
        prefer: args.prefer,
        weaker_acks: args.weaker_acks,
    };
    let outcome = tune(&request, &display, &cancel).await;
    display.finish_series(outcome.as_ref().is_ok_and(|(_, failure)| failure.is_none()));
    progress.clear();
    let (report, failure) = outcome.map_err(|failure| discard_result(&folder, failure))?;
    tell(
        (&folder, "tune"),
        &report,
        None,
        || render_tune(&report),
        args.json,
    )?;
    failure.map_or(Ok(ExitCode::SUCCESS), Err)
}
