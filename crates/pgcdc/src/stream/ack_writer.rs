//! Writes what the sink has acknowledged: to the checkpoint first, then to the server.

use crate::checkpoint::{Checkpoint, CheckpointProgress, CheckpointSource};
use crate::delivery::acknowledger::{AcknowledgedCopy, Acknowledger};
use crate::snapshot::CopiesInProgress;
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

    /// Whether anything was acknowledged that is not stored.
    pub(super) fn is_pending(&self) -> bool {
        self.has_new_position() || self.acknowledger.has_copies()
    }

    fn has_new_position(&self) -> bool {
        self.acknowledged() > self.stored
    }

    /// Tables are copied in a snapshot, with the progress that they go on from. What was stored of a copy that begins anew is
    /// removed at once: the sink is about to do so with its rows.
    pub(super) fn copies_begin(&mut self, copies: &CopiesInProgress) -> Result<(), ReaderError> {
        let stored = std::mem::take(&mut self.progress.copying);
        let mut begins_anew = stored.keys().any(|table| !copies.contains_key(table));
        for (table, copy) in copies {
            let goes_on = stored
                .get(table)
                .filter(|stored| stored.point == copy.point);
            begins_anew |= goes_on.is_none() && stored.contains_key(table);
            let begun = goes_on.cloned().unwrap_or_else(|| copy.begun());
            self.progress.copying.insert(table.clone(), begun);
        }
        if begins_anew {
            self.write()?;
        }
        Ok(())
    }

    /// Stores what was acknowledged in the checkpoint. The server comes after it: see [`AckWriter::send`].
    pub(super) fn store(&mut self) -> Result<(), ReaderError> {
        let copies = self.acknowledger.take_copies();
        let has_new_position = self.has_new_position();
        if !has_new_position && copies.is_empty() {
            return Ok(());
        }
        if has_new_position {
            self.progress.position = Some(self.acknowledged());
        }
        for copy in copies {
            match copy {
                AcknowledgedCopy::Table(table, point) => {
                    self.progress.copying.remove(&table);
                    self.progress.copied.insert(table, point);
                }
                AcknowledgedCopy::Chunk(table, chunk) => {
                    if let Some(copy) = self.progress.copying.get_mut(&table) {
                        copy.add(&chunk);
                    }
                }
            }
        }
        self.write()?;
        self.has_stored = true;
        if let Some(lsn) = self.progress.position {
            self.stored = lsn;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), ReaderError> {
        if let Some(checkpoint) = &mut self.checkpoint {
            let stored = checkpoint.store(&self.progress);
            stored.map_err(|error| ReaderError::checkpoint(&error))?;
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
