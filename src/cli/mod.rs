//! The command line: one file per subcommand, with its arguments and the one function it calls.

// Everything is printed through `output`, which does not panic on a closed pipe.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod capture;
mod capture_args;
mod cleanup;
mod compare;
mod connector_args;
mod consume;
mod demo;
mod doctor;
mod endpoint_args;
mod generate;
mod interrupt;
mod load_args;
mod logging;
mod monitor;
mod objective_args;
mod output;
mod progress;
mod report;
mod results_args;
mod run;
mod screen_args;
mod setup;
mod shell;
mod stack;
mod sweep;
mod tls_args;
mod traces_args;
mod tune;
mod verify;
mod watched;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::pipeline::Failure;
use endpoint_args::EndpointArgs;

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
  cdc-bench run --connector-config max.batch.size=64  a setting of Debezium's, over the profile's
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
  cdc-bench compare --baseline A1 A2 A3 A4 A5 A6 --candidate B1 B2 B3 B4 B5 B6 --html compared.html
  cdc-bench compare main.json branch.json --fail-on-regression 5%

The verdict is faster, slower, mixed or no difference shown. Runs that were made differently are refused.
Exit codes: 0 compared; 1 a regression (--fail-on-regression); 2 usage, or the results are unlike.";

const SWEEP_EXAMPLES: &str = "\
Examples:
  cdc-bench sweep                                    Debezium at 100, 300, 1000, 3000 a second and as fast as it goes
  cdc-bench sweep --capture both --rates 500,1000,2000,4000,8000,max
                                                     beside our own reader
  cdc-bench sweep --connector-profile stock --duration 30 --json

Each step is a run of its own in the sweep's folder: cdc-bench report cdc-bench-results/SWEEP/debezium-1000
Exit codes: 0 measured; 2 usage; 3 a server is missing or refused; 4 data lost or differing; 130 interrupted.";

const TUNE_EXAMPLES: &str = "\
Examples:
  cdc-bench tune                                     ten minutes at 167 a second, then what to set and what it gains
  cdc-bench tune --budget 1800 --candidates 32 --rate 500 --prefer latency
  cdc-bench tune --seed 7 --json > tuned.json        other configurations; the same seed draws the same

By successive halving: many configurations with few events each, the better half (p99, processor time) again with twice
as many. Connect's worker must allow producer.override.* (connector.client.config.override.policy=All, its default).
Ctrl-C ends it and prints what is known so far.";

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

const CLEANUP_EXAMPLES: &str = "\
Examples:
  cdc-bench cleanup                                  on the stack that is kept
  POSTGRES_HOST=db CONNECT_URL=http://connect:8083 MONGODB_URI=... KAFKA_BOOTSTRAP_SERVERS=kafka:9092 \\
    cdc-bench cleanup --json                         on servers of your own, as a program reads it

Only what is written in the table cdc_bench.ledger is removed.";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  cdc-bench doctor                                   what a run would start, or find at your servers
  cdc-bench doctor --json                            the same for a program
  POSTGRES_HOST=db cdc-bench doctor --stack external what is missing for servers of your own";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  cdc-bench completions bash > ~/.local/share/bash-completion/completions/cdc-bench
  cdc-bench completions zsh > ~/.zfunc/_cdc-bench    with ~/.zfunc in fpath
  cdc-bench completions fish > ~/.config/fish/completions/cdc-bench.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  cdc-bench man --dir ~/.local/share/man/man1        then: man cdc-bench, man cdc-bench-run
  cdc-bench man --dir pages && man -l pages/cdc-bench-compare.1";

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
    /// Find the highest rate that holds and the knee of latency against rate: the same load at rising rates
    #[command(after_help = SWEEP_EXAMPLES)]
    Sweep(Box<sweep::Args>),
    /// Find what to set: Debezium's and our consumer's settings, p99 against processor time, and the gain
    #[command(after_help = TUNE_EXAMPLES)]
    Tune(Box<tune::Args>),
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
    #[command(subcommand, after_help = stack::EXAMPLES)]
    Stack(stack::Action),
    /// Make tables, publication, slot, topic, connector and indexes; they stay until cleanup
    #[command(after_help = SETUP_EXAMPLES)]
    Setup(setup::Args),
    /// Remove what setup made, and what runs that were cut off have left
    #[command(after_help = CLEANUP_EXAMPLES)]
    Cleanup(cleanup::Args),
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
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(doctor::Args),
    /// Print what a shell needs to complete commands and flags
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions(shell::CompletionsArgs),
    /// Write manual pages, one a command
    #[command(after_help = MAN_EXAMPLES)]
    Man(shell::ManArgs),
}

