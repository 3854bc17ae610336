//! The process that owns a kept stack: how it is started, and what it does.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use tokio_util::sync::CancellationToken;

use super::kept_stack::{KeptStack, log_of};
use super::record::{ENVIRONMENT, EndpointsRecord, StackRecord};
use crate::artifacts;
use crate::cache::Cache;
use crate::error::StackError;
use crate::files::{make_dir, write_private};
use crate::local::{KEPT, LocalStack, StackLifetime};
use crate::processes::{detach_from_terminal, pid};
use crate::progress::{STOPPING, StepProgress};
use crate::servers::{ClusterSize, Java, LocalOptions};

/// Interval at which the supervisor checks for restarted servers.
const TICK: Duration = Duration::from_millis(200);

/// Starts a stack, records its endpoints, and supervises it until `cancel`. Calls `ready` once it is up.
///
/// # Errors
/// When one is up already, or a server does not start.
pub async fn run_kept_stack(
    cache: &Cache,
    options: &LocalOptions,
    progress: &dyn StepProgress,
    cancel: &CancellationToken,
    ready: impl FnOnce(&KeptStack),
) -> Result<(), StackError> {
    let stack = LocalStack::start(cache, StackLifetime::Kept, options, progress, cancel).await?;
    let folder = stack.folder().to_owned();
    let mut record = StackRecord {
        since: jiff::Timestamp::now().strftime("%FT%TZ").to_string(),
        kafka_version: artifacts::version::kafka().to_owned(),
        servers: stack.supervision.servers(),
        endpoints: EndpointsRecord::from(&stack.endpoints),
        given_up: None,
    };
    let environment = record.endpoints.environment();
    write_private(&folder.join(ENVIRONMENT), environment.as_bytes())?;
    record.write(&folder)?;
    ready(&KeptStack {
        folder: folder.clone(),
        supervisor: std::process::id(),
        record: record.clone(),
    });
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            () = tokio::time::sleep(TICK) => {}
        }
        let (servers, given_up) = (stack.supervision.servers(), stack.supervision.given_up());
        if servers != record.servers || given_up != record.given_up {
            record.servers = servers;
            record.given_up = given_up;
            record.write(&folder)?;
        }
    }
    progress.begin(STOPPING);
    stack.stop();
    progress.end(STOPPING, "nothing is left running");
    Ok(())
}

/// Starts a detached supervisor process and waits until its stack is up.
///
/// # Errors
/// When another one is being started, or this one fails: with its own error message.
pub async fn start_kept_stack(
    cache: &Cache,
    options: &LocalOptions,
    progress: &dyn StepProgress,
    cancel: &CancellationToken,
) -> Result<KeptStack, StackError> {
    // Fetched here, where progress can be shown; the supervisor only writes a log.
    Java::require(cancel).await?;
    artifacts::provide(cache, progress, cancel).await?;
    let folder = cache.stacks().join(KEPT);
    make_dir(&cache.stacks(), 0o755)?;
    let log_path = log_of(&folder);
    let log = File::create(&log_path).map_err(StackError::io("write", &log_path))?;
    let errors = log
        .try_clone()
        .map_err(StackError::io("write", &log_path))?;
    let program = std::env::current_exe().map_err(StackError::io("find", "our own program"))?;
    let mut command = Command::new(program);
    command
        .args(["stack", "up", "--foreground"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors);
    drop(log);
    for (key, value) in &options.postgres_settings {
        command
            .arg("--postgres-config")
            .arg(format!("{key}={value}"));
    }
    for (server, variable, value) in &options.server_env {
        command
            .arg("--server-env")
            .arg(format!("{server}:{variable}={value}"));
    }
    for folder in &options.connect_plugins {
        command.arg("--connect-plugins").arg(folder);
    }
    if options.connect_exactly_once {
        command.arg("--connect-exactly-once");
    }
    let (size, usual) = (options.cluster, ClusterSize::default());
    for (flag, asked, usual) in [
        ("--brokers", size.brokers, usual.brokers),
        (
            "--connect-workers",
            size.connect_workers,
            usual.connect_workers,
        ),
    ] {
        if asked != usual {
            command.arg(flag).arg(asked.to_string());
        }
    }
    detach_from_terminal(&mut command);
    let mut supervisor = command
        .spawn()
        .map_err(StackError::io("start", "the supervisor"))?;
    let step = "stack";
    progress.begin(step);
    loop {
        if let Some(kept) = KeptStack::find(cache).filter(|kept| kept.supervisor == supervisor.id())
        {
            progress.end(step, "is up");
            return Ok(kept);
        }
        let log = std::fs::read_to_string(&log_path).unwrap_or_default();
        let ended = supervisor
            .try_wait()
            .map_err(StackError::io("watch", "the supervisor"))?;
        if let Some(status) = ended {
            let message = log.trim().trim_start_matches("error: ");
            return Err(match status.code() {
                Some(130) => StackError::Cancelled,
                Some(code) if !message.is_empty() => StackError::Supervisor {
                    code: u8::try_from(code).unwrap_or(3),
                    message: last_error(message),
                },
                _ => StackError::NotUp(format!("the stack's supervisor ended ({status})")),
            });
        }
        if let Some(line) = log.lines().next_back() {
            progress.update(step, line.trim_start_matches(['✓', '·', ' ']));
        }
        tokio::select! {
            () = cancel.cancelled() => {
                let _ = kill(pid(supervisor.id()), Signal::SIGTERM);
                let _ = supervisor.wait();
                return Err(StackError::Cancelled);
            }
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
    }
}

/// The last error in the supervisor's log, with everything after it.
fn last_error(log: &str) -> String {
    let at = log.rfind("error: ").map_or(0, |at| at + "error: ".len());
    log[at..].trim().to_owned()
}
