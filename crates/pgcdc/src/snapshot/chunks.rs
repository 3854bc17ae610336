//! The chunks of a copy, and which of them is copied next.

use std::collections::VecDeque;
use std::ops::Range;

use super::blocks::{self, OPEN_END};
use super::part::TablePart;
use super::progress::{CopyChunk, CopyProgress};
use super::storage::TableStorage;
use super::tables::PublishedTable;

/// What one statement copies: rows of a range of blocks, or all rows of a part whose rows are in no blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Index of the table, and of its part.
    pub(super) table: usize,
    pub(super) part: usize,
    blocks: Range<u32>,
    /// The blocks were copied in an earlier snapshot: of their rows those that were written since are copied, which may have come
    /// from blocks that were not.
    since: Option<u64>,
}

impl Chunk {
    /// The `COPY` statement.
    pub(super) fn statement(
        &self,
        table: &PublishedTable,
        part: &TablePart,
        binary: bool,
    ) -> String {
        let mut conditions = Vec::new();
        if self.blocks.start > 0 {
            conditions.push(format!("ctid >= '({},0)'", self.blocks.start));
        }
        if self.blocks.end != OPEN_END {
            conditions.push(format!("ctid < '({},0)'", self.blocks.end));
        }
        if let Some(horizon) = self.since {
            // The system column has the lower half of the number; horizons that are too old for it are refused.
            let xid = horizon & u64::from(u32::MAX);
            conditions.push(format!("age(xmin) <= age('{xid}'::xid)"));
        }
        let copied = table.copied(part, &conditions);
        let format = if binary { " (FORMAT binary)" } else { "" };
        format!("COPY {copied} TO STDOUT{format}")
    }

    /// What the handler acknowledges; `None` for a chunk that counts for this snapshot alone.
    pub(super) fn acknowledged(
        &self,
        part: &TablePart,
        progress: Option<&CopyProgress>,
    ) -> Option<CopyChunk> {
        if part.blocks.is_none() || self.since.is_some() {
            return None;
        }
        progress.map(|progress| CopyChunk {
            point: progress.point,
            part: part.oid,
            blocks: self.blocks.clone(),
        })
    }
}

/// The chunks of a table that are left to copy, of so many blocks each.
pub(super) fn chunks_of(
    table: usize,
    storage: &TableStorage,
    progress: Option<&CopyProgress>,
    chunk_blocks: u32,
) -> VecDeque<Chunk> {
    let mut chunks = VecDeque::new();
    for (part, description) in storage.parts.iter().enumerate() {
        let mut add = |blocks, since| {
            chunks.push_back(Chunk {
                table,
                part,
                blocks,
                since,
            });
        };
        let Some(blocks) = description.blocks else {
            add(0..OPEN_END, None);
            continue;
        };
        let done = progress.and_then(|progress| {
            let part = progress.parts.get(&description.oid)?;
            Some((progress.horizon, part.done.clone()))
        });
        let (horizon, done) = done.unwrap_or_default();
        for gap in done.gaps() {
            blocks::chunks(gap, blocks, chunk_blocks).for_each(|range| add(range, None));
        }
        for range in done.ranges() {
            blocks::chunks(range.clone(), blocks, chunk_blocks)
                .for_each(|range| add(range, Some(horizon)));
        }
    }
    chunks
}

/// The chunks of all tables. The next one is of the table that the fewest connections are at work on: tables share the
/// connections, and none is idle while there is work.
#[derive(Debug)]
pub(super) struct ChunkQueue {
    tables: Vec<VecDeque<Chunk>>,
    at_work: Vec<usize>,
}

impl ChunkQueue {
    pub(super) fn new(tables: Vec<VecDeque<Chunk>>) -> Self {
        let at_work = vec![0; tables.len()];
        Self { tables, at_work }
    }

    /// Takes the next chunk.
    pub(super) fn take(&mut self) -> Option<Chunk> {
        let waiting = self.tables.iter().zip(&self.at_work).enumerate();
        let (table, _) = waiting
            .filter(|(_, (chunks, _))| !chunks.is_empty())
            .min_by_key(|(_, (_, at_work))| **at_work)?;
        self.at_work[table] += 1;
        self.tables[table].pop_front()
    }

    /// A chunk of the table is copied.
    pub(super) fn done(&mut self, table: usize) {
        self.at_work[table] -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(blocks: Option<u32>) -> TablePart {
        TablePart {
            oid: 7,
            filenode: 8,
            blocks,
            name: "t".to_owned(),
            has_only: true,
        }
    }

    fn storage(parts: Vec<TablePart>) -> TableStorage {
        TableStorage {
            parts,
            has_key: true,
        }
    }

    #[test]
    fn tables_share_the_connections_and_none_is_idle_while_there_is_work() {
        let large = storage(vec![part(Some(40))]);
        let small = storage(vec![part(Some(5))]);
        let tables = [&small, &large, &small];
        let chunks = tables.iter().enumerate();
        let chunks = chunks.map(|(index, storage)| chunks_of(index, storage, None, 10));
        let mut queue = ChunkQueue::new(chunks.collect());
        let mut take = |done: Option<usize>| {
            done.into_iter().for_each(|table| queue.done(table));
            queue.take().map(|chunk| chunk.table)
        };
        assert_eq!([take(None), take(None), take(None)], [0, 1, 2].map(Some));
        assert_eq!([take(Some(0)), take(Some(2)), take(Some(1))], [Some(1); 3]);
        assert_eq!(take(Some(1)), None);
    }

    #[test]
    fn a_copy_that_goes_on_leaves_out_what_was_not_written_since() {
        let mut progress = CopyProgress {
            point: crate::Lsn(5),
            horizon: (1 << 32) + 42,
            selection: String::new(),
            publications: String::new(),
            parts: [(7, crate::snapshot::PartProgress::default())].into(),
        };
        let storage = storage(vec![part(Some(30)), part(None)]);
        let chunks = |progress: Option<&CopyProgress>| {
            let chunks = chunks_of(0, &storage, progress, 10).into_iter();
            let chunks = chunks.map(|chunk| {
                let part = &storage.parts[chunk.part];
                let counts = chunk.acknowledged(part, progress).is_some();
                (chunk.blocks, chunk.since.is_some(), counts)
            });
            chunks.collect::<Vec<_>>()
        };
        let whole = (0..OPEN_END, false, false);
        let first = [0..10, 10..20, 20..OPEN_END].map(|blocks| (blocks, false, false));
        assert_eq!(
            chunks(None),
            [&first[..], std::slice::from_ref(&whole)].concat()
        );
        let done = CopyChunk {
            point: crate::Lsn(5),
            part: 7,
            blocks: 10..20,
        };
        progress.add(&done);
        progress.add(&CopyChunk {
            point: crate::Lsn(4),
            blocks: 0..10,
            ..done
        });
        assert_eq!(
            chunks(Some(&progress)),
            [
                (0..10, false, true),
                (20..OPEN_END, false, true),
                (10..20, true, false),
                whole
            ]
        );
    }
}
