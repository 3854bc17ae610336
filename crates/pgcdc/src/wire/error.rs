//! Errors of a connection.

use std::fmt;
use std::io;
use std::time::Duration;

use pgwire_replication::PgWireError;
use pgwire_replication::protocol::ErrorFields;

/// An error or a notice of the server, with everything in it that helps a reader of the message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerMessage {
    /// SQLSTATE; empty if the server gave none.
    pub code: String,
    /// The message.
    pub message: String,
    /// `DETAIL`.
    pub detail: Option<String>,
    /// `HINT`.
    pub hint: Option<String>,
    /// `CONTEXT`: what the server was doing.
    pub context: Option<String>,
}

impl ServerMessage {
    pub(super) fn parse(payload: &[u8]) -> Self {
        let fields = ErrorFields::parse(payload);
        Self {
            code: fields.code.unwrap_or_default(),
            message: fields.message.unwrap_or_default(),
            detail: fields.detail,
            hint: fields.hint,
            context: fields.where_,
        }
    }
}

impl fmt::Display for ServerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.code.is_empty() {
            write!(f, " (SQLSTATE {})", self.code)?;
        }
        let parts = [("", &self.detail), ("hint: ", &self.hint)];
        for (name, text) in parts {
            if let Some(text) = text {
                write!(f, "; {name}{}", text.trim_end_matches('.'))?;
            }
        }
        match &self.context {
            Some(context) => write!(f, "; context: {}", context.replace('\n', ", ")),
            None => Ok(()),
        }
    }
}

impl From<&tokio_postgres::error::DbError> for ServerMessage {
    fn from(error: &tokio_postgres::error::DbError) -> Self {
        Self {
            code: error.code().code().to_owned(),
            message: error.message().to_owned(),
            detail: error.detail().map(str::to_owned),
            hint: error.hint().map(str::to_owned),
            context: error.where_().map(str::to_owned),
        }
    }
}

/// Why a connection cannot be opened or continued.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum WireError {
    /// The operating system refused, or the other side hung up.
    #[error("{0}")]
    Io(String),
    /// Encryption cannot be set up as configured.
    #[error("TLS: {0}")]
    Tls(String, #[source] Option<rustls::Error>),
    /// The server asks for a password, and none is given.
    #[error("the server asks for a password, and none is given")]
    NoPassword,
    /// The server asks for a proof of identity that is not available, or proves its own wrongly.
    #[error("{0}")]
    Auth(String),
    /// The server refused.
    #[error("{0}")]
    Server(Box<ServerMessage>),
    /// The server sent what the protocol does not allow here.
    #[error("{0}")]
    Protocol(String),
    /// A message is larger than allowed.
    #[error("a message of {size} bytes is larger than the {limit} that are allowed (max_message)")]
    TooLarge {
        /// Bytes of the message.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The server does not answer.
    #[error("no answer from the server for {} s", .0.as_secs_f64())]
    Silent(Duration),
}

impl WireError {
    /// The error for bytes that end a connection.
    pub(super) fn closed() -> Self {
        Self::Io("the server closed the connection".to_owned())
    }
}

impl From<ServerMessage> for WireError {
    fn from(message: ServerMessage) -> Self {
        Self::Server(Box::new(message))
    }
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::closed();
        }
        Self::Io(error.to_string())
    }
}

impl From<PgWireError> for WireError {
    fn from(error: PgWireError) -> Self {
        match error {
            PgWireError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::closed()
            }
            PgWireError::Io(error) => Self::Io(error.to_string()),
            error => Self::Protocol(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_the_server_says_is_in_the_message() {
        let payload =
            b"SERROR\0C55000\0Mcannot use it\0DIt is lost.\0HDrop it.\0Wslot \"s\"\nline 2\0\0";
        let message = ServerMessage::parse(payload);
        assert_eq!(
            message.to_string(),
            "cannot use it (SQLSTATE 55000); It is lost; hint: Drop it; context: slot \"s\", line 2"
        );
        let bare = ServerMessage::parse(b"Mgone\0\0");
        assert_eq!(bare.to_string(), "gone");
    }
}
