//! Copies tables under one snapshot, several at once, and hands their rows over on the reader's thread.

use std::sync::Arc;
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::StreamExt;
use pgwire_replication::{PgWireError, ReplicationClient};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::rows::{RowReader, Splitter};
use super::session::Session;
use super::tables::Published;
use super::{CopiedTable, PlannedTable, SnapshotPlan, SnapshotRow};
use crate::event::{Event, Transaction};
use crate::handover::{Flow, Handover, postgres_time};
use crate::{Lsn, ReaderConfig, ReaderError, Relation, Xid};

/// Rows that go to the reader's thread together.
const ROWS_TOGETHER: usize = 128;
/// Such portions that wait there: what is beyond them waits in the server.
const WAITING: usize = 8;

/// A copy under way.
pub(crate) struct Copying {
    binary: bool,
    snapshot: Transaction,
    tables: Vec<Table>,
    pieces: mpsc::Receiver<Result<Piece, ReaderError>>,
    reader: RowReader,
    /// Whether a row has been handed over.
    begun: bool,
    /// A table whose end has come, and its last row: whether that is the last of all is known with the next row.
    parked: Option<(usize, Bytes)>,
    /// Ended when dropped.
    _sessions: JoinSet<()>,
}

struct Table {
    relation: Arc<Relation>,
    /// A row that is not handed over before the next one is here, so that the last one is known.
    held: Option<Bytes>,
    rows: u64,
    is_whole: bool,
}

/// What comes of a table, by its place in the list.
enum Piece {
    Rows(usize, Vec<Bytes>),
    End(usize),
}

