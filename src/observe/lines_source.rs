//! Where the lines of a consumer, or of the application, come from.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where the lines of a consumer, or of the application, come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinesSource {
    /// `-`.
    StandardInput,
    /// A file that grows, or a named pipe.
    File(PathBuf),
    /// `unix:PATH`: a socket that we listen on.
    Socket(PathBuf),
    /// `topic:NAME`, of the cluster that is observed.
    Topic(String),
}

impl FromStr for LinesSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let given = |rest: &str| match rest {
            "" => Err(format!("expected a name after {text:?}")),
            rest => Ok(rest.to_owned()),
        };
        if text == "-" {
            Ok(Self::StandardInput)
        } else if let Some(path) = text.strip_prefix("unix:") {
            given(path).map(|path| Self::Socket(path.into()))
        } else if let Some(name) = text.strip_prefix("topic:") {
            given(name).map(Self::Topic)
        } else if text.is_empty() {
            Err("expected PATH, -, unix:PATH or topic:NAME".to_owned())
        } else {
            Ok(Self::File(text.into()))
        }
    }
}

impl fmt::Display for LinesSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StandardInput => f.write_str("standard input"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Socket(path) => write!(f, "Unix socket {}", path.display()),
            Self::Topic(name) => write!(f, "topic {name}"),
        }
    }
}

impl LinesSource {
    /// Whether it can be read, as far as this can be told without a server.
    ///
    /// # Errors
    /// Why it cannot. A file that does not exist yet is none, if it has a folder.
    pub(super) fn check(&self, flag: &str) -> io::Result<()> {
        match self {
            Self::StandardInput if io::stdin().is_terminal() => Err(io::Error::other(format!(
                "standard input is a terminal; pipe the lines into it, or name a file ({flag} PATH)"
            ))),
            Self::StandardInput | Self::Topic(_) => Ok(()),
            Self::Socket(path) => check_socket(path, flag),
            Self::File(path) => check_file(path, flag),
        }
    }
}

fn check_file(path: &Path, flag: &str) -> io::Result<()> {
    let named = |error: io::Error| io::Error::other(format!("{}: {error}", path.display()));
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => check_folder(path),
        Err(error) => Err(named(error)),
        Ok(found) if found.is_dir() => Err(named(io::ErrorKind::IsADirectory.into())),
        Ok(found) if found.file_type().is_socket() => Err(io::Error::other(format!(
            "{} is a socket; for one that we listen on, name a path where none is: {flag} unix:PATH",
            path.display()
        ))),
        // A pipe without a writer would be waited for.
        Ok(found) if found.file_type().is_fifo() => Ok(()),
        Ok(_) => std::fs::File::open(path).map(drop).map_err(named),
    }
}

/// Whether the path's folder exists.
fn check_folder(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    match std::fs::metadata(folder) {
        Ok(found) if found.is_dir() => Ok(()),
        _ => Err(io::Error::other(format!(
            "there is no folder {}",
            folder.display()
        ))),
    }
}

/// Whether a socket may be made at this path: nothing is there, or a socket that nobody listens on.
///
/// # Errors
/// What is there instead.
pub(super) fn check_socket(path: &Path, flag: &str) -> io::Result<()> {
    let taken = |what: &str| {
        let path = path.display();
        Err(io::Error::other(format!(
            "{path} {what}; name another path ({flag} unix:PATH)"
        )))
    };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => check_folder(path),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => taken("exists, and is no socket"),
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            // Left behind by a process that was killed.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(error),
            Ok(_) => taken("is a socket that another process listens on"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_named_by_its_kind() {
        for (text, expected) in [
            ("-", LinesSource::StandardInput),
            ("lines.jsonl", LinesSource::File("lines.jsonl".into())),
            ("./unix:x", LinesSource::File("./unix:x".into())),
            (
                "unix:/run/x.sock",
                LinesSource::Socket("/run/x.sock".into()),
            ),
            ("topic:metrics", LinesSource::Topic("metrics".to_owned())),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for wrong in ["", "unix:", "topic:"] {
            assert!(wrong.parse::<LinesSource>().is_err(), "{wrong}");
        }
    }
}
