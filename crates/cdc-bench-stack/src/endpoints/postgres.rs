//! A PostgreSQL server and database, and connections to it, with the settings of the endpoint.

use std::fmt;
use std::ops::Deref;

use pgcdc::Server;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

pub use pgcdc::ConnectError as PostgresConnectError;

/// A PostgreSQL server and database. The user needs `REPLICATION` and the right to create in the database.
#[derive(Debug, Clone)]
pub struct PostgresEndpoint(Server);

impl From<Server> for PostgresEndpoint {
    fn from(server: Server) -> Self {
        Self(server)
    }
}

/// Its parts: host, port, user, password, database, TLS.
impl Deref for PostgresEndpoint {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl PostgresEndpoint {
    /// Connection parameters for our WAL reader.
    #[must_use]
    pub fn server(&self) -> Server {
        self.0.clone()
    }

    /// Another database of the server.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        Self(Server {
            database: database.to_owned(),
            ..self.server()
        })
    }

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
        let mut config = tokio_postgres::Config::new();
        config.application_name(name);
        if let Some(options) = &self.options {
            config.options(options);
        }
        let (client, connection) = self.client(&config).await?;
        let driver = tokio::spawn(async move {
            // The next query on the client fails with it too.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to PostgreSQL ended");
            }
        });
        Ok((client, driver))
    }
}

impl fmt::Display for PostgresEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}/{}", self.user, self.address(), self.database)
    }
}
