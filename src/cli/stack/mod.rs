//! `stack`: servers that stay up for later runs.

mod logs;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use console::style;
use tokio_util::sync::CancellationToken;

use self::logs::{LogArgs, logs};
use super::connector_args::key_value;
use super::output::{StdoutWriter, print_json, print_line};
use super::progress::Terminal;
use crate::cli::cluster_args::ClusterArgs;
use crate::pipeline::{Failure, exit};
use cdc_bench_model::analysis::times;
use cdc_bench_stack::{Cache, KeptStack, LocalOptions, ServerProcess, StackError, StepProgress};

pub(super) const EXAMPLES: &str = "\
Examples:
  cdc-bench stack up && cdc-bench run                servers once, then runs that begin at once
  cdc-bench stack status --json                      where they are and whether they answer
  cdc-bench stack down                               ends them";

const UP_EXAMPLES: &str = "\
Examples:
  cdc-bench stack up                                 servers of its own, in the background
  cdc-bench stack up --foreground                    until Ctrl-C, as a service manager wants it
  cdc-bench stack up --postgres-config synchronous_commit=off
  cdc-bench stack up --brokers 3 --connect-workers 2  rebalances and elections of leaders that are real
  cdc-bench stack up --connect-plugins ./plugins     a sink connector of yours, to observe it";

const DOWN_EXAMPLES: &str = "\
Examples:
  cdc-bench stack down                               stops what stack up started, and removes its data";

const STATUS_EXAMPLES: &str = "\
Examples:
  cdc-bench stack status                             exit code 0 where all of them answer, else 3
  cdc-bench stack status --json";

const LOGS_EXAMPLES: &str = "\
Examples:
  cdc-bench stack logs                               the last 50 lines of each server
  cdc-bench stack logs connect -n 500                Connect's, with Debezium's own messages
  cdc-bench stack logs kafka --follow                as they are written";

