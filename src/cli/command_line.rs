//! The command line as clap parses it: global arguments and subcommands.

use std::time::Duration;

use clap::{Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use super::endpoint_args::EndpointArgs;
use super::{
    capture, cleanup, compare, consume, dead_letters, demo, doctor, examples, generate, monitor,
    observe, report, resilience, run, setup, shell, stack, sweep, tune, verify, worker,
};

/// Follows every event from a PostgreSQL INSERT through Debezium, Kafka and a consumer into MongoDB, and says which hop is slow.
#[derive(Debug, Parser)]
#[command(name = "cdc-bench", version, after_help = examples::EXAMPLES, arg_required_else_help = true, max_term_width = 110)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
    #[command(flatten)]
    pub(super) endpoints: EndpointArgs,
    /// How much goes into the log: error, warn, info, debug, trace. Under high load it drops by itself, errors never
    #[arg(
        long,
        env = "LOG_LEVEL",
        default_value = "info",
        global = true,
        value_name = "LEVEL"
    )]
    pub(super) log_level: LevelFilter,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The main job: bring up, register, warm up, load, follow, verify, report, clean up
    #[command(after_help = examples::RUN_EXAMPLES)]
    Run(Box<run::Args>),
    /// Find the highest rate that holds and the knee of latency against rate: the same load at rising rates
    #[command(after_help = examples::SWEEP_EXAMPLES)]
    Sweep(Box<sweep::Args>),
    /// Find what to set: Debezium's and our consumer's settings, p99 against processor time, and the gain
    #[command(after_help = examples::TUNE_EXAMPLES)]
    Tune(Box<tune::Args>),
    /// See what faults do to Debezium's path and to our reader's: each process killed, paused and restarted, one table and one page
    #[command(after_help = examples::RESILIENCE_EXAMPLES)]
    Resilience(Box<resilience::Args>),
    /// Show the pipeline to people: acts of 10, 100, 1,000 and 10,000 events on one stack
    #[command(after_help = examples::DEMO_EXAMPLES)]
    Demo(demo::Args),
    /// Look on at a run under way: its dashboard, from another terminal
    #[command(after_help = examples::MONITOR_EXAMPLES)]
    Monitor(monitor::Args),
    /// Say which hop of the pipeline that you already run is slow: read-only, without a row of ours
    #[command(after_help = examples::OBSERVE_EXAMPLES)]
    Observe(Box<observe::Args>),
    /// Show a stored result: text, JSON, HTML, Markdown, JUnit, CSV
    #[command(after_help = examples::REPORT_EXAMPLES)]
    Report(report::Args),
    /// Compare two results, sets of results, or capture paths: per hop a difference, its interval, a verdict
    #[command(after_help = examples::COMPARE_EXAMPLES)]
    Compare(compare::Args),
    /// Servers that stay for later runs
    #[command(subcommand, after_help = stack::EXAMPLES)]
    Stack(stack::Action),
    /// Make tables, publication, slot, topic, connector and indexes; they stay until cleanup
    #[command(after_help = examples::SETUP_EXAMPLES)]
    Setup(setup::Args),
    /// Remove what setup made, and what runs that were cut off have left
    #[command(after_help = examples::CLEANUP_EXAMPLES)]
    Cleanup(cleanup::Args),
    /// Read changes of tables out of the WAL, as JSON lines
    #[command(after_help = examples::CAPTURE_EXAMPLES)]
    Capture(Box<capture::Args>),
    /// Insert events, and follow nothing
    #[command(after_help = examples::GENERATE_EXAMPLES)]
    Generate(generate::Args),
    /// Write what the topic holds into the store
    #[command(after_help = examples::CONSUME_EXAMPLES)]
    Consume(consume::Args),
    /// Take part in a test that is spread over machines: load, consume, or read the WAL for "run --workers"
    #[command(after_help = examples::WORKER_EXAMPLES)]
    Worker(worker::Args),
    /// Records that could not be written: list them, show one, write them again
    #[command(subcommand, after_help = dead_letters::EXAMPLES)]
    DeadLetters(dead_letters::Action),
    /// Compare PostgreSQL with the store: missing, extra, differing documents
    #[command(after_help = examples::VERIFY_EXAMPLES)]
    Verify(verify::Args),
    /// Say what each part resolves to, and what to type where something is missing
    #[command(after_help = examples::DOCTOR_EXAMPLES)]
    Doctor(doctor::Args),
    /// Print what a shell needs to complete commands and flags
    #[command(after_help = examples::COMPLETIONS_EXAMPLES)]
    Completions(shell::CompletionsArgs),
    /// Write manual pages, one a command
    #[command(after_help = examples::MAN_EXAMPLES)]
    Man(shell::ManArgs),
}

impl Cli {
    /// Of the command line and the environment. Ends the program where it is told to, or cannot be understood.
    pub(super) fn of_process() -> Self {
        let mut command = without_empty_variables(command());
        let mut matches = command.get_matches_mut();
        let parsed = <Self as clap::FromArgMatches>::from_arg_matches_mut(&mut matches);
        parsed.unwrap_or_else(|error| error.format(&mut command).exit())
    }
}

/// The grammar without the variables that are set and empty, as compose files leave them: they count as not set.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let arg = |arg: clap::Arg| {
        let variable = arg.get_env().and_then(std::env::var_os);
        match variable.is_some_and(|value| value.is_empty()) {
            true => arg.env(clap::builder::Resettable::Reset),
            false => arg,
        }
    };
    command
        .mut_args(arg)
        .mut_subcommands(without_empty_variables)
}

/// The grammar of the command line: every command, flag and default.
#[must_use]
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

impl Command {
    /// How long it waits once it was asked to stop, if the user says so.
    pub(super) fn said_wait(&self) -> Option<Duration> {
        match self {
            Self::Observe(args) => args.said_drain(),
            _ => None,
        }
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
