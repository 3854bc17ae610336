//! Acknowledgements: what the sink has made durable.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::snapshot::CopyChunk;
use crate::{Lsn, TableName};

/// Acknowledges transactions and table copies to the reader, from any thread. Clones share their state.
#[derive(Debug, Clone, Default)]
pub struct Acknowledger(Arc<Acknowledged>);

#[derive(Debug, Default)]
struct Acknowledged {
    lsn: AtomicU64,
    /// Copies that are acknowledged, and that the reader has not taken yet.
    copied: Mutex<Vec<AcknowledgedCopy>>,
    changed: Notify,
}

/// What of a copy the sink has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AcknowledgedCopy {
    /// A table, as of this position.
    Table(TableName, Lsn),
    /// A chunk of a table.
    Chunk(TableName, CopyChunk),
}

impl Acknowledger {
    /// Waits for the next acknowledgement.
    pub(crate) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Acknowledges every transaction up to this position, which is a [`Commit::end_lsn`](crate::Commit::end_lsn): the sink
    /// has them. A position that is not after the last one has no effect.
    pub fn acknowledge(&self, end_lsn: Lsn) {
        if self.0.lsn.fetch_max(end_lsn.0, Ordering::AcqRel) < end_lsn.0 {
            self.0.changed.notify_one();
        }
    }

    /// The same by the reader's own thread, which looks for it when it has delivered what it has read.
    pub(crate) fn note(&self, end_lsn: Lsn) {
        self.0.lsn.fetch_max(end_lsn.0, Ordering::AcqRel);
    }

    /// Acknowledges the initial copy of a table as of [`CopiedTable::point`](crate::CopiedTable): the sink has it.
    pub fn acknowledge_copy(&self, table: TableName, point: Lsn) {
        self.add_copy(AcknowledgedCopy::Table(table, point));
    }

    /// Acknowledges a chunk of a table's initial copy, [`CopiedChunk::chunk`](crate::CopiedChunk): the sink has its rows.
    pub fn acknowledge_chunk(&self, table: TableName, chunk: CopyChunk) {
        self.add_copy(AcknowledgedCopy::Chunk(table, chunk));
    }

    fn add_copy(&self, copy: AcknowledgedCopy) {
        let mut copied = self.0.copied.lock().unwrap_or_else(PoisonError::into_inner);
        copied.push(copy);
        self.0.changed.notify_one();
    }

    /// Whether copies were acknowledged since they were last taken.
    pub(crate) fn has_copies(&self) -> bool {
        let copied = self.0.copied.lock().unwrap_or_else(PoisonError::into_inner);
        !copied.is_empty()
    }

    /// The copies acknowledged since the last call, in their order.
    pub(crate) fn take_copies(&self) -> Vec<AcknowledgedCopy> {
        std::mem::take(&mut *self.0.copied.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The last acknowledged position.
    #[must_use]
    pub fn acknowledged(&self) -> Lsn {
        Lsn(self.0.lsn.load(Ordering::Acquire))
    }
}
