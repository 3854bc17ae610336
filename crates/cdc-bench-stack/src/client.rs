//! Other people's command-line clients (mvn, pip, docker): run to their end, line by line, ended with us.

use std::io::{BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::child::kill_group;
use super::{Download, Progress, StackError};

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
    let reader = std::thread::spawn(move || pipe.map(|pipe| pass_on(pipe, &lines)));
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

/// Hands on what comes out of a pipe, line by line. What ends in a carriage return is a line too: bars are drawn so.
fn pass_on(pipe: impl Read, lines: &SyncSender<String>) {
    let mut line = Vec::new();
    let end = std::iter::once(b'\n');
    let bytes = BufReader::new(pipe).bytes().map_while(Result::ok);
    for byte in bytes.chain(end) {
        if !matches!(byte, b'\n' | b'\r') {
            line.push(byte);
            continue;
        }
        let text = String::from_utf8_lossy(&line).into_owned();
        line.clear();
        if !text.is_empty() && lines.send(text).is_err() {
            return;
        }
    }
}

/// What blocking work has to say.
#[derive(Debug, PartialEq)]
pub(super) enum News {
    /// A detail of its step.
    Detail(String),
    /// How far its download is.
    Download(Download),
}

/// Where blocking work says how it goes on. What finds the queue full is not worth waiting for.
pub(super) struct Teller(mpsc::Sender<News>);

impl Teller {
    pub(super) fn new() -> (Self, mpsc::Receiver<News>) {
        let (sender, news) = mpsc::channel(16);
        (Self(sender), news)
    }

    /// A detail of the step.
    pub(super) fn say(&self, detail: &str) {
        // Nobody may listen any more.
        let _ = self.0.try_send(News::Detail(detail.to_owned()));
    }

    /// How far the download is.
    pub(super) fn download(&self, download: Download) {
        // The same.
        let _ = self.0.try_send(News::Download(download));
    }
}

/// Blocking work in a thread of its own. What it tells is shown with its step.
pub(super) async fn in_background<T: Send + 'static>(
    progress: &dyn Progress,
    step: &'static str,
    work: impl FnOnce(&Teller) -> Result<T, StackError> + Send + 'static,
) -> Result<T, StackError> {
    let (teller, mut news) = Teller::new();
    let work = tokio::task::spawn_blocking(move || work(&teller));
    tokio::pin!(work);
    loop {
        tokio::select! {
            Some(news) = news.recv() => match news {
                News::Detail(detail) => progress.update(step, &detail),
                News::Download(download) => progress.download(step, &download),
            },
            done = &mut work => {
                return done.map_err(|e| StackError::Artifact {
                    artifact: step.to_owned(),
                    reason: e.to_string(),
                })?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_that_is_drawn_over_itself_comes_as_lines() {
        let (lines, said) = std::sync::mpsc::sync_channel(8);
        pass_on(
            &b"Downloading\nProgress: 1\rProgress: 2\r\nDone\n\nat last"[..],
            &lines,
        );
        drop(lines);
        let said: Vec<String> = said.into_iter().collect();
        let expected = [
            "Downloading",
            "Progress: 1",
            "Progress: 2",
            "Done",
            "at last",
        ];
        assert_eq!(said, expected);
    }
}
