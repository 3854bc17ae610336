//! The command line: one file a subcommand, each with its arguments and the one function it calls.

mod capture;
mod capture_args;
mod cleanup;
mod compare;
mod connector_args;
mod consume;
mod demo;
mod doctor;
mod generate;
mod interrupt;
mod load_args;
mod logging;
mod monitor;
mod objective_args;
mod progress;
mod report;
mod results_args;
mod run;
mod setup;
mod stack;
mod verify;
mod watched;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::config::EndpointArgs;
use crate::pipeline::Failure;

const EXAMPLES: &str = "\
Examples:
  cdc-bench run --events 10000                     everything: servers, set-up, load, report, clean-up
  cdc-bench run --connector-profile stock          the same with Debezium as it comes
  cdc-bench run --duration 300 --rate 500 --json   five minutes at 500 a second, the report on stdout
  cdc-bench report --format html -o report.html    the last result as a page with plots
  cdc-bench stack up                               servers that stay: later runs begin at once
  cdc-bench doctor                                 what is there, what is missing, what to type

Exit codes: 0 all objectives met; 1 an objective missed; 2 usage; 3 a server is missing or refused;
4 data lost or differing; 130 interrupted.";

const RUN_EXAMPLES: &str = "\
Examples:
  cdc-bench run --events 10000                       10,000 events at 167 a second, each its own commit
  cdc-bench run --profile stress                     1,000 events at 33 a second
  cdc-bench run --rate max --insert-batch 100        as fast as it goes, a hundred rows a transaction
  cdc-bench run --connector-config max.batch.size=64 a setting of Debezium's, over the profile's
  cdc-bench run --capture both --connector-profile stock
                                                     Debezium as it comes beside our own reader, on the same inserts
  POSTGRES_HOST=db KAFKA_BOOTSTRAP_SERVERS=kafka:9092 CONNECT_URL=http://connect:8083 \\
    cdc-bench run                                    your own servers (passwords: POSTGRES_PASSWORD, MONGODB_URI)";

const REPORT_EXAMPLES: &str = "\
Examples:
  cdc-bench report                                   the last result on the terminal
  cdc-bench report --format markdown                 the same for a comment on a pull request
  cdc-bench report 20261124-101500-7f3a9c -f html -o page.html
  cdc-bench report cdc-bench-results/20261124-101500-7f3a9c --format junit -o objectives.xml";

const MONITOR_EXAMPLES: &str = "\
Examples:
  cdc-bench monitor                                  the newest run under way, on its dashboard
  ssh bench-host cdc-bench monitor --no-tui          the same from elsewhere, a line a second
  cdc-bench monitor 20261124-101500-7f3a9c --json | jq .paths[0].total.p99_us

It looks on: the run goes on when you leave, and it ends when the run ends.";

const DEMO_EXAMPLES: &str = "\
Examples:
  cdc-bench demo --pause                             four acts; the speaker goes on by Enter
  cdc-bench demo --speed 10x                         a rehearsal
  cdc-bench demo --with-fault                        and an act in which Connect is killed, and comes back
  cdc-bench demo --acts warm-up,extreme --with-fault=store

An act is a run with a result of its own (report.html in its folder); the last lines sum them up.
Exit codes: 0 every event of every act is in the store; 2 usage; 3 a server is missing; 4 data lost or differing.";

const COMPARE_EXAMPLES: &str = "\
Examples:
  cdc-bench compare 20261124-101500-7f3a9c latest    two runs
  cdc-bench compare latest --paths debezium,wal      two capture paths of one run
  cdc-bench compare A B --varied connector           the connector's settings were changed on purpose
  cdc-bench compare --baseline A1 A2 A3 --candidate B1 B2 B3 --html compared.html
  cdc-bench compare main.json branch.json --fail-on-regression 5%

The verdict is faster, slower, mixed or no difference shown. Runs that were made differently are refused.
Exit codes: 0 compared; 1 a regression (--fail-on-regression); 2 usage, or the results are unlike.";

const SETUP_EXAMPLES: &str = "\
Examples:
  cdc-bench stack up && cdc-bench setup              on the stack that is kept
  cdc-bench setup --connector-profile stock          with Debezium as it comes
  cdc-bench cleanup                                  removes exactly what setup made";

