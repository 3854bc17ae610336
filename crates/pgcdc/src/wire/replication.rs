//! A replication session before its stream: commands and queries.

use pgwire_replication::protocol::framing::write_query;

use super::encryption::over_modes;
use super::query::{self, QUERY_LIMIT, TextRows, within};
use super::startup::{self, REPLICATION};
use super::stream::{ReplicationStream, StreamSettings};
use super::{Socket, WireError};
use crate::{Lsn, Server};

/// A replication session (`replication=database`) that does not stream yet.
pub(crate) struct ReplicationSession {
    socket: Socket,
    pid: Option<u32>,
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SystemIdentity {
    /// Identifier of the cluster: the same on a primary and its standbys.
    pub(crate) system: String,
    /// The current timeline.
    pub(crate) timeline: u32,
    /// The end of its WAL.
    pub(crate) wal_end: Lsn,
}

impl ReplicationSession {
    /// Connects and authenticates.
    pub(crate) async fn open(server: &Server) -> Result<Self, WireError> {
        let opening = |server: Server| async move {
            let mut socket = Socket::connect(&server).await?;
            let pid = startup::start(&mut socket, &server, &REPLICATION).await?;
            Ok(Self { socket, pid })
        };
        over_modes(server, opening).await
    }

    /// Id of the server's process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Runs a query, or a command that answers soon.
    pub(crate) async fn query(&mut self, sql: &str) -> Result<TextRows, WireError> {
        within(QUERY_LIMIT, self.command(sql)).await
    }

    /// Runs a query or a command, however long it takes. When the future is dropped the session is of no use any more.
    pub(crate) async fn command(&mut self, sql: &str) -> Result<TextRows, WireError> {
        query::run(&mut self.socket, sql).await
    }

    /// `IDENTIFY_SYSTEM`.
    pub(crate) async fn identify(&mut self) -> Result<SystemIdentity, WireError> {
        let rows = self.query("IDENTIFY_SYSTEM").await?;
        let text = |index: usize| rows.first()?.get(index)?.clone();
        let identity = || {
            Some(SystemIdentity {
                system: text(0)?,
                timeline: text(1)?.parse().ok()?,
                wal_end: text(2)?.parse().ok()?,
            })
        };
        identity().ok_or_else(|| {
            WireError::Protocol("its answer to IDENTIFY_SYSTEM is not as expected".to_owned())
        })
    }

    /// Starts the stream.
    pub(crate) async fn start(
        mut self,
        command: &str,
        settings: StreamSettings,
    ) -> Result<ReplicationStream, WireError> {
        let started = async {
            write_query(&mut self.socket, command).await?;
            // Notices may come before.
            while startup::read(&mut self.socket).await?.tag != b'W' {}
            Ok(())
        };
        within(QUERY_LIMIT, started).await?;
        ReplicationStream::new(self.socket, settings)
    }
}
