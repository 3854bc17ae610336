//! A connection to PostgreSQL, encrypted as its endpoint says.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use super::PostgresEndpoint;
use pgcdc::SslMode;

/// Longest wait for a socket, and for TLS on it.
const LIMIT: Duration = Duration::from_secs(10);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server refused, or went away.
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    /// There is no socket to it that is encrypted as it is to be.
    #[error("{0}")]
    Socket(String),
}

impl PostgresEndpoint {
    /// Connects. The task moves the bytes, and ends with the connection.
    ///
    /// # Errors
    /// When nobody answers, TLS is not to be had as it is asked for, or the server refuses.
    pub async fn connect(&self) -> Result<(Client, JoinHandle<()>), ConnectError> {
        self.connect_as("cdc-bench").await
    }

    /// The same under a name that the server shows of the session.
    ///
    /// # Errors
    /// As [`PostgresEndpoint::connect`].
    pub async fn connect_as(&self, name: &str) -> Result<(Client, JoinHandle<()>), ConnectError> {
        let mut config = self.client_config();
        config.application_name(name);
        if self.tls.mode == SslMode::Disable {
            let (client, connection) = config.connect(NoTls).await?;
            return Ok((client, drive(connection)));
        }
        let server = self.server();
        let socket = tokio::time::timeout(LIMIT, server.socket())
            .await
            .map_err(|_| ConnectError::Socket(format!("no answer within {} s", LIMIT.as_secs())))?
            .map_err(|error| ConnectError::Socket(error.to_string()))?;
        let (client, connection) = config.connect_raw(socket, NoTls).await?;
        Ok((client, drive(connection)))
    }
}

fn drive<S, T>(connection: tokio_postgres::Connection<S, T>) -> JoinHandle<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        // Whoever asks something of it next hears of it too.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to PostgreSQL ended");
        }
    })
}