const CAPTURE_EXAMPLES: &str = "\
Examples:
  cdc-bench capture shop.orders                      Debezium's events, a line each, until Ctrl-C
  cdc-bench capture orders --format flat --max 10    ten changes, plain
  cdc-bench capture orders --slot orders > changes   goes on where it was left, each time it is started
  cdc-bench capture orders --slot orders --until now what has happened since the last time
  cdc-bench capture orders --from snapshot           the rows that are there, then every change
  cdc-bench capture orders --slot orders --from snapshot --checkpoint orders.progress --output kafka
                                                     into Kafka, as Debezium would; goes on after any crash

A transaction is acknowledged to the server once its last line is out. A slot of your own holds back WAL until it is
read or dropped: --max-retained-wal ends with an error before it is too much.";

const GENERATE_EXAMPLES: &str = "\
Examples:
  cdc-bench generate --events 1000 --rate 50         a thousand events, and nobody follows them
  cdc-bench generate --events 3 --dry-run            what such events look like";

const CONSUME_EXAMPLES: &str = "\
Examples:
  cdc-bench consume --idle-timeout 5                 what the topic holds, then stop
  cdc-bench consume --max 1000 --json                a thousand records; several of these share the work as one group";

const VERIFY_EXAMPLES: &str = "\
Examples:
  cdc-bench verify                                   every row against every document
  cdc-bench verify 20261124-101500-7f3a9c            one run's";

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
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<run::Args>),
    /// Show the pipeline to people: acts of 10, 100, 1,000 and 10,000 events on one stack
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(demo::Args),
    /// Look on at a run under way: its dashboard, from another terminal
    #[command(after_help = MONITOR_EXAMPLES)]
    Monitor(monitor::Args),
    /// Show a stored result: text, JSON, HTML, Markdown, JUnit, CSV
    #[command(after_help = REPORT_EXAMPLES)]
    Report(report::Args),
    /// Compare two results, sets of results, or capture paths: per hop a difference, its interval, a verdict
    #[command(after_help = COMPARE_EXAMPLES)]
    Compare(compare::Args),
    /// Servers that stay for later runs
    #[command(subcommand)]
    Stack(stack::Action),
    /// Make tables, publication, slot, topic, connector and indexes; they stay until cleanup
    #[command(after_help = SETUP_EXAMPLES)]
    Setup(setup::Args),
    /// Remove what setup made, and what runs that were cut off have left
    Cleanup,
    /// Read changes of tables out of the WAL, as JSON lines
    #[command(after_help = CAPTURE_EXAMPLES)]
    Capture(Box<capture::Args>),
    /// Insert events, and follow nothing
    #[command(after_help = GENERATE_EXAMPLES)]
    Generate(generate::Args),
    /// Write what the topic holds into the store
    #[command(after_help = CONSUME_EXAMPLES)]
    Consume(consume::Args),
    /// Compare PostgreSQL with the store: missing, extra, differing documents
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(verify::Args),
    /// Say what each part resolves to, and what to type where something is missing
    Doctor(doctor::Args),
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
        let cancel = interrupt::watch(&progress);
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
    let settings = cli.endpoints.resolve();
    match cli.command {
        Command::Run(args) => run::run(*args, settings, progress, cancel).await,
        Command::Demo(args) => demo::run(args, settings, progress, cancel).await,
        Command::Monitor(args) => monitor::run(args, progress, &cancel).await,
        Command::Report(args) => report::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Stack(action) => stack::run(action, progress, &cancel).await,
        Command::Setup(args) => setup::run(args, &settings, progress, &cancel).await,
        Command::Cleanup => cleanup::run(&settings, progress, &cancel).await,
        Command::Capture(args) => capture::run(*args, &settings, progress, &cancel).await,
        Command::Generate(args) => generate::run(args, &settings, progress, &cancel).await,
        Command::Consume(args) => consume::run(args, &settings, progress, &cancel).await,
        Command::Verify(args) => verify::run(args, &settings, progress, &cancel).await,
        Command::Doctor(args) => doctor::run(args, &settings).await,
    }
}

/// A result on stdout, for programs.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    println!(
        "{}",
        serde_json::to_string_pretty(value).map_err(Failure::usage)?
    );
    Ok(())
}
