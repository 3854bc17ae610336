//! Copies tables in one snapshot, several concurrently, and delivers their rows on the reader's thread.

use std::sync::Arc;
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::StreamExt;
use postgres_protocol::escape::escape_literal;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::export::{ExportedSnapshot, unexpected_answer};
use super::plan::{CopiedTable, PlannedTable, SnapshotPlan, SnapshotRow};
use super::rows::{RowReader, Splitter};
use super::tables::PublishedTable;
use crate::clock::UnixNanos;
use crate::delivery::{Delivery, Flow};
use crate::event::{Event, Transaction};
use crate::session::Session;
use crate::{ReaderConfig, ReaderError, Relation, Xid};

/// Most rows in one batch to the reader's thread.
const BATCH_ROWS: usize = 128;
/// Most batches that wait there: beyond them the sessions stop reading, and rows wait in the server.
const WAITING_BATCHES: usize = 8;

/// A copy in progress.
pub(crate) struct SnapshotCopy {
    binary: bool,
    snapshot: Transaction,
    tables: Vec<TableCopy>,
    pieces: mpsc::Receiver<Result<Piece, ReaderError>>,
    reader: RowReader,
    /// Whether a row was delivered.
    begun: bool,
    /// The last row of a table that has ended, with the table's index: the next row decides whether it is the last of all.
    last_of_table: Option<(usize, Bytes)>,
    /// The tasks of the sessions, aborted on drop.
    _sessions: JoinSet<()>,
}

/// The copy of one table.
struct TableCopy {
    relation: Arc<Relation>,
    /// A row that waits for the next one, because the last row is marked as such.
    pending: Option<Bytes>,
    /// Rows delivered.
    rows: u64,
    is_complete: bool,
}

/// A part of a table's copy, with the table's index.
enum Piece {
    Rows(usize, Vec<Bytes>),
    End(usize),
}