/// The grammar of the command line: every command, flag and default.
#[must_use]
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Parses the arguments, runs the command, and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    // Variables that are set override the file.
    if let Err(error) = endpoint_args::load_env_file() {
        output::tell(format_args!("error: {error}"));
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
            output::tell(format_args!("error: cannot start: {error}"));
            return ExitCode::from(3);
        }
    };
    let outcome = runtime.block_on(async {
        let cancel = interrupt::watch(&progress);
        let before = tasks();
        let outcome = dispatch(cli, &progress, cancel).await;
        last_words(before).await;
        outcome
    });
    progress.clear();
    logging::finish();
    // A thread blocked in a client library must not keep the process alive.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            output::tell(format_args!(
                "{} {failure:#}",
                console::style("error:").for_stderr().red().bold()
            ));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Longest wait for background tasks to end after a command.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_millis(500);

/// Number of live tasks of the runtime.
fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

/// Waits briefly until no more tasks are alive than `before`. MongoDB's client ends its sessions on a background task when it
/// is dropped, and that task panics if the runtime is shut down first.
async fn last_words(before: usize) {
    let ended = async {
        while tasks() > before {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    if tokio::time::timeout(LAST_WORDS, ended).await.is_err() {
        tracing::debug!(
            left = tasks().saturating_sub(before),
            "tasks that did not end by themselves"
        );
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
        Command::Sweep(args) => sweep::run(*args, settings, progress, cancel).await,
        Command::Tune(args) => tune::run(*args, settings, progress, cancel).await,
        Command::Demo(args) => demo::run(args, settings, progress, cancel).await,
        Command::Monitor(args) => monitor::run(args, progress, &cancel).await,
        Command::Report(args) => report::run(&args, progress),
        Command::Compare(args) => compare::run(&args, progress),
        Command::Stack(action) => stack::run(action, progress, &cancel).await,
        Command::Setup(args) => setup::run(args, &settings, progress, &cancel).await,
        Command::Cleanup(args) => cleanup::run(args, &settings, progress, &cancel).await,
        Command::Capture(args) => capture::run(*args, &settings, progress, &cancel).await,
        Command::Generate(args) => generate::run(args, &settings, progress, &cancel).await,
        Command::Consume(args) => consume::run(args, &settings, progress, &cancel).await,
        Command::Verify(args) => verify::run(args, &settings, progress, &cancel).await,
        Command::Doctor(args) => doctor::run(args, &settings, progress).await,
        Command::Completions(args) => shell::completions(&args),
        Command::Man(args) => shell::man(&args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// A command and all of its subcommands, with the words that call them.
    fn all(command: &clap::Command, called: &str) -> Vec<(String, clap::Command)> {
        let mut found = vec![(called.to_owned(), command.clone())];
        for inner in command.get_subcommands() {
            found.extend(all(inner, &format!("{called} {}", inner.get_name())));
        }
        found
    }

    #[test]
    fn every_command_has_examples_that_it_takes() {
        Cli::command().debug_assert();
        for (called, command) in all(&Cli::command(), "cdc-bench") {
            let help = command.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            assert!(help.starts_with("Examples:\n"), "{called} has no examples");
            let lines = help.lines().map(str::trim_start);
            for line in lines.filter(|line| line.starts_with("cdc-bench ")) {
                // An explanation follows two blanks; what follows in a shell, a sign.
                let example = line.split("  ").next().unwrap_or_default();
                let words = example
                    .split_whitespace()
                    .take_while(|word| !["&&", ">", "|", "\\"].contains(word));
                let parsed = Cli::try_parse_from(words);
                assert!(parsed.is_ok(), "{called}: {example}: {parsed:?}");
            }
        }
    }

    #[test]
    fn a_mistyped_flag_or_command_is_answered_with_the_right_one() {
        let says = |args: &[&str]| {
            let words = ["cdc-bench"].iter().chain(args);
            Cli::try_parse_from(words).unwrap_err().to_string()
        };
        assert!(says(&["run", "--evnts", "5"]).contains("'--events'"));
        assert!(says(&["compar", "a", "b"]).contains("'compare'"));
        assert!(says(&["sweep", "--rate", "5"]).contains("'--rates'"));
        assert!(says(&["run", "--capture", "debezim"]).contains("debezium"));
    }
}
