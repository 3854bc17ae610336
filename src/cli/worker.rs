//! `worker`: a part of the work of a test that is spread over machines.

use std::collections::BTreeSet;
use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use super::distributed_args::test_name;
use super::output::print_line;
use super::progress::Terminal;
use super::results_args::RESULTS;
use crate::pipeline::{Failure, WorkerRequest, WorkerRole, machine_name, work};
use crate::settings::Settings;
use cdc_bench_model::timeline::Nanos;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Test to take part in: that of "cdc-bench run --workers N --test ID"
    #[arg(long, value_name = "ID", value_parser = test_name)]
    test: String,
    /// What this worker offers to do, with commas
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        value_name = "ROLE",
        default_values = ["load", "consume", "capture"]
    )]
    roles: Vec<WorkerRole>,
    /// Name of this worker in the report; no two workers of a test have the same [default: the machine's name and a number]
    #[arg(long, value_name = "NAME", value_parser = test_name)]
    name: Option<String>,
    /// Folder that has a folder of what this worker has recorded a run
    #[arg(long, value_name = "DIR", default_value = RESULTS)]
    results_dir: std::path::PathBuf,
    /// State what chrony says of this machine's clock as its error, where that is tighter than what round trips to PostgreSQL leave open
    #[arg(long)]
    trust_ntp: bool,
    /// Take this machine's clock for one that is so far ahead, to see that it is found
    #[arg(
        long,
        value_name = "MS",
        hide = true,
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    inject_clock_skew: i64,
    /// Take it for one that runs so much faster, parts per million
    #[arg(
        long,
        value_name = "PPM",
        hide = true,
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    inject_clock_drift: i32,
}

pub(super) async fn run(
    args: Args,
    settings: &Settings,
    progress: &Terminal,
    cancel: &CancellationToken,
) -> Result<ExitCode, Failure> {
    let endpoints = cdc_bench_stack::running_endpoints(&settings.servers())?.all()?;
    let request = WorkerRequest {
        test: args.test,
        name: args.name.unwrap_or_else(default_name),
        roles: args.roles.into_iter().collect::<BTreeSet<_>>(),
        results: args.results_dir,
        trust_ntp: args.trust_ntp,
        clock_drift: args.inject_clock_drift,
        clock_skew: Nanos::from_millis(args.inject_clock_skew),
    };
    let worked = work(&request, settings, &endpoints, progress, cancel).await?;
    progress.clear();
    print_line(format_args!(
        "worker {}: run {}, {} inserted, {} written\n\n{}",
        worked.worker,
        worked.run,
        worked.inserted,
        worked.written,
        worked.folder.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// The machine's name, which may be that of several workers, and a number that no other process there has.
fn default_name() -> String {
    let host = machine_name();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let host: String = host.chars().filter(|c| fits(*c)).take(40).collect();
    format!("{host}-{}", std::process::id())
}
