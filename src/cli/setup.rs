//! `setup`: creates what a pipeline needs; it stays until `cleanup`.

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use super::connector_args::ConnectorArgs;
use super::output::{print, print_json};
use super::progress::Terminal;
use super::topic_args::MOST_PARTITIONS;
use crate::pipeline::{Failure, ServerClients, WantedTopic, set_up};
use crate::settings::Settings;
use cdc_bench_stack::StepProgress;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    ours: ConnectorArgs,
    /// Partitions of the topic, if it does not exist; the connector then keys its records by aggregate, so that the events of one keep
    /// their order [default: 1, keyed by event]
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(i32).range(1..=MOST_PARTITIONS))]
    partitions: Option<i32>,
    /// Print what is there as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    args: Args,
    settings: &Settings,
    progress: &Terminal,
    cancel: &CancellationToken,
) -> Result<ExitCode, Failure> {
    let capture = args.ours.request()?;
    progress.begin("set-up");
    progress.update("set-up", "connecting to the servers");
    let servers = ServerClients::connect_running(settings).await?;
    let wanted = WantedTopic {
        name: &settings.topic,
        partitions: args.partitions,
    };
    let made = tokio::select! {
        () = cancel.cancelled() => Err(Failure::interrupted().context(
            "what was made so far is in the ledger: \"cdc-bench cleanup\" removes it",
        )),
        made = set_up(&servers, wanted, &capture, settings.given.is_none(), progress, cancel) => made,
    }?;
    progress.clear();
    if args.json {
        print_json(&made)?;
    } else {
        print(made)?;
    }
    Ok(ExitCode::SUCCESS)
}
