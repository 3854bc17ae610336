//! A session that runs SQL: the same server, user and encryption as the stream, without replication.

use std::time::Duration;

use futures_util::{Stream, TryStreamExt};
use secrecy::ExposeSecret;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::ReaderError;
use crate::server::{SESSION_OPTIONS, Server};
use crate::wire::{ServerMessage, Socket, TextRows, WireError};

/// No time limits, for a copy may take hours; and a row security policy is an error rather than a copy without the rows it
/// hides.
const COPY_OPTIONS: &str = "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c row_security=off";
/// Longest wait for the answer to a query, which asks the catalogue.
const QUERY_LIMIT: Duration = Duration::from_secs(30);

/// A connection, and the task that drives it; closed on drop.
pub(crate) struct Session {
    client: Client,
    connection: JoinHandle<()>,
    server: Server,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Session {
    /// A session for queries.
    pub(crate) async fn open(server: &Server) -> Result<Self, ReaderError> {
        Self::open_as(server, "pgcdc").await
    }

    /// A session that copies tables.
    pub(crate) async fn open_for_copy(server: &Server) -> Result<Self, ReaderError> {
        Self::open_as(server, "pgcdc-snapshot").await
    }

    async fn open_as(server: &Server, name: &str) -> Result<Self, ReaderError> {
        let opened = tokio::time::timeout(QUERY_LIMIT, Self::connect(server, name)).await;
        let opened = opened.unwrap_or(Err(WireError::Silent(QUERY_LIMIT)));
        opened.map_err(|error| server.reader_error(&error))
    }

    async fn connect(server: &Server, name: &str) -> Result<Self, WireError> {
        let socket = Socket::connect(server).await?;
        let mut config = tokio_postgres::Config::new();
        config
            .user(&server.user)
            .password(server.password.expose_secret())
            .dbname(&server.database)
            .options(format!("{SESSION_OPTIONS} {COPY_OPTIONS}"))
            .application_name(name)
            // The socket is encrypted already, if configured.
            .ssl_mode(tokio_postgres::config::SslMode::Disable);
        let connected = config.connect_raw(socket, NoTls).await;
        let (client, connection) = connected.map_err(|error| wire_error(&error))?;
        let connection = tokio::spawn(async move {
            // The next query reports the error as well.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a session ended");
            }
        });
        Ok(Self {
            client,
            connection,
            server: server.clone(),
        })
    }

    /// The rows of a query, each column as text.
    pub(crate) async fn query(&self, sql: &str) -> Result<TextRows, ReaderError> {
        let answer = tokio::time::timeout(QUERY_LIMIT, self.client.simple_query(sql)).await;
        let answer = match answer {
            Ok(answer) => answer.map_err(|error| wire_error(&error)),
            Err(_) => Err(WireError::Silent(QUERY_LIMIT)),
        };
        let answer = answer.map_err(|error| self.server.reader_error(&error))?;
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => Some(
                (0..row.len())
                    .map(|index| row.get(index).map(str::to_owned))
                    .collect(),
            ),
            _ => None,
        };
        Ok(answer.into_iter().filter_map(row).collect())
    }

    /// The data of a `COPY ... TO STDOUT`.
    pub(crate) async fn copy(
        &self,
        statement: &str,
    ) -> Result<impl Stream<Item = Result<bytes::Bytes, ReaderError>> + Send, ReaderError> {
        let stream = self.client.copy_out(statement).await;
        let server = self.server.clone();
        Ok(stream
            .map_err(|error| copy_error(&error, &self.server))?
            .map_err(move |error| copy_error(&error, &server)))
    }
}

fn wire_error(error: &tokio_postgres::Error) -> WireError {
    match error.as_db_error() {
        Some(answer) => ServerMessage::from(answer).into(),
        None => WireError::Io(crate::error::innermost(error).to_string()),
    }
}

/// An error of a copy; one that may pass is an error of the connection.
fn copy_error(error: &tokio_postgres::Error, server: &Server) -> ReaderError {
    match server.reader_error(&wire_error(error)) {
        error if !error.is_permanent() => error,
        ReaderError::Refused { user, message, .. } => ReaderError::Copy {
            source_of_rows: server.address(),
            reason: format!("user \"{user}\" may not: {message}"),
        },
        ReaderError::Server { message, .. } => ReaderError::Copy {
            source_of_rows: server.address(),
            reason: message.to_string(),
        },
        error => error,
    }
}
