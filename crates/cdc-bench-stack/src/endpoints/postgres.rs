//! A PostgreSQL server and database, and connections to it, with the TLS settings of the endpoint.

use std::fmt;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use pgcdc::{Server, SslMode, TlsConfig};
use secrecy::{ExposeSecret, SecretString};

/// A PostgreSQL server and database.
#[derive(Debug, Clone)]
pub struct PostgresEndpoint {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database name.
    pub database: String,
    /// User; it needs `REPLICATION` and the right to create in the database.
    pub user: String,
    /// Its password.
    pub password: SecretString,
    /// Whether and how connections are encrypted.
    pub tls: TlsConfig,
}

impl PostgresEndpoint {
    /// Connection parameters for our WAL reader.
    #[must_use]
    pub fn server(&self) -> Server {
        Server {
            tls: self.tls.clone(),
            ..Server::new(
                &self.host,
                self.port,
                &self.user,
                self.password.clone(),
                &self.database,
            )
        }
    }

    /// Connection parameters for `tokio-postgres`.
    #[must_use]
    pub fn client_config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .dbname(&self.database)
            .user(&self.user)
            .password(self.password.expose_secret())
            .application_name("cdc-bench")
            // TLS, if any, is already established on the socket.
            .ssl_mode(tokio_postgres::config::SslMode::Disable)
            .connect_timeout(std::time::Duration::from_secs(10));
        config
    }
}

impl fmt::Display for PostgresEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}@{}:{}/{}",
            self.user, self.host, self.port, self.database
        )
    }
}

/// Longest wait for the TCP connection and the TLS handshake.
const LIMIT: Duration = Duration::from_secs(10);

/// Why a connection failed.
#[derive(Debug, thiserror::Error)]
pub enum PostgresConnectError {
    /// The server refused the connection or closed it.
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    /// No connection with the required TLS settings.
    #[error("{0}")]
    Socket(String),
}

impl PostgresEndpoint {
    /// Connects. The returned task drives the connection and ends with it.
    ///
    /// # Errors
    /// When the server does not answer, TLS fails, or the server refuses.
    pub async fn connect(&self) -> Result<(Client, JoinHandle<()>), PostgresConnectError> {
        self.connect_as("cdc-bench").await
    }

    /// The same with a given `application_name`.
    ///
    /// # Errors
    /// As [`PostgresEndpoint::connect`].
    pub async fn connect_as(
        &self,
        name: &str,
    ) -> Result<(Client, JoinHandle<()>), PostgresConnectError> {
        let mut config = self.client_config();
        config.application_name(name);
        if self.tls.mode == SslMode::Disable {
            let (client, connection) = config.connect(NoTls).await?;
            return Ok((client, drive(connection)));
        }
        let server = self.server();
        let socket = tokio::time::timeout(LIMIT, server.socket())
            .await
            .map_err(|_| {
                PostgresConnectError::Socket(format!("no answer within {} s", LIMIT.as_secs()))
            })?
            .map_err(|error| PostgresConnectError::Socket(error.to_string()))?;
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
        // The next query on the client fails with it too.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to PostgreSQL ended");
        }
    })
}
