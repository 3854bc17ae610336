//! Exports the snapshot in which the sessions copy.

use tokio_util::sync::CancellationToken;

use super::error::unexpected_answer;
use crate::slots::creation::create_slot;
use crate::wire::ReplicationSession;
use crate::{Lsn, ReaderConfig, ReaderError};

/// A snapshot that sessions can take, for as long as the connection of its slot is open and runs no other command.
pub(super) struct ExportedSnapshot {
    name: String,
    point: Lsn,
    slot: ReplicationSession,
    slot_name: String,
}

impl ExportedSnapshot {
    /// Creates a temporary slot, which exports the snapshot of its creation.
    pub(super) async fn create(
        config: &ReaderConfig,
        stop: &CancellationToken,
    ) -> Result<Self, ReaderError> {
        let server = &config.server;
        let slot = ReplicationSession::open(server).await;
        let mut slot = slot.map_err(|error| server.reader_error(&error))?;
        // A slot's name has at most 63 bytes, all of them ASCII.
        let name = config.slot.name().as_str();
        let name = &name[..name.len().min(58)];
        let slot_name = format!("{name}_copy");
        let command = format!(
            "CREATE_REPLICATION_SLOT {slot_name} TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT"
        );
        let rows = create_slot(&mut slot, config, stop, &command).await?;
        let text = |index: usize| rows.first()?.get(index)?.as_deref();
        let point = text(1).and_then(|lsn| lsn.parse().ok());
        match (point, text(2)) {
            (Some(point), Some(snapshot)) => Ok(Self {
                name: snapshot.to_owned(),
                point,
                slot,
                slot_name,
            }),
            _ => Err(unexpected_answer(config)),
        }
    }

    /// Drops the slot, once every session has taken the snapshot: the next one of its name can be made at once.
    pub(super) async fn close(mut self) {
        let command = format!("DROP_REPLICATION_SLOT {}", self.slot_name);
        // Otherwise it ends with the connection.
        if let Err(error) = self.slot.query(&command).await {
            tracing::debug!(%error, slot = self.slot_name, "dropping the slot of a snapshot");
        }
    }

    /// The name for `SET TRANSACTION SNAPSHOT`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The consistent point of the slot: the snapshot contains every transaction that committed before it.
    pub(super) fn point(&self) -> Lsn {
        self.point
    }
}