impl Copying {
    /// Takes a snapshot of these tables and begins to copy them.
    pub(crate) async fn begin<H: FnMut(Event<'_>) -> Flow>(
        config: &ReaderConfig,
        connections: usize,
        tables: &[Published],
        handover: &mut Handover<H>,
    ) -> Result<(Self, SnapshotPlan), ReaderError> {
        let mut sessions = Vec::new();
        for _ in 0..connections.clamp(1, tables.len().max(1)) {
            sessions.push(Session::open(&config.server).await?);
        }
        let first = sessions.first().ok_or_else(|| unexpected(config))?;
        // An id for whoever asks which transaction has read the rows; a standby has none to give.
        let now = "SELECT CASE WHEN pg_is_in_recovery() THEN 0 ELSE txid_current() END % 4294967296, \
                   (extract(epoch FROM now()) * 1000000)::bigint - 946684800000000";
        let now = first.ask(now).await?;
        let number = |index: usize| now.first()?.get(index)?.as_deref()?.parse::<i64>().ok();
        let (xid, at) = number(0).zip(number(1)).ok_or_else(|| unexpected(config))?;
        let exported = export(config).await?;
        for session in &sessions {
            session
                .ask(&format!(
                    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{}'",
                    exported.name.replace('\'', "''")
                ))
                .await?;
        }
        // Every session has it: the slot has done its part.
        drop(exported.slot);
        let snapshot = Transaction {
            xid: Xid(u32::try_from(xid).unwrap_or(0)),
            commit_lsn: exported.point,
            commit_time: postgres_time(at),
            previous: None,
            origin: None,
        };
        let describe = |table: &Published| Table {
            relation: handover.describe(&table.description(), table.catalogue.as_deref()),
            held: None,
            rows: 0,
            is_whole: false,
        };
        let copied: Vec<_> = tables.iter().map(describe).collect();
        let plan = SnapshotPlan {
            point: exported.point,
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
        let (sender, pieces) = mpsc::channel(WAITING);
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
                    // Locked for this statement alone.
                    let next = match queue.lock() {
                        Ok(mut queue) => queue.next(),
                        Err(_) => return,
                    };
                    let Some((index, statement)) = next else {
                        return;
                    };
                    if let Err(error) = table(&session, index, &statement, binary, &sender).await {
                        // Whoever would hear of it may be gone.
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
            parked: None,
            _sessions: running,
        };
        Ok((copying, plan))
    }

    /// Hands over what comes next. `None` when everything has been.
    pub(crate) async fn next<H: FnMut(Event<'_>) -> Flow>(
        &mut self,
        handover: &mut Handover<H>,
    ) -> Result<Option<Flow>, ReaderError> {
        if let Some(piece) = self.pieces.recv().await {
            return self.piece(piece?, handover).map(Some);
        }
        let not_whole = self.tables.iter().filter(|table| !table.is_whole).count();
        if not_whole > usize::from(self.parked.is_some()) {
            return Err(ReaderError::Thread(
                "lost a session of the initial copy".to_owned(),
            ));
        }
        let flow = self.unpark(true, handover)?;
        Ok(flow.is_break().then_some(flow))
    }

    fn piece<H: FnMut(Event<'_>) -> Flow>(
        &mut self,
        piece: Piece,
        handover: &mut Handover<H>,
    ) -> Result<Flow, ReaderError> {
        match piece {
            Piece::Rows(index, rows) => {
                for row in rows {
                    if self.unpark(false, handover)?.is_break() {
                        return Ok(Flow::Break(()));
                    }
                    let Some(before) = self.tables[index].held.replace(row) else {
                        continue;
                    };
                    let place = if self.begun {
                        match self.tables[index].rows {
                            0 => SnapshotRow::FirstInTable,
                            _ => SnapshotRow::Inside,
                        }
                    } else {
                        SnapshotRow::First
                    };
                    if self.row(index, &before, place, handover)?.is_break() {
                        return Ok(Flow::Break(()));
                    }
                }
                Ok(Flow::Continue(()))
            }
            Piece::End(index) => match self.tables[index].held.take() {
                None => Ok(self.whole(index, handover)),
                Some(last) => {
                    let flow = self.unpark(false, handover)?;
                    self.parked = Some((index, last));
                    Ok(flow)
                }
            },
        }
    }

    /// Hands over the last row of a table that has ended.
    fn unpark<H: FnMut(Event<'_>) -> Flow>(
        &mut self,
        is_last: bool,
        handover: &mut Handover<H>,
    ) -> Result<Flow, ReaderError> {
        let Some((index, row)) = self.parked.take() else {
            return Ok(Flow::Continue(()));
        };
        let place = if is_last {
            SnapshotRow::Last
        } else {
            SnapshotRow::LastInTable
        };
        if self.row(index, &row, place, handover)?.is_break() {
            return Ok(Flow::Break(()));
        }
        Ok(self.whole(index, handover))
    }

    fn row<H: FnMut(Event<'_>) -> Flow>(
        &mut self,
        index: usize,
        row: &[u8],
        place: SnapshotRow,
        handover: &mut Handover<H>,
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
        Ok(handover.row(
            &table.relation,
            tuple,
            place,
            &self.snapshot,
            table.rows - 1,
        ))
    }

    fn whole<H: FnMut(Event<'_>) -> Flow>(
        &mut self,
        index: usize,
        handover: &mut Handover<H>,
    ) -> Flow {
        self.tables[index].is_whole = true;
        let left = self.tables.iter().filter(|table| !table.is_whole).count();
        let table = &self.tables[index];
        handover.table_is_copied(CopiedTable {
            relation: &table.relation,
            point: self.snapshot.commit_lsn,
            rows: table.rows,
            left,
        })
    }
}

/// Copies one table.
async fn table(
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
    let chunks = session.copy(statement).await?.ready_chunks(ROWS_TOGETHER);
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
    // Nobody there: then nobody asks for it.
    let _ = sender.send(Ok(Piece::End(index))).await;
    Ok(())
}

/// A snapshot that other sessions can take, for as long as the slot's connection lives and does nothing else.
struct Exported {
    name: String,
    point: Lsn,
    slot: ReplicationClient,
}

/// Makes a temporary slot for the snapshot of its creation.
async fn export(config: &ReaderConfig) -> Result<Exported, ReaderError> {
    let server = &config.server;
    let sorted = |error: PgWireError| ReaderError::of(&error, &server.address(), &server.user);
    let mut slot = ReplicationClient::connect_gated(server.session())
        .await
        .map_err(sorted)?;
    // A slot's name has 63 bytes at most, all of them ASCII.
    let name = config.slot.name().as_str();
    let name = &name[..name.len().min(58)];
    let rows = slot
        .simple_query(&format!(
            "CREATE_REPLICATION_SLOT {name}_copy TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT"
        ))
        .await
        .map_err(sorted)?;
    let text = |index: usize| {
        let value = rows.first()?.get(index)?.as_ref()?;
        std::str::from_utf8(value).ok()
    };
    let point = text(1).and_then(|lsn| lsn.parse().ok());
    match (point, text(2)) {
        (Some(point), Some(snapshot)) => Ok(Exported {
            name: snapshot.to_owned(),
            point,
            slot,
        }),
        _ => Err(unexpected(config)),
    }
}

fn unexpected(config: &ReaderConfig) -> ReaderError {
    ReaderError::Server {
        server: config.server.address(),
        reason: "its answer to the snapshot's beginning is not as expected".to_owned(),
    }
}
