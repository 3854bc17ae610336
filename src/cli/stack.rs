//! `stack`: servers that stay up for later runs.

use std::io::{Read, Seek, SeekFrom};
use std::process::ExitCode;
use std::time::Duration;

use console::style;
use tokio_util::sync::CancellationToken;

use super::connector_args::key_value;
use super::output::{Output, print_json, print_line};
use super::progress::Terminal;
use crate::pipeline::{Failure, exit};
use cdc_bench_model::analysis::times;
use cdc_bench_stack::{Cache, KeptStack, LocalOptions, ServerProcess, StackError, StepProgress};

/// Poll interval of a followed log.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

pub(super) const EXAMPLES: &str = "\
Examples:
  cdc-bench stack up && cdc-bench run                servers once, then runs that begin at once
  cdc-bench stack status --json                      where they are and whether they answer
  cdc-bench stack down                               ends them";

const UP_EXAMPLES: &str = "\
Examples:
  cdc-bench stack up                                 servers of its own, in the background
  cdc-bench stack up --foreground                    until Ctrl-C, as a service manager wants it
  cdc-bench stack up --postgres-config synchronous_commit=off";

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

#[derive(Debug, clap::Args)]
pub(super) struct LogArgs {
    /// postgres, kafka, connect or store [default: all]
    server: Option<String>,
    /// Go on as more is written
    #[arg(short, long)]
    follow: bool,
    /// Begin with this many of the last lines
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    lines: usize,
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
                Some(kept) => {
                    progress.begin(cdc_bench_stack::STOPPING);
                    let down = tokio::task::spawn_blocking(move || kept.down()).await;
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
    let options = LocalOptions {
        postgres_settings: args.postgres_config,
        server_env: args.server_env,
    };
    if let Some(kept) = KeptStack::find(cache) {
        if args.foreground || !options.postgres_settings.is_empty() {
            return Err(StackError::NotUp(
                "a stack is up already; \"cdc-bench stack down\" ends it".to_owned(),
            )
            .into());
        }
        describe(&kept)?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.foreground {
        let ready = |kept: &KeptStack| {
            if let Err(failure) = describe(kept) {
                tracing::warn!(%failure, "servers are up, and nobody is told");
            }
            progress.say("Ctrl-C stops it");
        };
        cdc_bench_stack::run_kept_stack(cache, &options, progress, cancel, ready).await?;
    } else {
        let kept = cdc_bench_stack::start_kept_stack(cache, &options, progress, cancel).await?;
        progress.clear();
        describe(&kept)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(kept: &KeptStack) -> Result<(), Failure> {
    let mut out = Output::new();
    for server in kept.servers() {
        out.line(line(server))?;
    }
    out.line(format_args!(
        "for a shell, passwords included: {}",
        kept.environment_file().display()
    ))
}

fn line(server: &ServerProcess) -> String {
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
    servers: Vec<ServerState>,
}

#[derive(serde::Serialize)]
struct ServerState {
    #[serde(flatten)]
    server: ServerProcess,
    answers: bool,
    problem: Option<String>,
}

async fn status(cache: &Cache, progress: &Terminal, json: bool) -> Result<ExitCode, Failure> {
    let Some(kept) = KeptStack::find(cache) else {
        if json {
            print_json(&serde_json::json!({ "up": false }))?;
        } else {
            print_line("no stack is up; \"cdc-bench stack up\" starts one")?;
        }
        return Ok(ExitCode::from(exit::SERVER));
    };
    progress.begin("asking the servers");
    let health = kept.health().await;
    progress.clear();
    let servers: Vec<_> = kept
        .servers()
        .iter()
        .map(|server| {
            let answer = health.iter().find(|(name, _)| *name == server.name);
            let problem = answer.and_then(|(_, answer)| answer.as_ref().err().cloned());
            ServerState {
                server: server.clone(),
                answers: problem.is_none(),
                problem,
            }
        })
        .collect();
    let well = servers.iter().all(|server| server.answers) && kept.given_up().is_none();
    if json {
        print_json(&Status {
            up: true,
            since: kept.since().to_owned(),
            supervisor: kept.supervisor(),
            in_use: kept.is_in_use(),
            environment_file: kept.environment_file(),
            servers,
        })?;
    } else {
        let mut out = Output::new();
        out.line(format_args!(
            "up since {}, supervised by process {}{}",
            kept.since(),
            kept.supervisor(),
            if kept.is_in_use() {
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
            out.line(format_args!("{mark} {}", line(&state.server)))?;
            if let Some(problem) = &state.problem {
                out.line(format_args!("    {}", style(problem).red()))?;
            }
        }
        if let Some(reason) = kept.given_up() {
            out.line(style(reason).red())?;
        }
        out.line(format_args!(
            "for a shell, passwords included: {}",
            kept.environment_file().display()
        ))?;
    }
    Ok(ExitCode::from(if well { 0 } else { exit::SERVER }))
}

/// A server's log, with a read position.
struct Tail {
    name: String,
    file: std::fs::File,
}

async fn logs(
    cache: &Cache,
    args: &LogArgs,
    cancel: &CancellationToken,
) -> Result<ExitCode, Failure> {
    let kept = KeptStack::find(cache).ok_or_else(|| {
        StackError::NotUp("no stack is up; \"cdc-bench stack up\" starts one".to_owned())
    })?;
    let names: Vec<_> = kept.servers().iter().map(|s| s.name.clone()).collect();
    if let Some(wanted) = args.server.as_ref().filter(|name| !names.contains(name)) {
        return Err(Failure::usage(anyhow::anyhow!(
            "there is no server {wanted:?}: it is one of {}",
            names.join(", ")
        )));
    }
    let mut tails = Vec::new();
    for server in kept.servers() {
        if args.server.as_ref().is_none_or(|name| *name == server.name) {
            let file = std::fs::File::open(&server.log).map_err(Failure::usage)?;
            tails.push(Tail {
                name: server.name.clone(),
                file,
            });
        }
    }
    let prefix = tails.len() > 1;
    let mut out = Output::new();
    for tail in &mut tails {
        let text = tail.rest()?;
        let lines: Vec<_> = text.lines().collect();
        let from = lines.len().saturating_sub(args.lines);
        tail.print(&lines[from..], prefix, &mut out)?;
    }
    while args.follow && out.is_read() {
        tokio::select! {
            () = cancel.cancelled() => return Ok(ExitCode::from(exit::INTERRUPTED)),
            () = tokio::time::sleep(FOLLOW_EVERY) => {}
        }
        for tail in &mut tails {
            let text = tail.rest()?;
            tail.print(&text.lines().collect::<Vec<_>>(), prefix, &mut out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Tail {
    /// The complete lines written since the last call.
    fn rest(&mut self) -> Result<String, Failure> {
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes).map_err(Failure::usage)?;
        let whole = bytes
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        let back = i64::try_from(bytes.len() - whole).unwrap_or(0);
        self.file
            .seek(SeekFrom::Current(-back))
            .map_err(Failure::usage)?;
        Ok(String::from_utf8_lossy(&bytes[..whole]).into_owned())
    }

    fn print(&self, lines: &[&str], prefix: bool, out: &mut Output) -> Result<(), Failure> {
        for line in lines {
            if prefix {
                out.line(format_args!("{:<8} {} {line}", self.name, style("|").dim()))?;
            } else {
                out.line(line)?;
            }
        }
        Ok(())
    }
}
