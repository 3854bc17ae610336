//! External command-line clients (mvn, pip, docker): run to completion, output read line by line, killed on
//! cancellation.

use std::io::{BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::child::kill_group;
use crate::error::StackError;

/// Longest time for one client, downloads included.
const LIMIT: Duration = Duration::from_secs(900);

/// Longest wait for a line before the client and the stop are looked at again.
const POLL: Duration = Duration::from_millis(50);

/// Bytes of a line that are kept: a program may talk without ending its line.
const LONGEST_LINE: usize = 8_192;

/// The output stream on which a client reports its progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputStream {
    Stdout,
    Stderr,
}

/// Runs a client and passes each line of its output to `line`. Returns true when it succeeded. It is killed on `stop`.
pub(crate) fn watch(
    mut command: Command,
    voice: OutputStream,
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
        OutputStream::Stdout => command.stdout(Stdio::piped()).stderr(Stdio::null()),
        OutputStream::Stderr => command.stdout(Stdio::null()).stderr(Stdio::piped()),
    };
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(missing()),
        Err(error) => return Err(failed(format!("could not be started: {error}"))),
    };
    let began = Instant::now();
    let (lines, received) = std::sync::mpsc::sync_channel(64);
    let pipe: Option<Box<dyn Read + Send>> = match voice {
        OutputStream::Stdout => child.stdout.take().map(|pipe| Box::new(pipe) as _),
        OutputStream::Stderr => child.stderr.take().map(|pipe| Box::new(pipe) as _),
    };
    let reader = std::thread::spawn(move || pipe.map(|pipe| forward_lines(pipe, &lines)));
    let status = loop {
        let over = began.elapsed() > LIMIT;
        if over || stop.is_cancelled() {
            kill_group(child.id());
            // SIGKILL has been sent, so this does not block for long.
            let _ = child.wait();
            return Err(if over {
                failed(format!("was not done within {} s", LIMIT.as_secs()))
            } else {
                StackError::Cancelled
            });
        }
        // A program that talks without end is stopped as well.
        match received.recv_timeout(POLL) {
            Ok(text) => line(&text),
            Err(silent) => {
                if let Some(status) = child.try_wait().map_err(|e| failed(e.to_string()))? {
                    break status;
                }
                if silent == RecvTimeoutError::Disconnected {
                    std::thread::sleep(POLL);
                }
            }
        }
    };
    // Lines still in the pipe.
    while let Ok(text) = received.recv_timeout(Duration::from_millis(200)) {
        line(&text);
    }
    drop(received);
    let _ = reader.join();
    Ok(status.success())
}

/// Forwards the output of a pipe line by line. A carriage return ends a line too, because progress bars use it.
fn forward_lines(pipe: impl Read, lines: &SyncSender<String>) {
    let mut line = Vec::new();
    let end = std::iter::once(b'\n');
    let bytes = BufReader::new(pipe).bytes().map_while(Result::ok);
    for byte in bytes.chain(end) {
        if !matches!(byte, b'\n' | b'\r') {
            if line.len() < LONGEST_LINE {
                line.push(byte);
            }
            continue;
        }
        let text = String::from_utf8_lossy(&line).into_owned();
        line.clear();
        if !text.is_empty() && lines.send(text).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_that_is_drawn_over_itself_comes_as_lines() {
        let (lines, received) = std::sync::mpsc::sync_channel(8);
        forward_lines(
            &b"Downloading\nProgress: 1\rProgress: 2\r\nDone\n\nat last"[..],
            &lines,
        );
        drop(lines);
        let received: Vec<String> = received.into_iter().collect();
        let expected = [
            "Downloading",
            "Progress: 1",
            "Progress: 2",
            "Done",
            "at last",
        ];
        assert_eq!(received, expected);
    }

    #[test]
    fn of_a_line_without_end_the_beginning_is_kept() {
        let (lines, received) = std::sync::mpsc::sync_channel(8);
        let long = std::io::repeat(b'x').take(10_000_000);
        forward_lines(long.chain(&b"\nnext"[..]), &lines);
        drop(lines);
        let received: Vec<String> = received.into_iter().collect();
        let lengths: Vec<_> = received.iter().map(String::len).collect();
        assert_eq!(lengths, [LONGEST_LINE, 4]);
    }

    #[test]
    fn a_program_that_talks_without_end_is_stopped() {
        let stop = CancellationToken::new();
        let mut lines = 0;
        let ended = watch(
            Command::new("yes"),
            OutputStream::Stdout,
            || StackError::Cancelled,
            &stop,
            |line| {
                assert_eq!(line, "y");
                lines += 1;
                if lines == 3 {
                    stop.cancel();
                }
            },
        );
        assert!(matches!(ended, Err(StackError::Cancelled)));
        assert_eq!(lines, 3);
    }
}
