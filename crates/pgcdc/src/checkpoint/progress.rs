//! What a checkpoint keeps.

use std::collections::BTreeMap;
use std::fmt;

use crate::snapshot::CopiesInProgress;
use crate::{Lsn, TableName};

/// Where the positions of a checkpoint are valid. The reader sets it, and compares it at each opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointSource {
    /// System identifier of the cluster (`IDENTIFY_SYSTEM`): the same on a primary and its standbys.
    pub system: String,
    /// Timeline of the cluster when the position was stored.
    pub timeline: u32,
    /// Database.
    pub database: String,
    /// Slot.
    pub slot: String,
}

impl fmt::Display for CheckpointSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "slot \"{}\" of database \"{}\" in the cluster {}",
            self.slot, self.database, self.system
        )
    }
}

/// What a sink has made durable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckpointProgress {
    /// Where the positions are valid; `None` in a checkpoint of an earlier version, and before the first.
    pub source: Option<CheckpointSource>,
    /// It has every transaction up to this position; `None` before the first.
    pub position: Option<Lsn>,
    /// It has the initial copy of these tables, each as of this position.
    pub copied: BTreeMap<TableName, Lsn>,
    /// It has a part of the initial copy of these tables, with [`SnapshotResume::ByChunk`](crate::SnapshotResume::ByChunk).
    pub copying: CopiesInProgress,
}

impl CheckpointProgress {
    /// The position of the earliest copy, if there is one: the stream must have the changes since.
    pub(crate) fn first_copy(&self) -> Option<Lsn> {
        let begun = self.copying.values().map(|copy| copy.point);
        self.copied.values().copied().chain(begun).min()
    }
}
