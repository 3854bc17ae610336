//! Other people's command-line clients (mvn, pip, docker): run to their end, line by line, ended with us.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::child::kill_group;
use super::{Progress, StackError};

/// Longest time one client may take. Whatever it fetches comes in by then, or never.
const LIMIT: Duration = Duration::from_secs(900);

/// Where a client says what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    Stdout,
    Stderr,
}

/// Runs a client; every line that it says is handed on. True when it succeeded. It is ended when asked to stop.
pub(super) fn watch(
    mut command: Command,
    voice: Voice,
    missing: impl FnOnce() -> StackError,
    stop: &CancellationToken,
    mut line: impl FnMut(&str),
) -> Result<bool, StackError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |reason: String| StackError::Artifact {
        artifact: name.clone(),
        reason,
    };
    command.stdin(Stdio::null()).process_group(0);
    match voice {
        Voice::Stdout => command.stdout(Stdio::piped()).stderr(Stdio::null()),
        Voice::Stderr => command.stdout(Stdio::null()).stderr(Stdio::piped()),
    };
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(missing()),
        Err(error) => return Err(failed(format!("could not be started: {error}"))),
    };
    let began = Instant::now();
    let (lines, said) = std::sync::mpsc::sync_channel(64);
    let pipe: Option<Box<dyn Read + Send>> = match voice {
        Voice::Stdout => child.stdout.take().map(|pipe| Box::new(pipe) as _),
        Voice::Stderr => child.stderr.take().map(|pipe| Box::new(pipe) as _),
    };
    let reader = std::thread::spawn(move || {
        for text in pipe
            .into_iter()
            .flat_map(|pipe| BufReader::new(pipe).lines().map_while(Result::ok))
        {
            if lines.send(text).is_err() {
                break;
            }
        }
    });
    let status = loop {
        if let Ok(text) = said.recv_timeout(Duration::from_millis(50)) {
            line(&text);
            continue;
        }
        if let Some(status) = child.try_wait().map_err(|e| failed(e.to_string()))? {
            break status;
        }
        let over = began.elapsed() > LIMIT;
        if over || stop.is_cancelled() {
            kill_group(child.id());
            // Killed: it cannot but end.
            let _ = child.wait();
            return Err(if over {
                failed(format!("was not done within {} s", LIMIT.as_secs()))
            } else {
                StackError::Cancelled
            });
        }
    };
    // Whatever it said last.
    while let Ok(text) = said.recv_timeout(Duration::from_millis(200)) {
        line(&text);
    }
    drop(said);
    let _ = reader.join();
    Ok(status.success())
}

/// Blocking work in a thread of its own. What it tells is shown as the details of a step.
pub(super) async fn in_background<T: Send + 'static>(
    progress: &dyn Progress,
    step: &'static str,
    work: impl FnOnce(&(dyn Fn(&str) + Sync)) -> Result<T, StackError> + Send + 'static,
) -> Result<T, StackError> {
    let (sender, mut details) = tokio::sync::mpsc::channel::<String>(16);
    let work = tokio::task::spawn_blocking(move || {
        work(&|detail| {
            // A detail that finds the queue full is not worth waiting for.
            let _ = sender.try_send(detail.to_owned());
        })
    });
    tokio::pin!(work);
    loop {
        tokio::select! {
            Some(detail) = details.recv() => progress.update(step, &detail),
            done = &mut work => {
                return done.map_err(|e| StackError::Artifact {
                    artifact: step.to_owned(),
                    reason: e.to_string(),
                })?;
            }
        }
    }
}
