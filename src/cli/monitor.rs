//! `monitor`: the dashboard of a run in progress, from another terminal.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::progress::{SnapshotLine, Terminal};
use super::results_args::ResultsArgs;
use crate::dashboard::{self, Screen, ScreenControls};
use crate::live::{self, Snapshot};
use crate::pipeline::Failure;

/// Interval between plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(1);
/// How often the run is looked for while the dashboard shows it.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The run's id, or its folder; without it the newest run under way
    run: Option<String>,
    #[command(flatten)]
    results: ResultsArgs,
    /// No dashboard: a plain line a second
    #[arg(long)]
    no_tui: bool,
    /// Print the run's state as JSON, one line a second
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    args: Args,
    terminal: &Terminal,
    cancel: &CancellationToken,
) -> Result<ExitCode, Failure> {
    let folder = find_folder(&args)?;
    let Some(first) = live::read(&folder) else {
        return Err(not_under_way(&folder));
    };
    if args.json {
        print_every_second(&folder, cancel, |snapshot| {
            serde_json::to_string(snapshot).map_err(Failure::usage)
        })
        .await?;
    } else if args.no_tui || !dashboard::fits() {
        print_every_second(&folder, cancel, |snapshot| {
            Ok(SnapshotLine(snapshot).to_string())
        })
        .await?;
    } else {
        show_dashboard(&folder, terminal, cancel).await?;
    }
    if live::read(&folder).is_none() {
        terminal.say(&format!(
            "run {} is over; where it has a result, \"cdc-bench report {}\" shows it",
            first.run,
            folder.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn find_folder(args: &Args) -> Result<PathBuf, Failure> {
    let results = &args.results.results_dir;
    match &args.run {
        Some(run) if Path::new(run).is_dir() => Ok(PathBuf::from(run)),
        Some(run) => Ok(results.join(run)),
        None => live::newest(results).ok_or_else(|| {
            Failure::usage(anyhow::anyhow!(
                "no run is under way in {}: start one with \"cdc-bench run\", or say where its results go with --results-dir",
                results.display()
            ))
        }),
    }
}

fn not_under_way(folder: &Path) -> Failure {
    let advice = if folder.join("report.json").exists() {
        "it is over: \"cdc-bench report\" shows it"
    } else {
        "give the id of one that is, or none for the newest"
    };
    Failure::usage(anyhow::anyhow!(
        "no run is under way in {}; {advice}",
        folder.display()
    ))
}

/// Prints a line per second until the run ends or the user stops it.
async fn print_every_second(
    folder: &Path,
    cancel: &CancellationToken,
    line: impl Fn(&Snapshot) -> Result<String, Failure>,
) -> Result<(), Failure> {
    let mut ticks = tokio::time::interval(LINE_INTERVAL);
    loop {
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let Some(snapshot) = live::read(folder) else {
            return Ok(());
        };
        // The pipe is closed: nobody reads on.
        if writeln!(std::io::stdout(), "{}", line(&snapshot)?).is_err() {
            return Ok(());
        }
    }
}

async fn show_dashboard(
    folder: &Path,
    terminal: &Terminal,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let (shown, quit) = (folder.to_owned(), cancel.clone());
    let controls = ScreenControls {
        control: None,
        quit: Box::new(move || quit.cancel()),
    };
    terminal.hold();
    let screen = Screen::open(move || live::read(&shown), controls).map_err(Failure::usage)?;
    while screen.is_drawing() && !cancel.is_cancelled() {
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
    drop(screen);
    terminal.resume();
    Ok(())
}
