//! What the server's errors mean for a copy.

use crate::wire::WireError;
use crate::{ReaderConfig, ReaderError, Server};

/// The server's answer has another form than PostgreSQL's.
pub(super) fn unexpected_answer(config: &ReaderConfig) -> ReaderError {
    ReaderError::Protocol {
        server: config.server.address(),
        reason: "its answer to the snapshot's beginning is not as expected".to_owned(),
    }
}

/// An error of a copy; one that may pass is an error of the connection.
pub(super) fn copy_error(error: &WireError, server: &Server) -> ReaderError {
    let reason = match server.reader_error(error) {
        error if !error.is_permanent() => return error,
        ReaderError::Refused { user, message, .. } => format!("user \"{user}\" may not: {message}"),
        ReaderError::Server { message, .. } => message.to_string(),
        error => return error,
    };
    ReaderError::Copy {
        source_of_rows: server.address(),
        reason,
    }
}
