//! How far the copy of a table is, for one that goes on in another snapshot.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::blocks::{BlockSet, OPEN_END};
use crate::{Lsn, TableName};

/// The tables whose copy has begun and is not complete.
pub(crate) type CopiesInProgress = BTreeMap<TableName, CopyProgress>;

/// How far the copy of a table is. Blocks are copied as of several snapshots; the changes after the first of them follow in the
/// stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyProgress {
    /// Position of the first snapshot.
    pub point: Lsn,
    /// The oldest transaction that was under way in the first snapshot (`pg_snapshot_xmin`, 64 bits): rows of transactions
    /// before it are in blocks that were copied since.
    pub horizon: u64,
    /// What is selected: columns and row filters, as SQL.
    pub selection: String,
    /// What publishes it: OIDs of its publications and of their entries for it, with the transactions that altered them last.
    pub publications: String,
    /// The table, or its leaf partitions, by OID.
    pub parts: BTreeMap<u32, PartProgress>,
}

/// How far the copy of a table or a leaf partition is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartProgress {
    /// Its file: another one has its rows in other blocks.
    pub filenode: u32,
    /// The blocks that are copied.
    pub done: BlockSet,
}

/// A part of a table's copy: rows of these blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyChunk {
    /// Position of the first snapshot in which the table was copied: [`CopyProgress::point`].
    pub point: Lsn,
    /// OID of the table, or of its leaf partition.
    pub part: u32,
    /// The blocks; [`u32::MAX`] as the end is the end of the table.
    pub blocks: Range<u32>,
}

impl CopyProgress {
    /// A chunk is copied. One of an earlier copy of the table, which has begun anew, does not count.
    pub(crate) fn add(&mut self, chunk: &CopyChunk) {
        if chunk.point == self.point
            && let Some(part) = self.parts.get_mut(&chunk.part)
        {
            part.done.insert(chunk.blocks.clone());
        }
    }

    /// The same copy before its first chunk.
    pub(crate) fn begun(&self) -> Self {
        let mut begun = self.clone();
        for part in begun.parts.values_mut() {
            part.done = BlockSet::default();
        }
        begun
    }

    /// Number of blocks that are copied, without those of an open end.
    pub(super) fn blocks_done(&self) -> u64 {
        let parts = self.parts.values();
        let ranges = parts.flat_map(|part| part.done.ranges());
        let closed = ranges.filter(|range| range.end != OPEN_END);
        closed.map(|range| u64::from(range.end - range.start)).sum()
    }

    /// Whether a chunk is copied.
    pub(crate) fn has_chunks(&self) -> bool {
        let mut parts = self.parts.values();
        parts.any(|part| !part.done.ranges().is_empty())
    }
}
