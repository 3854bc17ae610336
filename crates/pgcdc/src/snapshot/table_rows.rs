//! Delivers the rows of a copy, with their place in it, and says which tables and chunks are complete.

use std::sync::Arc;

use super::plan::{CopiedChunk, CopiedTable, SnapshotRow};
use super::progress::{CopyChunk, CopyProgress};
use super::rows::{CopyError, RowMessages, RowReader};
use crate::delivery::{Delivery, Flow};
use crate::event::{Event, Transaction};
use crate::{ReaderError, Relation};

/// The tables of a copy, and what of them was delivered.
pub(super) struct TableRows {
    pub(super) binary: bool,
    pub(super) snapshot: Transaction,
    pub(super) tables: Vec<TableCopy>,
    reader: RowReader,
    /// Whether a row was delivered.
    begun: bool,
    /// A table that has ended, and whose last row waits: the next row decides whether it is the last of all.
    ended: Option<usize>,
}

/// The copy of one table.
pub(super) struct TableCopy {
    relation: Arc<Relation>,
    /// The row that waits for the next one, because the last row is marked as such; none when it is empty.
    waiting: Vec<u8>,
    /// Rows delivered.
    rows: u64,
    /// Chunks that are not complete.
    chunks_left: usize,
    /// Complete chunks that the handler is to be told of when the waiting row is delivered, with their numbers of rows.
    complete: Vec<(CopyChunk, u64)>,
    is_complete: bool,
    /// For a copy that can go on in another snapshot.
    pub(super) progress: Option<CopyProgress>,
}

impl TableCopy {
    pub(super) fn new(
        relation: Arc<Relation>,
        chunks: usize,
        progress: Option<CopyProgress>,
    ) -> Self {
        Self {
            relation,
            waiting: Vec::new(),
            rows: 0,
            chunks_left: chunks,
            complete: Vec::new(),
            is_complete: false,
            progress,
        }
    }
}

impl TableRows {
    pub(super) fn new(binary: bool, snapshot: Transaction, tables: Vec<TableCopy>) -> Self {
        Self {
            binary,
            snapshot,
            tables,
            reader: RowReader::default(),
            begun: false,
            ended: None,
        }
    }

