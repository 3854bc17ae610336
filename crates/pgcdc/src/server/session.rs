//! A session that runs SQL: the same server, user and encryption as the stream, without replication.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::ReaderError;
use crate::server::Server;
use crate::wire::{TextRows, WireError};

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
    /// Opens a session.
    pub(crate) async fn open(server: &Server) -> Result<Self, ReaderError> {
        let opened = Self::connect(server).await;
        opened.map_err(|error| server.reader_error(&error))
    }

    async fn connect(server: &Server) -> Result<Self, WireError> {
        let mut config = tokio_postgres::Config::new();
        let name = server.application_name.as_deref();
        config
            .options(server.sql_session_options())
            .application_name(name.unwrap_or("pgcdc"));
        let connected = server.client(&config).await;
        let (client, connection) = connected.map_err(WireError::from)?;
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
            Ok(answer) => answer.map_err(|error| WireError::from(&error)),
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
}
