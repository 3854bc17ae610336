//! Writes what the sink has acknowledged: to the checkpoint first, then to the server.

use crate::acknowledger::Acknowledger;
use crate::checkpoint::{Checkpoint, CheckpointProgress, CheckpointSource};
use crate::wire::StreamStatus;
use crate::{Lsn, ReaderError, TableName};

/// Writes what the sink has acknowledged.
pub(super) struct AckWriter {
    acknowledger: Acknowledger,
    checkpoint: Option<Box<dyn Checkpoint>>,
    /// The content of the checkpoint.
    progress: CheckpointProgress,
    /// The position that may be acknowledged to the server: the checkpoint has it.
    stored: Lsn,
    /// Whether anything was stored since it was loaded.
    has_stored: bool,
}

impl AckWriter {
    /// Loads the checkpoint, if there is one.
    pub(super) fn load(
        acknowledger: Acknowledger,
        mut checkpoint: Option<Box<dyn Checkpoint>>,
    ) -> Result<Self, ReaderError> {
        let progress = match &mut checkpoint {
            Some(checkpoint) => checkpoint.load().map_err(|e| ReaderError::checkpoint(&e))?,
            None => CheckpointProgress::default(),
        };
        Ok(Self {
            acknowledger,
            checkpoint,
            progress,
            stored: Lsn::default(),
            has_stored: false,
        })
    }

    /// Starts after this position, which counts as stored.
    pub(super) fn start_after(&mut self, lsn: Lsn) {
        self.stored = lsn;
    }

    /// Whether anything was stored since the checkpoint was loaded.
    pub(super) fn has_stored(&self) -> bool {
        self.has_stored
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
            let stored = checkpoint.store(&self.progress);
            stored.map_err(|error| ReaderError::checkpoint(&error))?;
        }
        self.has_stored = true;
        if let Some(lsn) = self.progress.position {
            self.stored = lsn;
        }
        Ok(())
    }

    /// Acknowledges the stored position to the server, with the next status update.
    pub(super) fn send(&self, status: &StreamStatus) {
        status.set_applied(self.stored);
    }

    /// What the positions to be stored belong to.
    pub(super) fn set_source(&mut self, source: Option<CheckpointSource>) {
        self.progress.source = source;
    }
}
