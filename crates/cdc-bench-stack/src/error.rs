//! Why servers cannot be started or used.

use std::path::PathBuf;

/// Why servers cannot be started or used.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// A program the local stack is made with is not there.
    #[error("{what} is missing: {advice}")]
    MissingPrerequisite {
        /// Such as `Java 17 or later`.
        what: String,
        /// What to type.
        advice: String,
    },
    /// An artifact cannot be fetched, or does not match its sum.
    #[error("{artifact}: {reason}")]
    Artifact {
        /// File or set of files.
        artifact: String,
        /// What is wrong.
        reason: String,
    },
    /// A server ended or did not become ready.
    #[error("{server} did not start: {reason}{}", tail(.log))]
    ServerFailed {
        /// Which.
        server: String,
        /// What happened.
        reason: String,
        /// Last lines of its log.
        log: String,
    },
    /// The requested stack is not running.
    #[error("{0}")]
    NotUp(String),
    /// The supervisor of a kept stack failed to start it.
    #[error("{message}")]
    Supervisor {
        /// Its exit code.
        code: u8,
        /// Its error message.
        message: String,
    },
    /// `docker compose` failed.
    #[error("docker compose: {0}")]
    Compose(String),
    /// A file or folder cannot be used.
    #[error("cannot {action} {path}: {reason}")]
    Io {
        /// Such as `make`.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// The system's error message.
        reason: String,
    },
    /// An endpoint that must be given is not.
    #[error("{0}")]
    Usage(String),
    /// The user asked to stop.
    #[error("interrupted")]
    Cancelled,
}

impl StackError {
    /// The exit code of our process.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Cancelled => 130,
            Self::Usage(_) => 2,
            Self::Supervisor { code, .. } => *code,
            _ => 3,
        }
    }

    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |error| Self::Io {
            action,
            path,
            reason: error.to_string(),
        }
    }
}

impl From<crate::endpoints::MissingEndpoint> for StackError {
    fn from(error: crate::endpoints::MissingEndpoint) -> Self {
        Self::Usage(error.to_string())
    }
}

fn tail(log: &str) -> String {
    if log.is_empty() {
        String::new()
    } else {
        format!("; the end of its log:\n{log}")
    }
}