impl SnapshotCopy {
    /// Exports a snapshot and begins to copy these tables in it.
    pub(crate) async fn begin<H: FnMut(Event<'_>) -> Flow>(
        config: &ReaderConfig,
        connections: usize,
        tables: &[PublishedTable],
        delivery: &mut Delivery<H>,
        stop: &CancellationToken,
    ) -> Result<(Self, SnapshotPlan), ReaderError> {
        let mut sessions = Vec::new();
        for _ in 0..connections.clamp(1, tables.len().max(1)) {
            sessions.push(Session::open_for_copy(&config.server).await?);
        }
        let first = sessions.first().ok_or_else(|| unexpected_answer(config))?;
        // The transaction id of the rows' events; a standby assigns none.
        let now = "SELECT CASE WHEN pg_is_in_recovery() THEN 0 ELSE txid_current() END % 4294967296, \
                   (extract(epoch FROM now()) * 1000000)::bigint - 946684800000000";
        let now = first.query(now).await?;
        let number = |index: usize| now.first()?.get(index)?.as_deref()?.parse::<i64>().ok();
        let (xid, at) = number(0)
            .zip(number(1))
            .ok_or_else(|| unexpected_answer(config))?;
        let exported = ExportedSnapshot::create(config, stop).await?;
        let point = exported.point();
        for session in &sessions {
            session
                .query(&format!(
                    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}",
                    escape_literal(exported.name())
                ))
                .await?;
        }
        // Every session has taken the snapshot: its slot is no longer needed.
        drop(exported);
        let snapshot = Transaction {
            xid: Xid(u32::try_from(xid).unwrap_or(0)),
            commit_lsn: point,
            commit_time: UnixNanos::from_postgres_micros(at),
            previous: None,
            origin: None,
            gid: None,
        };
        let describe = |table: &PublishedTable| TableCopy {
            relation: delivery.describe(&table.description(), table.catalogue.as_deref()),
            pending: None,
            rows: 0,
            is_complete: false,
        };
        let copied: Vec<_> = tables.iter().map(describe).collect();
        let plan = SnapshotPlan {
            point,
            taken_at: snapshot.commit_time,
            tables: tables
                .iter()
                .zip(&copied)
                .map(|(table, copied)| PlannedTable {
                    relation: Arc::clone(&copied.relation),
                    estimated_rows: table.estimated_rows,
                })
                .collect(),
        };
        let (sender, pieces) = mpsc::channel(WAITING_BATCHES);
        let statements = tables.iter().map(|table| table.statement(config.binary));
        let queue = Arc::new(Mutex::new(
            statements.enumerate().collect::<Vec<_>>().into_iter(),
        ));
        let mut running = JoinSet::new();
        for session in sessions {
            let (queue, sender) = (Arc::clone(&queue), sender.clone());
            let binary = config.binary;
            running.spawn(async move {
                loop {
                    // The lock is held for this statement alone.
                    let next = match queue.lock() {
                        Ok(mut queue) => queue.next(),
                        Err(_) => return,
                    };
                    let Some((index, statement)) = next else {
                        return;
                    };
                    if let Err(error) =
                        copy_table(&session, index, &statement, binary, &sender).await
                    {
                        // The receiver may have been dropped: then the copy was stopped.
                        let _ = sender.send(Err(error)).await;
                        return;
                    }
                }
            });
        }
        let copying = Self {
            binary: config.binary,
            snapshot,
            tables: copied,
            pieces,
            reader: RowReader::default(),
            begun: false,
            last_of_table: None,
            _sessions: running,
        };
        Ok((copying, plan))
    }

    /// Delivers the next part. `None` when the copy is complete.
    pub(crate) async fn next<H: FnMut(Event<'_>) -> Flow>(
        &mut self,
        delivery: &mut Delivery<H>,
    ) -> Result<Option<Flow>, ReaderError> {
        if let Some(piece) = self.pieces.recv().await {
            return self.piece(piece?, delivery).map(Some);
        }
        let incomplete = self
            .tables
            .iter()
            .filter(|table| !table.is_complete)
            .count();
        if incomplete > usize::from(self.last_of_table.is_some()) {
            return Err(ReaderError::Thread(
                "lost a session of the initial copy".to_owned(),
            ));
        }
        let flow = self.deliver_last(true, delivery)?;
        Ok(flow.is_break().then_some(flow))
    }

    fn piece<H: FnMut(Event<'_>) -> Flow>(
        &mut self,
        piece: Piece,
        delivery: &mut Delivery<H>,
    ) -> Result<Flow, ReaderError> {
        match piece {
            Piece::Rows(index, rows) => {
                for row in rows {
                    if self.deliver_last(false, delivery)?.is_break() {
                        return Ok(Flow::Break(()));
                    }
                    let Some(previous) = self.tables[index].pending.replace(row) else {
                        continue;
                    };
                    let position = if self.begun {
                        match self.tables[index].rows {
                            0 => SnapshotRow::FirstInTable,
                            _ => SnapshotRow::Inside,
                        }
                    } else {
                        SnapshotRow::First
                    };
                    if self.row(index, &previous, position, delivery)?.is_break() {
                        return Ok(Flow::Break(()));
                    }
                }
                Ok(Flow::Continue(()))
            }
            Piece::End(index) => match self.tables[index].pending.take() {
                None => Ok(self.complete(index, delivery)),
                Some(last) => {
                    let flow = self.deliver_last(false, delivery)?;
                    self.last_of_table = Some((index, last));
                    Ok(flow)
                }
            },
        }
    }

    /// Delivers the last row of a table that has ended; `is_last` when it is the last of all.
    fn deliver_last<H: FnMut(Event<'_>) -> Flow>(
        &mut self,
        is_last: bool,
        delivery: &mut Delivery<H>,
    ) -> Result<Flow, ReaderError> {
        let Some((index, row)) = self.last_of_table.take() else {
            return Ok(Flow::Continue(()));
        };
        let position = if is_last {
            SnapshotRow::Last
        } else {
            SnapshotRow::LastInTable
        };
        if self.row(index, &row, position, delivery)?.is_break() {
            return Ok(Flow::Break(()));
        }
        Ok(self.complete(index, delivery))
    }

    fn row<H: FnMut(Event<'_>) -> Flow>(
        &mut self,
        index: usize,
        row: &[u8],
        position: SnapshotRow,
        delivery: &mut Delivery<H>,
    ) -> Result<Flow, ReaderError> {
        let table = &mut self.tables[index];
        let columns = table.relation.columns.len();
        let tuple = self.reader.read(row, columns, self.binary);
        let tuple = tuple.map_err(|error| ReaderError::Copy {
            source_of_rows: table.relation.to_string(),
            reason: error.to_string(),
        })?;
        self.begun = true;
        table.rows += 1;
        Ok(delivery.row(
            &table.relation,
            tuple,
            position,
            &self.snapshot,
            table.rows - 1,
        ))
    }

    fn complete<H: FnMut(Event<'_>) -> Flow>(
        &mut self,
        index: usize,
        delivery: &mut Delivery<H>,
    ) -> Flow {
        self.tables[index].is_complete = true;
        let left = self
            .tables
            .iter()
            .filter(|table| !table.is_complete)
            .count();
        let table = &self.tables[index];
        delivery.table_is_copied(CopiedTable {
            relation: &table.relation,
            point: self.snapshot.commit_lsn,
            rows: table.rows,
            left,
        })
    }
}

/// Copies one table, and sends its rows.
async fn copy_table(
    session: &Session,
    index: usize,
    statement: &str,
    binary: bool,
    sender: &mpsc::Sender<Result<Piece, ReaderError>>,
) -> Result<(), ReaderError> {
    let malformed = |reason: String| ReaderError::Copy {
        source_of_rows: statement.to_owned(),
        reason,
    };
    let mut splitter = Splitter::new(binary);
    let chunks = session.copy(statement).await?.ready_chunks(BATCH_ROWS);
    let mut chunks = std::pin::pin!(chunks);
    while let Some(chunks) = chunks.next().await {
        let mut rows = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let split = splitter.push(chunk?, &mut rows);
            split.map_err(|error| malformed(error.to_string()))?;
        }
        if sender.send(Ok(Piece::Rows(index, rows))).await.is_err() {
            return Ok(());
        }
    }
    if !splitter.is_done() {
        return Err(malformed("it ends within a row".to_owned()));
    }
    // The receiver may have been dropped: then the copy was stopped.
    let _ = sender.send(Ok(Piece::End(index))).await;
    Ok(())
}
