//! What the handler learns of an initial copy besides its rows.

use std::sync::Arc;

use super::progress::{CopyChunk, CopyProgress};
use crate::clock::UnixNanos;
use crate::{Lsn, Relation};

/// The tables of an initial copy, before its first row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPlan {
    /// The position of the snapshot: the rows contain every transaction that committed before it.
    pub point: Lsn,
    /// Time of the snapshot, on PostgreSQL's clock.
    pub taken_at: UnixNanos,
    /// The tables to be copied, without those that the checkpoint lists as copied.
    pub tables: Vec<PlannedTable>,
}

/// A table that is to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedTable {
    /// The table as it is published: without the columns that a column list leaves out.
    pub relation: Arc<Relation>,
    /// Number of rows in the server's statistics; `None` for a table that was never analysed.
    pub estimated_rows: Option<u64>,
    /// Number of chunks that are left to copy.
    pub chunks: usize,
    /// Set when the copy goes on where an earlier one ended: a sink keeps the rows that it has. Otherwise it begins anew, and a
    /// sink that has rows of it empties it.
    pub resumed: Option<ResumedTable>,
}

/// A table whose copy goes on. A row of it may come again, and changes of it that the rows contain already come after them: a sink
/// that applies both by the table's key ends with the table's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResumedTable {
    /// Position of the first snapshot: the stream delivers the changes of the table after it.
    pub point: Lsn,
    /// Number of blocks whose rows were delivered before.
    pub blocks_done: u64,
}

impl ResumedTable {
    pub(super) fn of(progress: &CopyProgress) -> Self {
        Self {
            point: progress.point,
            blocks_done: progress.blocks_done(),
        }
    }
}

/// A chunk of a table whose rows were delivered completely.
#[derive(Debug, Clone, Copy)]
pub struct CopiedChunk<'a> {
    /// The table.
    pub relation: &'a Arc<Relation>,
    /// The chunk, for [`Acknowledger::acknowledge_chunk`](crate::Acknowledger::acknowledge_chunk).
    pub chunk: &'a CopyChunk,
    /// Number of rows.
    pub rows: u64,
}

/// A table whose initial copy was delivered completely.
#[derive(Debug, Clone, Copy)]
pub struct CopiedTable<'a> {
    /// The table.
    pub relation: &'a Arc<Relation>,
    /// The position as of which the rows were copied, or of the first snapshot of a copy that was resumed by chunk: the stream
    /// delivers the changes after it.
    pub point: Lsn,
    /// Number of rows; of a copy that was resumed by chunk, those since.
    pub rows: u64,
    /// Number of tables that remain to be copied.
    pub left: usize,
}

/// Position of a row in the initial copy: `source.snapshot` in Debezium's envelope. A row that is both the first and the last
/// is reported as the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotRow {
    /// The first of all.
    First,
    /// The first of its table.
    FirstInTable,
    /// Any other.
    Inside,
    /// The last of its table.
    LastInTable,
    /// The last of all.
    Last,
}
