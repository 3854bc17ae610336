//! Writes what the sink has acknowledged: to the checkpoint first, then to the server.

use std::time::Duration;

use pgwire_replication::{Lsn as WireLsn, ReplicationClient};

use crate::acknowledger::Acknowledger;
use crate::checkpoint::{Checkpoint, CheckpointProgress};
use crate::{Lsn, ReaderError, SlotName, TableName};

/// Longest wait for the server to receive the last acknowledged position.
const LAST_STATUS_LIMIT: Duration = Duration::from_secs(5);

/// Writes what the sink has acknowledged.
pub(super) struct AckWriter {
    acknowledger: Acknowledger,
    checkpoint: Option<Box<dyn Checkpoint>>,
    /// The content of the checkpoint.
    progress: CheckpointProgress,
    /// The position that may be acknowledged to the server: the checkpoint has it.
    stored: Lsn,
}

impl AckWriter {
    /// Loads the checkpoint, if there is one.
    pub(super) fn load(
        acknowledger: Acknowledger,
        mut checkpoint: Option<Box<dyn Checkpoint>>,
    ) -> Result<Self, ReaderError> {
        let progress = match &mut checkpoint {
            Some(checkpoint) => checkpoint.load().map_err(ReaderError::checkpoint)?,
            None => CheckpointProgress::default(),
        };
        Ok(Self {
            acknowledger,
            checkpoint,
            progress,
            stored: Lsn::default(),
        })
    }

    /// Starts after this position, which counts as stored.
    pub(super) fn start_after(&mut self, lsn: Lsn) {
        self.stored = lsn;
    }

    pub(super) fn has_checkpoint(&self) -> bool {
        self.checkpoint.is_some()
    }

    pub(super) fn progress(&self) -> &CheckpointProgress {
        &self.progress
    }

    /// Whether the checkpoint lists this table as copied.
    pub(super) fn is_copied(&self, table: &TableName) -> bool {
        self.progress.copied.contains_key(table)
    }

    /// Waits for the next acknowledgement.
    pub(super) async fn changed(&self) {
        self.acknowledger.changed().await;
    }

    /// The last acknowledged position.
    pub(super) fn acknowledged(&self) -> Lsn {
        self.acknowledger.acknowledged()
    }

    /// The position that may be acknowledged to the server.
    pub(super) fn stored(&self) -> Lsn {
        self.stored
    }

    /// Whether a position was acknowledged that is not stored.
    pub(super) fn is_pending(&self) -> bool {
        self.acknowledged() > self.stored
    }

    /// Stores what was acknowledged in the checkpoint. The server comes after it: see [`AckWriter::send`].
    pub(super) fn store(&mut self) -> Result<(), ReaderError> {
        let copies = self.acknowledger.take_copies();
        if !self.is_pending() && copies.is_empty() {
            return Ok(());
        }
        if self.is_pending() {
            self.progress.position = Some(self.acknowledged());
        }
        self.progress.copied.extend(copies);
        if let Some(checkpoint) = &mut self.checkpoint {
            checkpoint
                .store(&self.progress)
                .map_err(ReaderError::checkpoint)?;
        }
        if let Some(lsn) = self.progress.position {
            self.stored = lsn;
        }
        Ok(())
    }

    /// Acknowledges the stored position to the server, with the next status update.
    pub(super) fn send(&self, client: &ReplicationClient) {
        client.update_applied_lsn(WireLsn::from_u64(self.stored.0));
    }

    /// Acknowledges the stored position, and waits until it is sent: a status update is due only once in an interval, and
    /// what is not acknowledged when the connection closes comes again.
    pub(super) async fn send_last(
        &self,
        client: &ReplicationClient,
        slot: &SlotName,
        status_interval: Duration,
    ) {
        let limit = (status_interval + Duration::from_millis(500)).min(LAST_STATUS_LIMIT);
        let sent = async {
            while client.feedback_pending_since().is_some() && client.is_running() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(limit, sent).await.is_err() {
            tracing::warn!(
                %slot,
                lsn = %self.stored,
                "the server has not heard of the last position; what lies before it comes again"
            );
        }
    }
}
