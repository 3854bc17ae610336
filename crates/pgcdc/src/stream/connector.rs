//! Connects to the server and starts the stream: creates the slot, and checks that slot and publications are as expected.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use pgwire_replication::{PgWireError, ReplicationClient};

use crate::config::{ReaderConfig, Slot};
use crate::slot_monitor::missing_publication;
use crate::{Lsn, ReaderError};

/// Longest wait for the server to accept the stream.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Where a stream begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamPosition {
    /// Resume LSN: nothing after it was delivered.
    pub(super) resume_lsn: Lsn,
    /// Last acknowledged position.
    pub(super) acknowledged: Lsn,
}

/// Opens connections of a stream.
pub(super) struct StreamConnector {
    config: Rc<ReaderConfig>,
    /// Position of the slot (`confirmed_flush_lsn`) at the last connection.
    slot_position: Cell<Lsn>,
}

impl StreamConnector {
    pub(super) fn new(config: Rc<ReaderConfig>) -> Self {
        Self {
            config,
            slot_position: Cell::default(),
        }
    }

    /// Connects for the first time, and creates the slot if it is to be created.
    pub(super) async fn connect_first(
        &self,
        position: StreamPosition,
    ) -> Result<ReplicationClient, ReaderError> {
        self.within_limit(self.connect(position, true)).await
    }

    /// Connects and starts the stream again.
    pub(super) async fn reopen(
        &self,
        position: StreamPosition,
    ) -> Result<ReplicationClient, ReaderError> {
        let mut client = self.within_limit(self.connect(position, false)).await?;
        let started = self.start(&mut client).await;
        started.map_err(|error| self.config.server.error_from_wire(&error))?;
        Ok(client)
    }

    /// Starts the stream.
    pub(super) async fn start(&self, client: &mut ReplicationClient) -> Result<(), PgWireError> {
        let started = async {
            client.start().await?;
            client.wait_started().await
        };
        tokio::time::timeout(START_LIMIT, started)
            .await
            .unwrap_or_else(|_| Err(PgWireError::Protocol(limit_reached())))
    }

    async fn within_limit<T>(
        &self,
        opening: impl Future<Output = Result<T, ReaderError>>,
    ) -> Result<T, ReaderError> {
        let opened = tokio::time::timeout(START_LIMIT, opening).await;
        opened.unwrap_or_else(|_| {
            Err(ReaderError::Connection {
                server: self.config.server.address(),
                reason: limit_reached(),
            })
        })
    }

    async fn connect(
        &self,
        position: StreamPosition,
        is_first: bool,
    ) -> Result<ReplicationClient, ReaderError> {
        let error = |error: PgWireError| self.config.server.error_from_wire(&error);
        let session = self
            .config
            .stream_session(position.resume_lsn, position.acknowledged);
        let mut client = ReplicationClient::connect_gated(session)
            .await
            .map_err(error)?;
        self.require_publications(&mut client).await?;
        if is_first && let Some(command) = self.config.slot.create_command() {
            match client.simple_query(&command).await {
                // 42710: it exists already.
                Err(error)
                    if error.to_string().contains("42710")
                        && matches!(self.config.slot, Slot::Permanent { .. }) => {}
                created => drop(created.map_err(error)?),
            }
        }
        self.require_slot_position(&mut client, position.acknowledged, is_first)
            .await?;
        Ok(client)
    }

    /// Some server versions stream nothing for a publication that does not exist, and report it in their log alone.
    async fn require_publications(
        &self,
        client: &mut ReplicationClient,
    ) -> Result<(), ReaderError> {
        let server = &self.config.server;
        let missing = missing_publication(client, &self.config.publications).await;
        match missing.map_err(|error| server.error_from_wire(&error))? {
            Some(name) => Err(ReaderError::NoPublication {
                server: server.address(),
                database: server.database.clone(),
                publication: name.clone(),
            }),
            None => Ok(()),
        }
    }

    /// When another reader has advanced the slot between two connections, the changes in between are lost to this one, and
    /// the server does not report it.
    async fn require_slot_position(
        &self,
        client: &mut ReplicationClient,
        acknowledged: Lsn,
        is_first: bool,
    ) -> Result<(), ReaderError> {
        let (server, slot) = (&self.config.server, self.config.slot.name());
        let sql = format!(
            "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{slot}'"
        );
        let rows = client
            .simple_query(&sql)
            .await
            .map_err(|error| server.error_from_wire(&error))?;
        let confirmed = rows.first().and_then(|row| row.first().cloned().flatten());
        let confirmed = confirmed.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok());
        // The start of the stream reports a slot that does not exist.
        let Some(confirmed) = confirmed else {
            return Ok(());
        };
        if !is_first && confirmed > acknowledged.max(self.slot_position.get()) {
            return Err(ReaderError::SlotMoved {
                server: server.address(),
                slot: slot.clone(),
                ours: acknowledged,
                stands: confirmed,
            });
        }
        self.slot_position.set(confirmed);
        Ok(())
    }
}

fn limit_reached() -> String {
    format!(
        "the stream did not begin within {} s",
        START_LIMIT.as_secs()
    )
}
