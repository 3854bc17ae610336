//! `cleanup`: removes from the servers what is in the registry: all of it, what dead runs have left, or what one run has.

use std::process::ExitCode;

use cdc_bench_model::RunId;
use cdc_bench_stack::{Cache, GivenEndpoints, StepProgress, sweep_stacks};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::output::{print_json, print_line};
use super::progress::Terminal;
use crate::pipeline::{
    CleanUpScope, Failure, OrphanRemoval, Orphans, Removal, remove_everything, remove_orphans,
};
use crate::settings::Settings;

/// The kind of what a stack leaves on this machine.
const FOLDER: &str = "folder";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Remove only what runs and captures have left that ended without cleaning up: what is set up to stay, and what those use
    /// that are under way, is left and named
    #[arg(long, conflicts_with = "run")]
    orphans: bool,
    /// Remove only what this run, or capture, has left
    #[arg(long, value_name = "RUN_ID", value_parser = RunId::parse)]
    run: Option<RunId>,
    /// Remove everything, also what a run or capture that is under way uses; without it, nothing is removed as long as there is one
    #[arg(long, conflicts_with_all = ["orphans", "run"])]
    all: bool,
    /// Remove nothing: say what would be removed, and with --orphans what would be left and why
    #[arg(long)]
    dry_run: bool,
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
    let which = match args.run.clone() {
        Some(run) => Some(Orphans::Of(run)),
        None => args.orphans.then_some(Orphans::All),
    };
    // Stacks of ours are swept whether servers are up or not.
    let folders = if args.orphans {
        let swept = sweep_stacks(&Cache::open()?, args.dry_run)?;
        swept
            .iter()
            .map(|folder| folder.display().to_string())
            .collect()
    } else {
        Vec::new()
    };
    progress.update("clean-up", "connecting to the servers");
    let servers = cdc_bench_stack::running_endpoints(&settings.servers());
    let servers = match servers {
        Err(error) if args.orphans => {
            progress.clear();
            tracing::debug!(%error, "no servers to clean up");
            let outcome = Outcome {
                removal: OrphanRemoval::default(),
                folders,
            };
            return outcome.print(&args);
        }
        servers => servers?,
    };
    let removal = tokio::select! {
        () = cancel.cancelled() => Err(Failure::interrupted().context(
            "what is left is in the ledger still: \"cdc-bench cleanup\" goes on with it",
        )),
        removal = remove(&servers, which, &args, progress, cancel) => removal,
    }?;
    progress.clear();
    Outcome { removal, folders }.print(&args)
}

async fn remove(
    servers: &GivenEndpoints,
    which: Option<Orphans>,
    args: &Args,
    progress: &Terminal,
    cancel: &CancellationToken,
) -> Result<OrphanRemoval, Failure> {
    match which {
        Some(which) => remove_orphans(servers, &which, args.dry_run, progress, cancel).await,
        None => {
            let scope = match args {
                Args { dry_run: true, .. } => CleanUpScope::DryRun,
                Args { all: true, .. } => CleanUpScope::Everything,
                _ => CleanUpScope::WhenIdle,
            };
            let removal = remove_everything(servers, scope, progress, cancel).await?;
            Ok(OrphanRemoval {
                removed: removal.resources().to_vec(),
                ..OrphanRemoval::default()
            })
        }
    }
}

/// What was removed on servers, and on this machine.
struct Outcome {
    removal: OrphanRemoval,
    folders: Vec<String>,
}

impl Outcome {
    fn print(self, args: &Args) -> Result<ExitCode, Failure> {
        if args.json {
            print_json(&self.to_json(args.dry_run))?;
        } else {
            self.print_lines(args)?;
        }
        match self.removal.failure {
            None => Ok(ExitCode::SUCCESS),
            Some(failure) => Err(failure),
        }
    }

    fn to_json(&self, is_dry_run: bool) -> Value {
        let resources = self.removal.removed.iter();
        let resources =
            resources.map(|(kind, name)| json!({ "kind": kind.to_string(), "name": name }));
        let folders = self.folders.iter();
        let folders = folders.map(|folder| json!({ "kind": FOLDER, "name": folder }));
        let left = self.removal.left.iter().map(|left| {
            json!({ "kind": left.kind.to_string(), "name": left.name, "reason": left.reason })
        });
        let removed: Vec<_> = resources.chain(folders).collect();
        let left: Vec<_> = left.collect();
        if is_dry_run {
            json!({ "removed": [], "would_remove": removed, "left": left })
        } else {
            json!({ "removed": removed, "left": left })
        }
    }

    fn print_lines(&self, args: &Args) -> Result<(), Failure> {
        let resources = self.removal.removed.iter();
        let resources = resources.map(|(kind, name)| format!("{kind} {name}"));
        let folders = self.folders.iter();
        let all: Vec<_> = resources
            .chain(folders.map(|folder| format!("{FOLDER} {folder}")))
            .collect();
        match (&all[..], &self.removal.failure) {
            ([], None) => print_line(Removal::default())?,
            ([], Some(_)) => {}
            _ if args.dry_run => print_line(format_args!("would remove {}", all.join(", ")))?,
            _ => print_line(format_args!("removed {}", all.join(", ")))?,
        }
        for left in &self.removal.left {
            print_line(format_args!(
                "left {} {}: {}",
                left.kind, left.name, left.reason
            ))?;
        }
        Ok(())
    }
}
