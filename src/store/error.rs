//! The errors of the store: what to say of each, and which of them are transient.

use mongodb::error::{Error, ErrorKind, WriteFailure};

use super::error_class::{CodeClass, of_command};

/// Codes of a server that takes no writes: not the primary of its replica set.
const READ_ONLY_CODES: [i32; 3] = [10058, 10107, 13435];
/// The user may not do that.
const UNAUTHORIZED: i32 = 13;
const AUTHENTICATION_FAILED: i32 = 18;

/// Why the store could not be reached, read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The connection string makes no sense. It is not shown, for it may hold a password.
    #[error(
        "the MongoDB connection string is not valid: {cause}; it looks like \"mongodb://host:27017/\" (MONGODB_URI)"
    )]
    BadUri {
        /// What is wrong with it.
        cause: String,
    },
    /// No server answers.
    #[error("cannot reach MongoDB at {server}: {cause}; check that it runs there (MONGODB_URI)")]
    Unreachable {
        /// Host and port of every server tried.
        server: String,
        /// What was seen.
        cause: String,
    },
    /// TLS did not come about.
    #[error("no TLS to MongoDB at {server}: {cause}; {advice}")]
    Tls {
        /// Host and port.
        server: String,
        /// What failed.
        cause: String,
        /// What to do.
        advice: &'static str,
    },
    /// The replica set has no primary at the moment.
    #[error(
        "the replica set of MongoDB at {server} has no primary: {members} answer as secondaries; wait for the election, or check that a majority of its members runs"
    )]
    NoPrimary {
        /// Host and port of every server tried.
        server: String,
        /// Host and port of the members that answer.
        members: String,
    },
    /// It wants a login, and we have none.
    #[error(
        "MongoDB at {server} asks for a login: {cause}; give user and password in MONGODB_URI, or by MONGODB_USERNAME and MONGODB_PASSWORD"
    )]
    LoginWanted {
        /// Host and port.
        server: String,
        /// The server's message.
        cause: String,
    },
    /// The user or the password is wrong.
    #[error(
        "MongoDB at {server} refused to log in: {cause}; check user, password and authSource in the connection string (MONGODB_URI, MONGODB_USERNAME, MONGODB_PASSWORD)"
    )]
    AuthFailed {
        /// Host and port.
        server: String,
        /// The server's message.
        cause: String,
    },
    /// The user may not do what was asked.
    #[error(
        "MongoDB at {server} does not let this user {doing}: {cause}; grant it in mongosh, with the database of MONGODB_DATABASE: db.grantRolesToUser(\"USER\", [{{ role: \"readWrite\", db: \"DATABASE\" }}])"
    )]
    NotPermitted {
        /// Host and port.
        server: String,
        /// What was asked.
        doing: String,
        /// The server's message.
        cause: String,
    },
    /// The server takes no writes.
    #[error(
        "MongoDB at {server} is read-only: {cause}; connect to the replica set's primary (replicaSet=NAME in the connection string, without directConnection)"
    )]
    ReadOnly {
        /// Host and port.
        server: String,
        /// The server's message.
        cause: String,
    },
    /// A transient fault: the network, a restart, an election, a timeout. Try again later.
    #[error("MongoDB at {server} could not {doing} just now: {cause}")]
    Transient {
        /// Host and port.
        server: String,
        /// What was asked.
        doing: String,
        /// What was seen.
        cause: String,
    },
    /// A fault that another try will not mend.
    #[error("MongoDB at {server} could not {doing}: {cause}")]
    Permanent {
        /// Host and port.
        server: String,
        /// What was asked.
        doing: String,
        /// What was seen.
        cause: String,
    },
}