    /// Delivers rows of a table; the last of them waits for the next. Returns their number besides whether to go on.
    pub(super) fn rows<'a, H: FnMut(Event<'_>) -> Flow>(
        &mut self,
        table: usize,
        data: impl Iterator<Item = &'a [u8]>,
        messages: &mut RowMessages,
        delivery: &mut Delivery<H>,
    ) -> Result<(u64, Flow), ReaderError> {
        let (mut count, mut last) = (0, None);
        for message in data {
            let row = messages.row(message, self.binary);
            let Some(row) = row.map_err(|error| self.malformed(table, &error))? else {
                continue;
            };
            count += 1;
            let flow = match last.replace(row) {
                Some(previous) => self.row(table, previous, delivery)?,
                None => self.first_of_batch(table, delivery)?,
            };
            if flow.is_break() {
                return Ok((count, flow));
            }
        }
        if let Some(last) = last {
            let waiting = &mut self.tables[table].waiting;
            waiting.clear();
            waiting.extend_from_slice(last);
        }
        Ok((count, Flow::Continue(())))
    }

    /// There is another row of this table: delivers those that waited for it.
    fn first_of_batch<H: FnMut(Event<'_>) -> Flow>(
        &mut self,
        table: usize,
        delivery: &mut Delivery<H>,
    ) -> Result<Flow, ReaderError> {
        if self.end_table(false, delivery)?.is_break() {
            return Ok(Flow::Break(()));
        }
        let waiting = std::mem::take(&mut self.tables[table].waiting);
        if waiting.is_empty() {
            return Ok(Flow::Continue(()));
        }
        let flow = self.row(table, &waiting, delivery)?;
        self.tables[table].waiting = waiting;
        if flow.is_break() {
            return Ok(flow);
        }
        Ok(self.end_chunks(table, delivery))
    }

    /// A chunk of a table was received completely.
    pub(super) fn chunk_ends<H: FnMut(Event<'_>) -> Flow>(
        &mut self,
        table: usize,
        chunk: Option<CopyChunk>,
        rows: u64,
        delivery: &mut Delivery<H>,
    ) -> Result<Flow, ReaderError> {
        let copy = &mut self.tables[table];
        copy.chunks_left -= 1;
        copy.complete.extend(chunk.map(|chunk| (chunk, rows)));
        match (copy.waiting.is_empty(), copy.chunks_left) {
            (true, 0) => {
                if self.end_chunks(table, delivery).is_break() {
                    return Ok(Flow::Break(()));
                }
                Ok(self.complete(table, delivery))
            }
            (true, _) => Ok(self.end_chunks(table, delivery)),
            (false, 0) => {
                let flow = self.end_table(false, delivery)?;
                self.ended = Some(table);
                Ok(flow)
            }
            (false, _) => Ok(Flow::Continue(())),
        }
    }

    /// Every chunk was received: delivers the last row.
    pub(super) fn end<H: FnMut(Event<'_>) -> Flow>(
        &mut self,
        delivery: &mut Delivery<H>,
    ) -> Result<Flow, ReaderError> {
        self.end_table(true, delivery)
    }

    /// Delivers the last row of a table that has ended; `is_last` when it is the last of all.
    fn end_table<H: FnMut(Event<'_>) -> Flow>(
        &mut self,
        is_last: bool,
        delivery: &mut Delivery<H>,
    ) -> Result<Flow, ReaderError> {
        let Some(table) = self.ended.take() else {
            return Ok(Flow::Continue(()));
        };
        let place = if is_last {
            SnapshotRow::Last
        } else {
            SnapshotRow::LastInTable
        };
        let row = std::mem::take(&mut self.tables[table].waiting);
        if self.row_at(table, &row, place, delivery)?.is_break()
            || self.end_chunks(table, delivery).is_break()
        {
            return Ok(Flow::Break(()));
        }
        Ok(self.complete(table, delivery))
    }

    fn row<H: FnMut(Event<'_>) -> Flow>(
        &mut self,
        table: usize,
        row: &[u8],
        delivery: &mut Delivery<H>,
    ) -> Result<Flow, ReaderError> {
        let place = match (self.begun, self.tables[table].rows) {
            (false, _) => SnapshotRow::First,
            (true, 0) => SnapshotRow::FirstInTable,
            (true, _) => SnapshotRow::Inside,
        };
        self.row_at(table, row, place, delivery)
    }

    fn row_at<H: FnMut(Event<'_>) -> Flow>(
        &mut self,
        table: usize,
        row: &[u8],
        place: SnapshotRow,
        delivery: &mut Delivery<H>,
    ) -> Result<Flow, ReaderError> {
        let copy = &mut self.tables[table];
        let columns = copy.relation.columns.len();
        let tuple = match self.reader.read(row, columns, self.binary) {
            Ok(tuple) => tuple,
            Err(error) => return Err(malformed(&copy.relation, &error)),
        };
        self.begun = true;
        copy.rows += 1;
        let index = copy.rows - 1;
        Ok(delivery.row(&copy.relation, tuple, place, &self.snapshot, index))
    }

    /// Tells the handler of the chunks of which every row was delivered.
    fn end_chunks<H: FnMut(Event<'_>) -> Flow>(
        &mut self,
        table: usize,
        delivery: &mut Delivery<H>,
    ) -> Flow {
        let copy = &mut self.tables[table];
        for (chunk, rows) in copy.complete.drain(..) {
            if let Some(progress) = &mut copy.progress {
                progress.add(&chunk);
            }
            delivery.chunk_is_copied(CopiedChunk {
                relation: &copy.relation,
                chunk: &chunk,
                rows,
            })?;
        }
        Flow::Continue(())
    }

    fn complete<H: FnMut(Event<'_>) -> Flow>(
        &mut self,
        table: usize,
        delivery: &mut Delivery<H>,
    ) -> Flow {
        self.tables[table].is_complete = true;
        let left = self.tables.iter().filter(|table| !table.is_complete);
        let left = left.count();
        let copy = &self.tables[table];
        let first = copy.progress.as_ref().map(|progress| progress.point);
        delivery.table_is_copied(CopiedTable {
            relation: &copy.relation,
            point: first.unwrap_or(self.snapshot.commit_lsn),
            rows: copy.rows,
            left,
        })
    }

    fn malformed(&self, table: usize, error: &CopyError) -> ReaderError {
        malformed(&self.tables[table].relation, error)
    }
}

fn malformed(relation: &Relation, error: &CopyError) -> ReaderError {
    ReaderError::Copy {
        source_of_rows: relation.to_string(),
        reason: error.to_string(),
    }
}