const FETCH_EXAMPLES: &str = "\
Examples:
  cdc-bench stack fetch                              once with a network, for later without one
  cdc-bench stack fetch --debezium                   the jars that docker-compose.yml mounts";

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Start servers that stay, so that later runs begin at once
    #[command(after_help = UP_EXAMPLES)]
    Up(UpArgs),
    /// Stop them, and remove their data
    #[command(after_help = DOWN_EXAMPLES)]
    Down,
    /// Say where they are and whether they answer
    #[command(after_help = STATUS_EXAMPLES)]
    Status {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the servers' logs
    #[command(after_help = LOGS_EXAMPLES)]
    Logs(LogArgs),
    /// Get the servers' files now, and start nothing
    #[command(after_help = FETCH_EXAMPLES)]
    Fetch {
        /// Debezium's jars alone, and print their folder: docker-compose.yml mounts it
        #[arg(long)]
        debezium: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct UpArgs {
    /// Stay, and stop the servers with Ctrl-C
    #[arg(long)]
    foreground: bool,
    /// A setting of PostgreSQL, over ours (repeatable), such as synchronous_commit=off
    #[arg(long, value_name = "NAME=VALUE", value_parser = key_value)]
    postgres_config: Vec<(String, String)>,
    /// A folder of Connect plugins beside Debezium's (repeatable): connectors, transforms, converters
    #[arg(long, value_name = "DIR")]
    connect_plugins: Vec<PathBuf>,
    /// Let Kafka Connect deliver exactly once where a connector asks for it (exactly.once.source.support)
    #[arg(long)]
    connect_exactly_once: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// A variable of a server's environment (repeatable), such as connect:FAKETIME=+0.25
    #[arg(long, value_name = "SERVER:NAME=VALUE", value_parser = server_env, hide = true)]
    server_env: Vec<(String, String, String)>,
}

fn server_env(text: &str) -> Result<(String, String, String), String> {
    let (server, assignment) = text
        .split_once(':')
        .ok_or_else(|| "expected SERVER:NAME=VALUE".to_owned())?;
    let (name, value) = key_value(assignment)?;
    Ok((server.to_owned(), name, value))
}

/// A folder as Connect's `plugin.path` takes it.
fn plugin_folder(given: &Path) -> Result<PathBuf, Failure> {
    let refused = |reason: &str| {
        let given = given.display();
        Failure::usage(anyhow::anyhow!("--connect-plugins {given}: {reason}"))
    };
    let folder = std::fs::canonicalize(given).map_err(|error| refused(&error.to_string()))?;
    if !folder.is_dir() {
        return Err(refused("it is not a folder"));
    }
    if folder.as_os_str().as_encoded_bytes().contains(&b',') {
        return Err(refused("Connect takes a comma for the end of a path"));
    }
    Ok(folder)
}

pub(super) async fn run(
    action: Action,
    progress: &Terminal,
    cancel: &CancellationToken,
) -> Result<ExitCode, Failure> {
    let cache = Cache::open()?;
    match action {
        Action::Up(args) => up(&cache, args, progress, cancel).await,
        Action::Down => {
            match KeptStack::find(&cache) {
                Some(stack) => {
                    progress.begin(cdc_bench_stack::STOPPING);
                    let down = tokio::task::spawn_blocking(move || stack.down()).await;
                    progress.clear();
                    down.map_err(Failure::server)??;
                    print_line("the stack is down, and its data removed")?;
                }
                None => print_line("no stack is up")?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Action::Status { json } => status(&cache, progress, json).await,
        Action::Logs(args) => logs(&cache, &args, cancel).await,
        Action::Fetch { debezium: false } => {
            cdc_bench_stack::fetch(&cache, progress, cancel).await?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Fetch { debezium: true } => {
            let plugins = cdc_bench_stack::fetch_debezium(&cache, progress, cancel).await?;
            progress.clear();
            print_line(plugins.display())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn up(
    cache: &Cache,
    args: UpArgs,
    progress: &Terminal,
    cancel: &CancellationToken,
) -> Result<ExitCode, Failure> {
    let plugins = args.connect_plugins.iter();
    let plugins = plugins.map(|folder| plugin_folder(folder));
    let cluster = args.cluster.request();
    let options = LocalOptions {
        postgres_settings: args.postgres_config,
        server_env: args.server_env,
        connect_plugins: plugins.collect::<Result<_, _>>()?,
        connect_exactly_once: args.connect_exactly_once,
        kafka_links: Vec::new(),
        cluster: cluster.size(),
    };
    let has_options = !options.postgres_settings.is_empty()
        || !options.connect_plugins.is_empty()
        || options.connect_exactly_once
        || !cluster.is_empty();
    if let Some(stack) = KeptStack::find(cache) {
        if args.foreground || has_options {
            return Err(StackError::NotUp(
                "a stack is up already; \"cdc-bench stack down\" ends it".to_owned(),
            )
            .into());
        }
        describe(&stack)?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.foreground {
        let ready = |stack: &KeptStack| {
            if let Err(failure) = describe(stack) {
                tracing::warn!(%failure, "servers are up, and nobody is told");
            }
            progress.say("Ctrl-C stops it");
        };
        cdc_bench_stack::run_kept_stack(cache, &options, progress, cancel, ready).await?;
    } else {
        let stack = cdc_bench_stack::start_kept_stack(cache, &options, progress, cancel).await?;
        progress.clear();
        describe(&stack)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(stack: &KeptStack) -> Result<(), Failure> {
    let mut out = StdoutWriter::new();
    for server in stack.servers() {
        out.line(server_line(server))?;
    }
    out.line(format_args!(
        "for a shell, passwords included: {}",
        stack.environment_file().display()
    ))
}

fn server_line(server: &ServerProcess) -> String {
    let restarts = match server.restarts {
        0 => String::new(),
        count => format!(", started again {}", times(count.into())),
    };
    format!(
        "{:<9} {:<32} {:<21} process {}{restarts}",
        server.name, server.version, server.address, server.pid
    )
}

#[derive(serde::Serialize)]
struct Status {
    up: bool,
    since: String,
    supervisor: u32,
    in_use: bool,
    environment_file: std::path::PathBuf,
    servers: Vec<ServerHealth>,
    /// The server that keeps ending, and why.
    given_up: Option<String>,
}

#[derive(serde::Serialize)]
struct ServerHealth {
    #[serde(flatten)]
    server: ServerProcess,
    answers: bool,
    problem: Option<String>,
}

async fn status(cache: &Cache, progress: &Terminal, json: bool) -> Result<ExitCode, Failure> {
    let Some(stack) = KeptStack::find(cache) else {
        if json {
            print_json(&serde_json::json!({ "up": false }))?;
        } else {
            print_line("no stack is up; \"cdc-bench stack up\" starts one")?;
        }
        return Ok(ExitCode::from(exit::SERVER));
    };
    progress.begin("asking the servers");
    let health = stack.health().await;
    progress.clear();
    let servers: Vec<_> = stack
        .servers()
        .iter()
        .map(|server| {
            let answer = health.iter().find(|(name, _)| *name == server.name);
            let problem = answer.and_then(|(_, answer)| answer.as_ref().err().cloned());
            ServerHealth {
                server: server.clone(),
                answers: problem.is_none(),
                problem,
            }
        })
        .collect();
    let all_answer = servers.iter().all(|server| server.answers) && stack.given_up().is_none();
    if json {
        print_json(&Status {
            up: true,
            since: stack.since().to_owned(),
            supervisor: stack.supervisor(),
            in_use: stack.is_in_use(),
            environment_file: stack.environment_file(),
            servers,
            given_up: stack.given_up().map(str::to_owned),
        })?;
    } else {
        let mut out = StdoutWriter::new();
        out.line(format_args!(
            "up since {}, supervised by process {}{}",
            stack.since(),
            stack.supervisor(),
            if stack.is_in_use() {
                ", in use by a run"
            } else {
                ""
            }
        ))?;
        for state in &servers {
            let mark = if state.answers {
                style("✓").green()
            } else {
                style("✗").red()
            };
            out.line(format_args!("{mark} {}", server_line(&state.server)))?;
            if let Some(problem) = &state.problem {
                out.line(format_args!("    {}", style(problem).red()))?;
            }
        }
        if let Some(reason) = stack.given_up() {
            out.line(style(reason).red())?;
        }
        out.line(format_args!(
            "for a shell, passwords included: {}",
            stack.environment_file().display()
        ))?;
    }
    Ok(ExitCode::from(if all_answer { 0 } else { exit::SERVER }))
}
