//! `cleanup`: removes from the servers what is in the registry.

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use super::output::{print_json, print_line};
use super::progress::Terminal;
use crate::pipeline::{Failure, remove_everything};
use crate::settings::Settings;
use cdc_bench_stack::StepProgress;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print what was removed as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    args: Args,
    settings: &Settings,
    progress: &Terminal,
    cancel: &CancellationToken,
) -> Result<ExitCode, Failure> {
    progress.begin("clean-up");
    progress.update("clean-up", "connecting to the servers");
    let servers = cdc_bench_stack::running_endpoints(&settings.servers())?;
    let removal = tokio::select! {
        () = cancel.cancelled() => Err(Failure::interrupted().context(
            "what is left is in the ledger still: \"cdc-bench cleanup\" goes on with it",
        )),
        removal = remove_everything(&servers, progress, cancel) => removal,
    }?;
    progress.clear();
    if args.json {
        let removed = removal.resources().iter();
        let removed: Vec<_> = removed
            .map(|(kind, name)| serde_json::json!({ "kind": kind.to_string(), "name": name }))
            .collect();
        print_json(&serde_json::json!({ "removed": removed }))?;
    } else {
        print_line(removal)?;
    }
    Ok(ExitCode::SUCCESS)
}
