//! The command line: one file a subcommand, each with its arguments and the one function it calls.

mod cleanup;
mod interrupt;
mod logging;
mod progress;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::config::EndpointArgs;
use crate::pipeline::Failure;

const EXAMPLES: &str = "\
Examples:
  cdc-bench run --events 10000                      everything: servers, set-up, load, report, clean-up
  cdc-bench run --events 10000 --connector-profile stock
                                                    the same with Debezium as it comes
  cdc-bench run --duration 300 --rate 500 --json     five minutes at 500 a second, the report on stdout
  cdc-bench cleanup                                 after a run on external servers that was killed

Exit codes: 0 all objectives met; 1 an objective missed; 2 usage; 3 a server is missing or refused;
4 data lost or differing; 130 interrupted.";

/// Follows every event from a PostgreSQL INSERT through Debezium, Kafka and a consumer into MongoDB, and says which hop is slow.
#[derive(Debug, Parser)]
#[command(name = "cdc-bench", version, after_help = EXAMPLES, arg_required_else_help = true, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    endpoints: EndpointArgs,
    /// How much goes into the log: error, warn, info, debug, trace. Under high load it drops by itself, errors never
    #[arg(
        long,
        env = "LOG_LEVEL",
        default_value = "info",
        global = true,
        value_name = "LEVEL"
    )]
    log_level: LevelFilter,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The main job: bring up, register, warm up, load, follow, verify, report, clean up
    Run(Box<run::Args>),
    /// Remove what runs that were cut off have left on external servers, and the tables they made
    Cleanup,
}

/// Parses the arguments, does what they ask, and says how it went.
#[must_use]
pub fn main() -> ExitCode {
    // What is set wins over the file.
    if let Err(error) = crate::config::load_env_file() {
        eprintln!("error: {error}");
        return ExitCode::from(2);
    }
    let cli = Cli::parse();
    let progress = progress::Terminal::new();
    let screen = progress.clone();
    logging::start(cli.log_level, move |line| screen.say(line));
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::from(3);
        }
    };
    let outcome = runtime.block_on(async {
        let cancel = interrupt::watch();
        dispatch(cli, &progress, cancel).await
    });
    progress.clear();
    logging::finish();
    // A thread still inside a client library must not keep the command from ending.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            eprintln!(
                "{} {failure:#}",
                console::style("error:").for_stderr().red().bold()
            );
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn dispatch(
    cli: Cli,
    progress: &progress::Terminal,
    cancel: tokio_util::sync::CancellationToken,
) -> Result<ExitCode, Failure> {
    let settings = cli.endpoints.resolve()?;
    match cli.command {
        Command::Run(args) => run::run(*args, settings, progress, cancel).await,
        Command::Cleanup => cleanup::run(&settings).await,
    }
}
