//! The steps that the start of each server consists of: its configuration, its programs, the wait until it is ready.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::plan::StartPlan;
use crate::error::StackError;
use crate::files::write_private;
use crate::processes::{Child, ServerSpec, server_of, tail};
use crate::user::drop_root;

/// Longest wait for one server to become ready.
pub(crate) const READY_LIMIT: Duration = Duration::from_secs(60);

/// Polls `ready` until it succeeds, the child ends, the start is cancelled, or [`READY_LIMIT`] is over.
pub(crate) async fn until_ready<F: Future<Output = Result<(), String>>>(
    child: &mut Child,
    cancel: &CancellationToken,
    mut ready: impl FnMut() -> F,
) -> Result<(), StackError> {
    let began = Instant::now();
    let mut last = "it did not answer".to_owned();
    while began.elapsed() < READY_LIMIT {
        if let Some(status) = child.ended() {
            return Err(child.failure(format!("it ended ({status})")));
        }
        tokio::select! {
            () = cancel.cancelled() => return Err(StackError::Cancelled),
            answer = ready() => match answer {
                Ok(()) => return Ok(()),
                Err(reason) => last = reason,
            },
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(child.failure(format!(
        "it was not ready within {} s: {last}",
        READY_LIMIT.as_secs()
    )))
}

/// Writes a server's configuration.
pub(crate) fn write_config(path: &Path, lines: &[(&str, &str)]) -> Result<(), StackError> {
    let path_text: String = lines
        .iter()
        .map(|(key, value)| format!("{key}={value}\n"))
        .collect();
    write_private(path, path_text.as_bytes())
}

/// The spec of a server, with the defaults that all servers share.
pub(crate) fn server_spec(
    plan: &StartPlan<'_>,
    name: &str,
    version: &str,
    port: u16,
    program: impl Into<PathBuf>,
    args: Vec<String>,
) -> ServerSpec {
    ServerSpec {
        name: name.to_owned(),
        version: version.to_owned(),
        address: format!("127.0.0.1:{port}"),
        program: program.into(),
        args,
        env: plan
            .options
            .server_env
            .iter()
            .filter(|(server, ..)| server == name || server == server_of(name))
            .map(|(_, variable, value)| (variable.clone(), value.clone()))
            .collect(),
        folder: plan.folder.to_owned(),
        log: plan.folder.join(format!("{name}.log")),
        never_root: false,
        new_archive: None,
    }
}

/// Runs a set-up program of a server (such as `initdb`) to completion.
pub(super) async fn run_to_end(
    plan: &StartPlan<'_>,
    server: &str,
    program: &Path,
    args: &[String],
    never_root: bool,
) -> Result<(), StackError> {
    let log = plan.folder.join(format!("{server}.log"));
    let file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(&log)
        .map_err(StackError::io("open", &log))?;
    let errors = file.try_clone().map_err(StackError::io("open", &log))?;
    let mut command = std::process::Command::new(program);
    command
        .args(args)
        .current_dir(plan.folder)
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors);
    drop_root(&mut command, never_root);
    let failed = |reason: String| StackError::ServerFailed {
        server: server.to_owned(),
        reason: format!("{}: {reason}", program.display()),
        log: tail(&log),
    };
    let mut command = Command::from(command);
    command.kill_on_drop(true);
    tokio::select! {
        () = plan.cancel.cancelled() => Err(StackError::Cancelled),
        status = command.status() => match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(failed(status.to_string())),
            Err(error) => Err(failed(error.to_string())),
        },
    }
}

pub(super) fn path_text(path: &Path) -> String {
    path.display().to_string()
}
