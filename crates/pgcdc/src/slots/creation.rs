//! Creates slots, which the server does only when every transaction that was open before has ended.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::class::CANCELLED;
use crate::reader::config::ReaderConfig;
use crate::server::session::Session;
use crate::wire::{ReplicationSession, TextRows, WireError};
use crate::{ReaderError, Server};

/// A creation that takes longer is said to wait, and for what.
const SAID_AFTER: Duration = Duration::from_secs(2);
/// Between two such words.
const SAID_AGAIN: Duration = Duration::from_secs(10);
/// Longest wait for the server to give up a creation that was cancelled.
const CANCEL_LIMIT: Duration = Duration::from_secs(3);

/// Runs a command that creates a slot. When the server waits, it is said for what; after [`ReaderConfig::slot_limit`], or when
/// the reader is stopped, the creation is cancelled: a server that waits does not notice that its client is gone, and would
/// make the slot for nobody.
pub(crate) async fn create_slot(
    session: &mut ReplicationSession,
    config: &ReaderConfig,
    stop: &CancellationToken,
    command: &str,
) -> Result<TextRows, ReaderError> {
    let (server, slot) = (&config.server, config.slot.name());
    let pid = session.pid();
    let began = Instant::now();
    let mut creation = std::pin::pin!(session.command(command));
    let (mut next, mut blocker) = (SAID_AFTER, String::new());
    let is_stopped = loop {
        tokio::select! {
            biased;
            created = &mut creation => return created.map_err(|error| server.reader_error(&error)),
            () = stop.cancelled() => break true,
            () = tokio::time::sleep_until(began + next.min(config.slot_limit)) => {}
        }
        blocker = waits_for(server, pid).await;
        tracing::warn!(%slot, waited_s = began.elapsed().as_secs(), "the slot is not made yet: {blocker}");
        if began.elapsed() >= config.slot_limit {
            break false;
        }
        next += SAID_AGAIN;
    };
    cancel(server, pid).await;
    let ended = tokio::time::timeout(CANCEL_LIMIT, creation).await;
    if is_stopped {
        return Err(ReaderError::stopped_early());
    }
    match ended {
        // It was made at the last moment.
        Ok(Ok(created)) => Ok(created),
        Ok(Err(WireError::Server(error))) if error.code != CANCELLED => {
            Err(server.reader_error(&WireError::Server(error)))
        }
        _ => Err(ReaderError::SlotBlocked {
            server: server.address(),
            slot: slot.clone(),
            waited_s: began.elapsed().as_secs(),
            blocker,
        }),
    }
}

/// What the creation waits for, and what to do about it.
async fn waits_for(server: &Server, pid: Option<u32>) -> String {
    const UNKNOWN: &str = "the server waits for transactions that are open; SELECT * FROM pg_stat_activity WHERE backend_xid IS NOT NULL shows them";
    let own = pid.unwrap_or(0);
    // Of a transaction of somebody else's a role without pg_read_all_stats sees the process alone.
    let sql = format!(
        "SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' END, pid::text, \
           round(extract(epoch FROM now() - xact_start))::bigint::text, usename::text, state, left(query, 120) \
         FROM (SELECT 1) one LEFT JOIN pg_stat_activity ON (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL) \
           AND pid NOT IN (pg_backend_pid(), {own}) AND backend_type <> 'walsender' \
         ORDER BY xact_start NULLS LAST LIMIT 1"
    );
    let prepared = "SELECT gid, round(extract(epoch FROM now() - prepared))::bigint::text FROM pg_prepared_xacts ORDER BY prepared LIMIT 1";
    let asked = async {
        let session = Session::open(server).await?;
        let open = session.query(&sql).await?;
        Ok::<_, ReaderError>((open, session.query(prepared).await?))
    };
    let Ok((open, prepared)) = asked.await else {
        return UNKNOWN.to_owned();
    };
    let text = |rows: &TextRows, index: usize| rows.first()?.get(index)?.clone();
    if text(&open, 0).is_some() {
        return "a standby waits until the primary has written what transactions are open: SELECT pg_log_standby_snapshot() there (PostgreSQL 16), or wait".to_owned();
    }
    if let (Some(gid), Some(age)) = (text(&prepared, 0), text(&prepared, 1)) {
        return format!(
            "the server waits for the prepared transaction {gid:?}, open for {age} s; COMMIT PREPARED or ROLLBACK PREPARED ends it"
        );
    }
    let Some(pid) = text(&open, 1) else {
        return UNKNOWN.to_owned();
    };
    let or_unknown = |index: usize| text(&open, index).unwrap_or_else(|| "?".to_owned());
    format!(
        "the server waits for the transaction of process {pid} (user {}, {}), open for {} s: {}; when it ends the slot is made, and SELECT pg_terminate_backend({pid}) ends it",
        or_unknown(3),
        or_unknown(4),
        or_unknown(2),
        or_unknown(5)
    )
}

async fn cancel(server: &Server, pid: Option<u32>) {
    let Some(pid) = pid else {
        return;
    };
    let cancelled = async {
        let session = Session::open(server).await?;
        session
            .query(&format!("SELECT pg_cancel_backend({pid})"))
            .await
    };
    if let Err(error) = cancelled.await {
        tracing::warn!(%error, "the creation of a slot could not be cancelled; process {pid} may still make it");
    }
}
