//! A secret that is typed on the terminal, unseen.

use std::io::{BufRead, Write};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::pipeline::Failure;

/// A terminal that does not show what is typed, until it is dropped.
struct Unseen {
    before: Termios,
}

impl Unseen {
    fn new() -> nix::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut unseen = before.clone();
        unseen.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(std::io::stdin(), SetArg::TCSANOW, &unseen)?;
        Ok(Self { before })
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        let restored = tcsetattr(std::io::stdin(), SetArg::TCSANOW, &self.before);
        if let Err(error) = restored {
            tracing::warn!(%error, "the terminal does not show what is typed: stty echo");
        }
        // The line end that was typed was not shown either.
        let _ = writeln!(std::io::stderr());
    }
}

/// Asks for a line.
///
/// # Errors
/// When standard input is no terminal, ends, or the command is interrupted.
pub(super) async fn hidden_line(
    prompt: &str,
    cancel: &CancellationToken,
) -> Result<SecretString, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::usage(anyhow::anyhow!(
            "no password was read from the terminal: {error}"
        ))
    };
    let _unseen = Unseen::new().map_err(|error| failed(&error))?;
    let mut stderr = std::io::stderr();
    let shown = write!(stderr, "{prompt}").and_then(|()| stderr.flush());
    shown.map_err(|error| failed(&error))?;
    let reading = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        read.map(|_| SecretString::from(line.trim_end_matches(['\n', '\r'])))
    });
    tokio::select! {
        () = cancel.cancelled() => Err(Failure::interrupted()),
        read = reading => match read {
            Ok(Ok(line)) => Ok(line),
            Ok(Err(error)) => Err(failed(&error)),
            Err(error) => Err(failed(&error)),
        },
    }
}
