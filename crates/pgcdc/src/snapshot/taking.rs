//! Takes the snapshot of a copy: several sessions in one, with the tables locked against a rewrite.

use postgres_protocol::escape::escape_literal;
use tokio_util::sync::CancellationToken;

use super::chunks::chunks_of;
use super::error::{copy_error, unexpected_answer};
use super::export::ExportedSnapshot;
use super::storage::{self, Storages, TableStorage};
use super::tables::PublishedTable;
use crate::clock::UnixNanos;
use crate::event::Transaction;
use crate::reader::config::SnapshotConfig;
use crate::wire::{CopySession, WireError};
use crate::{ReaderConfig, ReaderError, Xid};

/// How often a snapshot is taken again because a table was rewritten just after it.
const MOST_SNAPSHOTS: u32 = 20;

/// Sessions that have taken one snapshot, and the tables in it.
pub(super) struct Taken {
    pub(super) sessions: Vec<CopySession>,
    pub(super) snapshot: Transaction,
    pub(super) horizon: u64,
    pub(super) block_size: u32,
    pub(super) storages: Vec<TableStorage>,
}

/// Takes a snapshot in which no table was rewritten since: such a table would be empty in it, though its rows are in no change.
pub(super) async fn take_snapshot(
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
    let chunk_blocks = settings.chunk_blocks(block_size);
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
    let horizon = horizon
        .first()
        .and_then(|row| row.first()?.as_deref()?.parse().ok());
    let rewritten = storage::rewritten(&before, &storages);
    let taken = Taken {
        sessions,
        snapshot: Transaction {
            xid: Xid(u32::try_from(xid).unwrap_or(0)),
            commit_lsn: point,
            commit_time: UnixNanos::from_postgres_micros(at),
            previous: None,
            origin: None,
            gid: None,
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
