//! The program: parses the command line, sets up logging and the runtime, and runs the command.

use std::process::ExitCode;
use std::time::Duration;

use clap::CommandFactory as _;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio_util::sync::CancellationToken;

use super::command_line::{Cli, Command};
use super::endpoint_args::load_env_file;
use super::orphan_notice::OrphanNotice;
use super::output::print_error_line;
use super::postgres_choice::choose_postgres;
use super::progress::Terminal;
use super::secrets::Prompt;
use super::{
    capture, cleanup, compare, consume, dead_letters, demo, doctor, generate, interrupt, logging,
    monitor, observe, report, resilience, run, setup, shell, stack, sweep, tune, verify, worker,
};
use crate::pipeline::Failure;

/// Parses the arguments, runs the command, and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    // Variables that are set override the file.
    if let Err(error) = load_env_file() {
        print_error_line(format_args!("error: {error}"));
        return ExitCode::from(2);
    }
    let cli = Cli::of_process();
    let progress = Terminal::new();
    let screen = progress.clone();
    logging::start(cli.log_level, move |line| screen.say(line));
    raise_descriptor_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            print_error_line(format_args!("error: cannot start: {error}"));
            return ExitCode::from(3);
        }
    };
    let outcome = runtime.block_on(async {
        let besides = cli.command.said_wait().unwrap_or_default();
        let cancel = interrupt::watch(&progress, besides);
        let before = live_tasks();
        let notice = OrphanNotice::default();
        let work = dispatch(cli, &progress, &notice, cancel.clone());
        let outcome = tokio::select! {
            outcome = work => outcome,
            () = interrupt::clean_up_is_over(&cancel, besides) => Err(Failure::interrupted().context(
                "a server does not answer, and the clean-up took too long; \"cdc-bench cleanup\" removes what is left there",
            )),
        };
        notice.finish(&cancel).await;
        wait_for_tasks(before).await;
        outcome
    });
    progress.clear();
    logging::finish();
    // A thread blocked in a client library must not keep the process alive.
    runtime.shutdown_timeout(THREADS_TIMEOUT);
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            print_error_line(format_args!(
                "{} {failure:#}",
                console::style("error:").for_stderr().red().bold()
            ));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// As many descriptors as the system lets this process have: connections, files and those of servers that it starts. Shells often
/// give a process far fewer, for the sake of programs that use select(2).
fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::debug!(%error, "the limit of open descriptors stays as it is");
    }
}

/// Longest wait for threads that are blocked in a client library.
const THREADS_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest wait for background tasks to end after a command.
const TASKS_TIMEOUT: Duration = Duration::from_millis(500);

/// Number of live tasks of the runtime.
fn live_tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

/// Waits briefly until no more tasks are alive than `before`. MongoDB's client ends its sessions on a background task when it
/// is dropped, and that task panics if the runtime is shut down first.
async fn wait_for_tasks(before: usize) {
    let ended = async {
        while live_tasks() > before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    if tokio::time::timeout(TASKS_TIMEOUT, ended).await.is_err() {
        tracing::debug!(
            left = live_tasks().saturating_sub(before),
            "tasks that did not end by themselves"
        );
    }
}

async fn dispatch(
    cli: Cli,
    progress: &Terminal,
    notice: &OrphanNotice,
    cancel: CancellationToken,
) -> Result<ExitCode, Failure> {
    let Cli {
        endpoints, command, ..
    } = cli;
    // Only a command that uses the servers looks for their secrets.
    let resolved = async || {
        let prompt = Prompt::at_terminal();
        let (mut settings, servers) = endpoints.clone().resolve(prompt)?;
        let chosen = choose_postgres(&mut settings, servers.as_ref(), prompt, &cancel).await;
        Ok::<_, Failure>((settings, chosen))
    };
    let without_notice = async || {
        let (settings, chosen) = resolved().await?;
        chosen.map(|()| settings)
    };
    let settings = async || {
        let settings = without_notice().await?;
        notice.begin(&settings, progress);
        Ok(settings)
    };
    match command {
        Command::Run(args) => run::run(*args, settings().await?, progress, cancel).await,
        Command::Resilience(args) => {
            resilience::run(*args, settings().await?, progress, cancel).await
        }
        Command::Sweep(args) => sweep::run(*args, settings().await?, progress, cancel).await,
        Command::Tune(args) => tune::run(*args, settings().await?, progress, cancel).await,
        Command::Demo(args) => demo::run(args, settings().await?, progress, cancel).await,
        Command::Monitor(args) => monitor::run(args, progress, &cancel).await,
        Command::Observe(args) => observe::run(*args, &settings().await?, progress, &cancel).await,
        Command::Report(args) => report::run(&args, progress),
        Command::Compare(args) => compare::run(&args, progress),
        Command::Stack(action) => stack::run(action, progress, &cancel).await,
        Command::Setup(args) => setup::run(args, &settings().await?, progress, &cancel).await,
        Command::Cleanup(args) => {
            cleanup::run(args, &without_notice().await?, progress, &cancel).await
        }
        Command::Capture(args) => capture::run(*args, &settings().await?, progress, &cancel).await,
        Command::Generate(args) => generate::run(args, &settings().await?, progress, &cancel).await,
        Command::Worker(args) => worker::run(args, &settings().await?, progress, &cancel).await,
        Command::Consume(args) => consume::run(args, &settings().await?, progress, &cancel).await,
        Command::DeadLetters(action) => {
            dead_letters::run(action, settings, progress, &cancel).await
        }
        Command::Verify(args) => verify::run(args, &settings().await?, progress, &cancel).await,
        Command::Doctor(args) => {
            let (settings, chosen) = resolved().await?;
            match chosen {
                Err(failure) if failure.is_interrupt() => Err(failure),
                chosen => {
                    let unfit = chosen.err();
                    let outcome = doctor::run(args, &settings, unfit.as_ref(), progress).await;
                    if unfit.is_none() {
                        notice.begin(&settings, progress);
                    }
                    outcome
                }
            }
        }
        Command::Completions(args) => shell::completions(&args, Cli::command()),
        Command::Man(args) => shell::man(&args, Cli::command()),
    }
}
