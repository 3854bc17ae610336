//! The command line: one file per subcommand, with its arguments and the one function it calls.

// Everything is printed through `output`, which does not panic on a closed pipe.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod capture;
mod capture_args;
mod cleanup;
mod cluster_args;
mod command_line;
mod compare;
mod connect_args;
mod connection_origins;
mod connector_args;
mod consume;
mod dead_letters;
mod demo;
mod distributed_args;
mod doctor;
mod endpoint_args;
mod examples;
mod generate;
mod interrupt;
mod kafka_args;
mod limit_args;
mod load_args;
mod logging;
mod monitor;
mod objective_args;
mod observe;
mod orphan_notice;
mod output;
mod postgres_args;
mod postgres_choice;
mod program;
mod progress;
mod registry_args;
mod report;
mod resilience;
mod results_args;
mod run;
mod run_display;
mod screen_args;
mod secret_prompt;
mod secrets;
mod series_result;
mod setup;
mod shard_args;
mod shell;
mod stack;
mod sweep;
mod tls_args;
mod topic_args;
mod traces_args;
mod tune;
mod verify;
mod worker;

pub use command_line::command;
pub use program::main;
