//! A session that copies tables: the same server, user and encryption as the stream, without replication.

use std::path::Path;

use futures_util::{Stream, TryStreamExt};
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::ReaderError;
use crate::server::{SESSION_OPTIONS, Server};

/// No time limits, for a copy may take hours; and a row security policy is an error rather than a copy without the rows it
/// hides.
const COPY_OPTIONS: &str = "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c row_security=off";

/// A connection, and the task that drives it; closed on drop.
pub(super) struct Session {
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
    pub(super) async fn open(server: &Server) -> Result<Self, ReaderError> {
        let failed = |reason: String| ReaderError::Connection {
            server: server.address(),
            reason,
        };
        if server.host.starts_with('/') {
            let path = Path::new(&server.host).join(format!(".s.PGSQL.{}", server.port));
            let socket = UnixStream::connect(path).await;
            return Self::over(socket.map_err(|e| failed(e.to_string()))?, server).await;
        }
        let socket = server
            .connect()
            .await
            .map_err(|error| server.error_from_wire(&error))?;
        Self::over(socket, server).await
    }

    async fn over<S>(socket: S, server: &Server) -> Result<Self, ReaderError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut config = tokio_postgres::Config::new();
        config
            .user(&server.user)
            .password(server.password.expose_secret())
            .dbname(&server.database)
            .options(format!("{SESSION_OPTIONS} {COPY_OPTIONS}"))
            .application_name("pgcdc-snapshot")
            // The socket is encrypted already, if configured.
            .ssl_mode(tokio_postgres::config::SslMode::Disable);
        let connected = config.connect_raw(socket, NoTls).await;
        let (client, connection) = connected.map_err(|error| reader_error(&error, server))?;
        let connection = tokio::spawn(async move {
            // The next query reports the error as well.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a copying session ended");
            }
        });
        Ok(Self {
            client,
            connection,
            server: server.clone(),
        })
    }

    /// The rows of a query, each column as text.
    pub(super) async fn query(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, ReaderError> {
        let answer = self.client.simple_query(sql).await;
        let answer = answer.map_err(|error| reader_error(&error, &self.server))?;
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
    pub(super) async fn copy(
        &self,
        statement: &str,
    ) -> Result<impl Stream<Item = Result<bytes::Bytes, ReaderError>> + Send, ReaderError> {
        let stream = self.client.copy_out(statement).await;
        let server = self.server.clone();
        Ok(stream
            .map_err(|error| reader_error(&error, &self.server))?
            .map_err(move |error| reader_error(&error, &server)))
    }
}

/// Classifies an error of tokio-postgres.
fn reader_error(error: &tokio_postgres::Error, server: &Server) -> ReaderError {
    let address = server.address();
    let Some(answer) = error.as_db_error() else {
        return ReaderError::Connection {
            server: address,
            reason: error.to_string(),
        };
    };
    let (code, reason) = (answer.code(), answer.message().to_owned());
    if *code == SqlState::INSUFFICIENT_PRIVILEGE
        || *code == SqlState::INVALID_PASSWORD
        || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
    {
        return ReaderError::Copy {
            source_of_rows: address,
            reason: format!("user \"{}\" may not: {reason}", server.user),
        };
    }
    // Connection, conflict, resources, operator intervention, system error: these may pass. All others are permanent.
    let transient = ["08", "40", "53", "57", "58"];
    if transient.iter().any(|class| code.code().starts_with(class)) {
        return ReaderError::Connection {
            server: address,
            reason,
        };
    }
    ReaderError::Copy {
        source_of_rows: address,
        reason: format!("{reason} (SQLSTATE {})", code.code()),
    }
}