impl StoreError {
    /// Whether trying the same again makes sense. A server that is read-only counts: its replica set may be electing.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Transient { .. }
                | Self::Unreachable { .. }
                | Self::ReadOnly { .. }
                | Self::NoPrimary { .. }
        )
    }

    /// The driver's error while it was `doing` something at `server`.
    pub(super) fn of(error: &Error, server: &str, doing: &str) -> Self {
        let server = server.to_owned();
        let doing = doing.to_owned();
        match error.kind.as_ref() {
            ErrorKind::Authentication { message, .. } => Self::AuthFailed {
                server,
                cause: message.clone(),
            },
            ErrorKind::ServerSelection { message, .. } => {
                Self::of_server_selection(server, message)
            }
            ErrorKind::DnsResolve { message, .. } => Self::Unreachable {
                server,
                cause: message.clone(),
            },
            ErrorKind::Io(cause) => Self::Transient {
                server,
                doing,
                cause: cause.to_string(),
            },
            ErrorKind::ConnectionPoolCleared { message, .. } => Self::Transient {
                server,
                doing,
                cause: message.clone(),
            },
            ErrorKind::Command(refusal) => {
                let known = Self::of_code(refusal.code, &refusal.message, server, doing);
                known.or_transient(is_labelled_transient(error))
            }
            ErrorKind::Write(WriteFailure::WriteConcernError(failure)) => {
                let message = not_met(&failure.message);
                Self::of_code(failure.code, &message, server, doing)
            }
            other if is_labelled_transient(error) => Self::Transient {
                server,
                doing,
                cause: other.to_string(),
            },
            other => Self::Permanent {
                server,
                doing,
                cause: other.to_string(),
            },
        }
    }

    /// A server's refusal, by its code.
    pub(super) fn of_code(code: i32, message: &str, server: String, doing: String) -> Self {
        let cause = format!("{message} (code {code})");
        match code {
            AUTHENTICATION_FAILED => Self::AuthFailed { server, cause },
            UNAUTHORIZED => Self::NotPermitted {
                server,
                doing,
                cause,
            },
            code if READ_ONLY_CODES.contains(&code) => Self::ReadOnly { server, cause },
            code if of_command(code) == CodeClass::Transient => Self::Transient {
                server,
                doing,
                cause,
            },
            _ => Self::Permanent {
                server,
                doing,
                cause,
            },
        }
    }

    /// The same as a transient fault where the server says so, whatever its code.
    fn or_transient(self, is_transient: bool) -> Self {
        match self {
            Self::Permanent {
                server,
                doing,
                cause,
            } if is_transient => Self::Transient {
                server,
                doing,
                cause,
            },
            other => other,
        }
    }

    fn of_server_selection(server: String, message: &str) -> Self {
        // The driver's text goes on with its whole view of the topology; the last error in it is the reason.
        let cause = message
            .rsplit_once("Error: ")
            .map_or(message, |(_, last)| last)
            .trim_end_matches([']', '}', ' ', ','])
            .to_owned();
        if message.contains("Authentication failed") || message.contains("SCRAM failure") {
            return Self::AuthFailed { server, cause };
        }
        Self::Unreachable { server, cause }
    }
}

/// Whether the server, or the driver for it, labels the error as one of a moment.
fn is_labelled_transient(error: &Error) -> bool {
    use mongodb::error::{RETRYABLE_WRITE_ERROR, TRANSIENT_TRANSACTION_ERROR};
    let labels = [RETRYABLE_WRITE_ERROR, TRANSIENT_TRANSACTION_ERROR];
    labels.iter().any(|label| error.contains_label(label))
}

/// The message of a write that was made, and of which the server could not wait until enough members have it.
pub(super) fn not_met(message: &str) -> String {
    format!("the write concern was not met: {message}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_code(code: i32) -> StoreError {
        StoreError::of_code(code, "no", "h:1".to_owned(), "write events".to_owned())
    }

    #[test]
    fn codes_are_sorted_by_what_to_do() {
        assert!(of_code(11_600).is_transient());
        assert!(of_code(112).is_transient());
        assert!(matches!(of_code(10_107), StoreError::ReadOnly { .. }));
        assert!(!of_code(13).is_transient());
        assert!(!of_code(18).is_transient());
        assert!(matches!(of_code(9), StoreError::Permanent { .. }));
    }

    #[test]
    fn a_refusal_names_server_deed_and_way_out() {
        assert_eq!(
            of_code(13).to_string(),
            "MongoDB at h:1 does not let this user write events: no (code 13); grant it in mongosh, with the database of MONGODB_DATABASE: db.grantRolesToUser(\"USER\", [{ role: \"readWrite\", db: \"DATABASE\" }])"
        );
    }
}
