//! The four servers: configuration, start, and what counts as ready.

pub(super) mod connect;
pub(super) mod kafka;
pub(super) mod postgres;
pub(super) mod store;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::StackError;
use super::child::{as_its_user, tail};
use super::local::Plan;
use crate::endpoints::Endpoints;

/// Runs a program of a server's to its end.
async fn once(
    plan: &Plan<'_>,
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
    as_its_user(&mut command, never_root);
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

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Whether each server answers as what it is, in the pipeline's order; the reason where one does not.
pub(super) async fn answers(
    endpoints: &Endpoints,
    limit: Duration,
) -> Vec<(&'static str, Result<(), String>)> {
    let (postgres, kafka, connect, store) = tokio::join!(
        within(limit, postgres::ready(&endpoints.postgres)),
        within(limit, kafka::ready(endpoints)),
        within(limit, connect::ready(endpoints)),
        within(limit, store::ready(endpoints)),
    );
    vec![
        ("postgres", postgres),
        ("kafka", kafka),
        ("connect", connect),
        ("store", store),
    ]
}

async fn within(
    limit: Duration,
    answer: impl Future<Output = Result<(), String>>,
) -> Result<(), String> {
    tokio::time::timeout(limit, answer)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs())))
}
