//! `sweep`: runs at rising rates.

use std::process::ExitCode;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::capture_args::CaptureArgs;
use super::cluster_args::ClusterArgs;
use super::connector_args::AnyConnectorArgs;
use super::limit_args::LimitArgs;
use super::load_args::InserterArgs;
use super::objective_args::ObjectiveArgs;
use super::progress::Terminal;
use super::results_args::{ResultsArgs, discard_result};
use super::run_display::{RunDisplay, stack_kind};
use super::screen_args::ScreenArgs;
use super::series_result::tell;
use super::shard_args::ShardArgs;
use super::topic_args::TopicArgs;
use crate::load::{Limit, Rate};
use crate::pipeline::{Failure, RunRequest, SweepRequest, WarmUp, exit, sweep};
use crate::settings::Settings;
use cdc_bench_model::report::{SweepReport, render_sweep, sweep_page};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Events a second of each step, with commas; "max" is as fast as the connections go
    #[arg(
        long,
        value_name = "RATES",
        value_delimiter = ',',
        default_value = "100,300,1000,3000,max"
    )]
    rates: Vec<Rate>,
    #[command(flatten)]
    capture: CaptureArgs,
    /// Seconds that each step inserts for; "max" inserts what the highest rate brings in that time [default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    duration: Option<u64>,
    /// Events of each step, instead of seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "duration")]
    events: Option<u64>,
    #[command(flatten)]
    inserter: InserterArgs,
    /// Events before those of each step, not counted
    #[arg(long, value_name = "N", default_value_t = 200)]
    warmup: u64,
    #[command(flatten)]
    connector: AnyConnectorArgs,
    #[command(flatten)]
    topics: TopicArgs,
    #[command(flatten)]
    shards: ShardArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Longest time without an event coming through before the drain gives up
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    drain_timeout: u64,
    #[command(flatten)]
    objectives: ObjectiveArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    results: ResultsArgs,
    #[command(flatten)]
    screen: ScreenArgs,
    /// Print the sweep as JSON, and nothing else, to stdout
    #[arg(long)]
    json: bool,
}

/// Ascending, without duplicates; `max` has no number and comes last.
fn ascending(mut rates: Vec<Rate>) -> Vec<Rate> {
    let number = |rate: &Rate| rate.per_second().unwrap_or(f64::INFINITY);
    rates.sort_by(|a, b| number(a).total_cmp(&number(b)));
    rates.dedup();
    rates
}

pub(super) async fn run(
    args: Args,
    settings: Settings,
    progress: &Terminal,
    cancel: CancellationToken,
) -> Result<ExitCode, Failure> {
    let stack = stack_kind(&settings)?;
    let paths = args.capture.paths();
    let connector = args.connector.request(&paths)?;
    let partitions = args.topics.partitions(&paths)?;
    let shards = args.shards.shards(&paths)?;
    let cluster = args.cluster.request_of(stack)?;
    let (id, folder) = args.results.create()?;
    let rates = ascending(args.rates);
    let about = (&id, stack, None);
    let display = RunDisplay::start(progress, about, &folder, args.screen.wants_screen());
    let request = SweepRequest {
        step: RunRequest {
            id: id.clone(),
            settings,
            limit: match (args.events, args.duration) {
                (Some(events), _) => Limit::Events(events),
                (None, seconds) => Limit::Duration(Duration::from_secs(seconds.unwrap_or(10))),
            },
            rate: Rate::MAX,
            insert_batch: args.inserter.insert_batch(),
            connections: args.inserter.connections(),
            warmup: WarmUp::fixed(args.warmup),
            seed: args.inserter.seed,
            hot_share: 0.0,
            paths,
            rounds: None,
            connector,
            partitions,
            shards,
            cluster,
            transform_delay: None,
            faults: Vec::new(),
            observer: true,
            // Each step asks for its own rate.
            targets: args.objectives.targets(None, None),
            drain_timeout: Duration::from_secs(args.drain_timeout),
            folder: folder.clone(),
            limits: args.limits.limits(stack),
            metrics: None,
            traces: None,
            resumption: None,
            distributed: None,
        },
        rates,
    };
    let outcome = sweep(&request, &display, &cancel).await;
    let is_good =
        |(report, failure): &(SweepReport, Option<Failure>)| failure.is_none() && report.is_clean();
    display.finish_series(outcome.as_ref().is_ok_and(is_good));
    progress.clear();
    let (report, failure) = outcome.map_err(|failure| discard_result(&folder, failure))?;
    let page = sweep_page(&report).map_err(Failure::usage)?;
    tell(
        (&folder, "sweep"),
        &report,
        Some(&page),
        || render_sweep(&report),
        args.json,
    )?;
    match failure {
        Some(failure) => Err(failure),
        None if report.is_clean() => Ok(ExitCode::SUCCESS),
        None => Ok(ExitCode::from(exit::DATA)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_whatever_order_they_are_given_in() {
        let rates = ["max", "300", "100", "300", "0.5"].map(|rate| rate.parse().unwrap());
        let shown: Vec<_> = ascending(rates.to_vec())
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(shown, ["0.5", "100", "300", "max"]);
    }
}
