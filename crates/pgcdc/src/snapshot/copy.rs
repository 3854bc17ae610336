//! Copies tables in one snapshot over several connections, on the reader's thread: the server's processes make the rows ready, and
//! a row goes from its socket to the handler without a copy, a queue or an allocation.

use std::sync::Arc;
use std::task::Poll;

use postgres_protocol::escape::escape_literal;
use tokio_util::sync::CancellationToken;

use super::chunks::{Chunk, ChunkQueue, chunks_of};
use super::export::{ExportedSnapshot, unexpected_answer};
use super::plan::{PlannedTable, ResumedTable, SnapshotPlan};
use super::progress::CopiesInProgress;
use super::resumption::{self, SnapshotPoint};
use super::rows::RowMessages;
use super::storage::{self, Storages, TableStorage};
use super::table_rows::{TableCopy, TableRows};
use super::tables::PublishedTable;
use crate::clock::UnixNanos;
use crate::config::{SnapshotConfig, SnapshotResume};
use crate::delivery::{Delivery, Flow};
use crate::event::{Event, Transaction};
use crate::wire::{CopySession, WireError};
use crate::{ReaderConfig, ReaderError, Server, Xid};

/// How often a snapshot is taken again because a table was rewritten just after it.
const MOST_SNAPSHOTS: u32 = 20;

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

/// Sessions that have taken one snapshot, and the tables in it.
struct Taken {
    sessions: Vec<CopySession>,
    snapshot: Transaction,
    horizon: u64,
    block_size: u32,
    storages: Vec<TableStorage>,
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
        let chunk_blocks = chunk_blocks(settings, taken.block_size);
        let mut plan = SnapshotPlan {
            point: point.point,
            taken_at: taken.snapshot.commit_time,
            tables: Vec::new(),
        };
        let (mut chunks, mut copies) = (Vec::new(), Vec::new());
        for (index, (table, storage)) in tables.iter().zip(&taken.storages).enumerate() {
            let progress = match settings.resume {
                SnapshotResume::ByChunk if storage.has_key => {
                    let known = known.get(table.name());
                    Some(resumption::progress(table, storage, known, point))
                }
                _ => None,
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
        let (received, flow) = self
            .rows
            .rows(table, session.data(), messages, delivery)?;
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
            let statement =
                chunk.statement(&self.tables[chunk.table], part, self.rows.binary);
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

/// Blocks of a chunk.
fn chunk_blocks(settings: SnapshotConfig, block_size: u32) -> u32 {
    let blocks = settings.chunk / u64::from(block_size.max(1));
    u32::try_from(blocks).unwrap_or(u32::MAX).max(1)
}

/// Takes a snapshot in which no table was rewritten since: such a table would be empty in it, though its rows are in no change.
async fn take_snapshot(
    config: &ReaderConfig,
    settings: SnapshotConfig,
    tables: &[PublishedTable],
    stop: &CancellationToken,
) -> Result<Taken, ReaderError> {
    for _ in 0..MOST_SNAPSHOTS {
        let (taken, rewritten) = try_snapshot(config, settings, tables, stop).await?;
        match rewritten.and_then(|index| tables.get(index)) {
            None => return Ok(taken),
            Some(table) => {
                tracing::warn!(table = %table.name(), "the table was truncated or rewritten while the snapshot of the initial copy was taken; taking another");
            }
        }
    }
    Err(ReaderError::Copy {
        source_of_rows: config.server.address(),
        reason: format!(
            "a table was truncated or rewritten each time that a snapshot was taken ({MOST_SNAPSHOTS} times); copy while no table is rewritten"
        ),
    })
}

/// Takes a snapshot, and returns the index of a table that was rewritten meanwhile, if there is one.
async fn try_snapshot(
    config: &ReaderConfig,
    settings: SnapshotConfig,
    tables: &[PublishedTable],
    stop: &CancellationToken,
) -> Result<(Taken, Option<usize>), ReaderError> {
    let server = &config.server;
    let wrong = |error: WireError| copy_error(&error, server);
    let open = || CopySession::open(server, config.max_message);
    let mut first = open().await.map_err(wrong)?;
    let (block_size, before) = look(&mut first, config, tables).await?;
    let chunk_blocks = chunk_blocks(settings, block_size);
    let chunks = before.iter().enumerate();
    let chunks = chunks.map(|(index, storage)| chunks_of(index, storage, None, chunk_blocks).len());
    let connections = settings.connections.clamp(1, chunks.sum::<usize>().max(1));
    // The transaction id of the rows' events; a standby assigns none.
    let now = "SELECT CASE WHEN pg_is_in_recovery() THEN 0 ELSE txid_current() END % 4294967296, \
               (extract(epoch FROM now()) * 1000000)::bigint - 946684800000000";
    let now = first.query(now).await.map_err(wrong)?;
    let number = |index: usize| now.first()?.get(index)?.as_deref()?.parse::<i64>().ok();
    let (xid, at) = number(0)
        .zip(number(1))
        .ok_or_else(|| unexpected_answer(config))?;
    let mut sessions = vec![first];
    while sessions.len() < connections {
        sessions.push(open().await.map_err(wrong)?);
    }
    let exported = ExportedSnapshot::create(config, stop).await?;
    let point = exported.point();
    let take = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}",
        escape_literal(exported.name())
    );
    for session in &mut sessions {
        session.query(&take).await.map_err(wrong)?;
    }
    exported.close().await;
    let first = &mut sessions[0];
    let locks: Vec<_> = tables.iter().map(PublishedTable::lock).collect();
    first.query(&locks.join("; ")).await.map_err(wrong)?;
    let (_, storages) = look(first, config, tables).await?;
    let horizon = first
        .query("SELECT pg_snapshot_xmin(pg_current_snapshot())")
        .await
        .map_err(wrong)?;
    let horizon = horizon.first().and_then(|row| row.first()?.as_deref()?.parse().ok());
    let rewritten = storage::rewritten(&before, &storages);
    let taken = Taken {
        sessions,
        snapshot: Transaction {
            xid: Xid(u32::try_from(xid).unwrap_or(0)),
            commit_lsn: point,
            commit_time: UnixNanos::from_postgres_micros(at),
            previous: None,
            origin: None,
        },
        horizon: horizon.ok_or_else(|| unexpected_answer(config))?,
        block_size,
        storages,
    };
    Ok((taken, rewritten))
}

async fn look(
    session: &mut CopySession,
    config: &ReaderConfig,
    tables: &[PublishedTable],
) -> Result<Storages, ReaderError> {
    let answer = session.query(&storage::query(tables)).await;
    let answer = answer.map_err(|error| copy_error(&error, &config.server))?;
    storage::read(tables, &answer).ok_or_else(|| unexpected_answer(config))
}

/// An error of a copy; one that may pass is an error of the connection.
fn copy_error(error: &WireError, server: &Server) -> ReaderError {
    let reason = match server.reader_error(error) {
        error if !error.is_permanent() => return error,
        ReaderError::Refused { user, message, .. } => format!("user \"{user}\" may not: {message}"),
        ReaderError::Server { message, .. } => message.to_string(),
        error => return error,
    };
    ReaderError::Copy {
        source_of_rows: server.address(),
        reason,
    }
}
