//! Copies tables in one snapshot over several connections, on the reader's thread: the server's processes make the rows ready, and
//! a row goes from its socket to the handler without a copy, a queue or an allocation.

use std::sync::Arc;
use std::task::Poll;

use tokio_util::sync::CancellationToken;

use super::chunks::{Chunk, ChunkQueue, chunks_of};
use super::error::copy_error;
use super::plan::{PlannedTable, ResumedTable, SnapshotPlan};
use super::progress::CopiesInProgress;
use super::resumption::{self, SnapshotPoint};
use super::rows::RowMessages;
use super::storage::TableStorage;
use super::table_rows::{TableCopy, TableRows};
use super::tables::PublishedTable;
use super::taking::take_snapshot;
use crate::delivery::{Delivery, Flow};
use crate::event::Event;
use crate::reader::config::SnapshotResume;
use crate::wire::CopySession;
use crate::{ReaderConfig, ReaderError, Server};

/// A copy in progress.
pub(crate) struct SnapshotCopy<'a> {
    server: &'a Server,
    tables: &'a [PublishedTable],
    storages: Vec<TableStorage>,
    queue: ChunkQueue,
    /// Kept open to the end: the locks of the first keep the tables' files as they are.
    connections: Vec<Connection>,
    /// The connection that was read last: the next read begins after it.
    last: usize,
    rows: TableRows,
    is_over: bool,
}

/// A session, and what it copies.
struct Connection {
    session: CopySession,
    work: Option<Work>,
}

struct Work {
    chunk: Chunk,
    messages: RowMessages,
    /// Rows received.
    rows: u64,
}

impl<'a> SnapshotCopy<'a> {
    /// Exports a snapshot and begins to copy these tables in it; those of which there is progress go on.
    pub(crate) async fn begin<H: FnMut(Event<'_>) -> Flow>(
        config: &'a ReaderConfig,
        tables: &'a [PublishedTable],
        known: &CopiesInProgress,
        delivery: &mut Delivery<H>,
        stop: &CancellationToken,
    ) -> Result<(Self, SnapshotPlan), ReaderError> {
        let settings = config.snapshot.unwrap_or_default();
        let taken = take_snapshot(config, settings, tables, stop).await?;
        let point = SnapshotPoint {
            point: taken.snapshot.commit_lsn,
            horizon: taken.horizon,
            resume_lsn: delivery.resume_lsn(),
        };
        let chunk_blocks = settings.chunk_blocks(taken.block_size);
        let mut plan = SnapshotPlan {
            point: point.point,
            taken_at: taken.snapshot.commit_time,
            tables: Vec::new(),
        };
        let (mut chunks, mut copies) = (Vec::new(), Vec::new());
        for (index, (table, storage)) in tables.iter().zip(&taken.storages).enumerate() {
            let progress = match settings.resume {
                SnapshotResume::ByChunk => {
                    let known = known.get(table.name());
                    resumption::progress(table, storage, known, point)
                }
                SnapshotResume::ByTable => None,
            };
            let resumed = progress.as_ref().filter(|progress| progress.has_chunks());
            let left = chunks_of(index, storage, progress.as_ref(), chunk_blocks);
            let relation = delivery.describe(&table.description(), table.catalogue.as_deref());
            plan.tables.push(PlannedTable {
                relation: Arc::clone(&relation),
                estimated_rows: table.estimated_rows,
                chunks: left.len(),
                resumed: resumed.map(ResumedTable::of),
            });
            copies.push(TableCopy::new(relation, left.len(), progress));
            chunks.push(left);
        }
        let connection = |session| Connection {
            session,
            work: None,
        };
        let copy = Self {
            server: &config.server,
            tables,
            queue: ChunkQueue::new(chunks),
            storages: taken.storages,
            connections: taken.sessions.into_iter().map(connection).collect(),
            last: 0,
            rows: TableRows::new(config.binary, taken.snapshot, copies),
            is_over: false,
        };
        Ok((copy, plan))
    }

    /// The progress of the tables that can go on in another snapshot.
    pub(crate) fn progress(&self) -> CopiesInProgress {
        let copies = self.tables.iter().zip(&self.rows.tables);
        let of = |(table, copy): (&PublishedTable, &TableCopy)| -> Option<_> {
            Some((table.name().clone(), copy.progress.clone()?))
        };
        copies.filter_map(of).collect()
    }

    /// Delivers what is received next. `None` when the copy is complete.
    pub(crate) async fn next<H: FnMut(Event<'_>) -> Flow>(
        &mut self,
        delivery: &mut Delivery<H>,
    ) -> Result<Option<Flow>, ReaderError> {
        if self.is_over {
            return Ok(None);
        }
        self.give_work().await?;
        if self.connections.iter().all(|c| c.work.is_none()) {
            self.is_over = true;
            return self.rows.end(delivery).map(Some);
        }
        let connection = self.received().await?;
        let Connection { session, work } = &mut self.connections[connection];
        let Some(Work {
            chunk,
            messages,
            rows,
        }) = work
        else {
            return Ok(Some(Flow::Continue(())));
        };
        let table = chunk.table;
        let (received, flow) = self.rows.rows(table, session.data(), messages, delivery)?;
        *rows += received;
        if flow.is_break() || session.is_copying() {
            return Ok(Some(flow));
        }
        let part = &self.storages[table].parts[chunk.part];
        let progress = self.rows.tables[table].progress.as_ref();
        let (acknowledged, rows) = (chunk.acknowledged(part, progress), *rows);
        *work = None;
        self.queue.done(table);
        let flow = self.rows.chunk_ends(table, acknowledged, rows, delivery);
        flow.map(Some)
    }

    /// Gives the next chunks to the connections that have none.
    async fn give_work(&mut self) -> Result<(), ReaderError> {
        for connection in &mut self.connections {
            if connection.work.is_some() {
                continue;
            }
            let Some(chunk) = self.queue.take() else {
                break;
            };
            let part = &self.storages[chunk.table].parts[chunk.part];
            let statement = chunk.statement(&self.tables[chunk.table], part, self.rows.binary);
            let begun = connection.session.begin(&statement).await;
            begun.map_err(|error| copy_error(&error, self.server))?;
            connection.work = Some(Work {
                chunk,
                messages: RowMessages::default(),
                rows: 0,
            });
        }
        Ok(())
    }

    /// Waits until one of the connections has received rows, or the end of its chunk; each has its turn.
    async fn received(&mut self) -> Result<usize, ReaderError> {
        let count = self.connections.len();
        let received = std::future::poll_fn(|cx| {
            for step in 1..=count {
                let index = (self.last + step) % count;
                let Connection { session, work } = &mut self.connections[index];
                if work.is_some()
                    && let Poll::Ready(read) = session.poll_data(cx)
                {
                    self.last = index;
                    return Poll::Ready(read.map(|()| index));
                }
            }
            Poll::Pending
        });
        received
            .await
            .map_err(|error| copy_error(&error, self.server))
    }
}
