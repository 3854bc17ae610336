//! A logical replication stream on a thread of its own.
//!
//! One thread, one current-thread runtime: the bytes go from the socket through the decoder into the handler without
//! changing the core. Measured, that doubles the rows a second over a multi-thread runtime; the walsender is the bound.

use std::fmt;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use pgwire_replication::{
    Lsn as WireLsn, PgWireError, ReplicationClient, ReplicationConfig, ReplicationEvent,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::pgoutput::{self, Message, OldTuple, Tuple};
use super::{Lsn, ReaderError, Relation, Relations, SlotName, Xid};
use crate::timeline::{Clock, Nanos, Stamp};

/// Messages between the socket and the decoder.
const BUFFER: usize = 65_536;
/// PostgreSQL counts microseconds from 2000-01-01; this many seconds after the Unix epoch.
const POSTGRES_EPOCH_S: i64 = 946_684_800;
/// First and longest pause before a broken stream is opened again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// Longest wait for the server to accept the stream.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Where the stream keeps its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    /// Made with the connection and gone with it: it can be left behind by nobody.
    Temporary(SlotName),
    /// One that is there already; the stream goes on where it was acknowledged last.
    Existing(SlotName),
}

/// What to read.
#[derive(Debug, Clone)]
pub struct ReaderConfig {
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User; it needs `REPLICATION`.
    pub user: String,
    /// Its password.
    pub password: SecretString,
    /// Database.
    pub database: String,
    /// Publication: which tables.
    pub publication: String,
    /// Slot.
    pub slot: Slot,
    /// How often the server hears what was handled.
    pub status_interval: Duration,
}

impl ReaderConfig {
    fn server(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn slot_name(&self) -> &SlotName {
        match &self.slot {
            Slot::Temporary(name) | Slot::Existing(name) => name,
        }
    }

    fn wire(&self) -> ReplicationConfig {
        ReplicationConfig::new(
            &*self.host,
            &*self.user,
            self.password.expose_secret(),
            &*self.database,
            self.slot_name().as_str(),
            &*self.publication,
        )
        .with_port(self.port)
        .with_status_interval(self.status_interval)
        .with_wakeup_interval(self.status_interval)
        .with_buffer_size(BUFFER)
        .with_application_name("cdc-bench-reader")
    }
}

/// What was done to a row, or to a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A new row.
    Insert,
    /// A changed row.
    Update,
    /// A removed row.
    Delete,
    /// All rows removed.
    Truncate,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Truncate => "truncate",
        })
    }
}

/// One change, borrowed from the message that brought it.
#[derive(Debug)]
pub struct Change<'a> {
    /// The table.
    pub relation: &'a Arc<Relation>,
    /// What was done.
    pub operation: Operation,
    /// The row after it, for inserts and updates.
    pub new: Option<Tuple<'a>>,
    /// The row before it, as far as the replica identity tells.
    pub old: Option<OldTuple<'a>>,
    /// Transaction.
    pub xid: Xid,
    /// Position of the change: `source.lsn` in Debezium's envelope.
    pub lsn: Lsn,
    /// Position of the transaction's commit.
    pub commit_lsn: Lsn,
    /// Commit time, on PostgreSQL's clock.
    pub commit_time: Stamp,
    /// T1: when the decoded row was here, on our clock.
    pub received: Stamp,
}

/// What a reader has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReaderStats {
    /// Changes handed over.
    pub changes: u64,
    /// Transactions that ended.
    pub transactions: u64,
    /// Position after the last transaction.
    pub last_lsn: Lsn,
    /// Streams opened after the first.
    pub reconnects: u64,
}

/// The reader. It has no state of its own: see [`Reader::spawn`].
#[derive(Debug)]
pub struct Reader;

/// A reader at work. Dropping it stops it.
#[derive(Debug)]
pub struct ReaderHandle {
    stop: CancellationToken,
    error: Arc<Mutex<Option<ReaderError>>>,
    thread: Option<JoinHandle<Result<ReaderStats, ReaderError>>>,
}

impl Reader {
    /// Opens the stream and hands every change to `handler`, on the reader's thread. Returns once the server streams: no
    /// later change can be missed. A change is acknowledged to the server after its transaction's last change was handled.
    ///
    /// # Errors
    /// When the server does not answer, refuses, or has no place for another slot.
    pub async fn spawn(
        config: ReaderConfig,
        clock: Clock,
        handler: impl FnMut(Change<'_>) + Send + 'static,
    ) -> Result<ReaderHandle, ReaderError> {
        let stop = CancellationToken::new();
        let error = Arc::new(Mutex::new(None));
        let (started, has_started) = oneshot::channel();
        let (thread_stop, thread_error) = (stop.clone(), Arc::clone(&error));
        let thread = std::thread::Builder::new()
            .name("wal-reader".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let runtime =
                    runtime.map_err(|e| ReaderError::Thread(format!("has no runtime: {e}")))?;
                let work = Work {
                    config,
                    clock,
                    handler,
                    relations: Relations::default(),
                    transaction: None,
                    stats: ReaderStats::default(),
                    stop: thread_stop,
                };
                let outcome = runtime.block_on(work.run(started));
                if let Err(cause) = &outcome {
                    *thread_error.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some(cause.clone());
                }
                outcome
            })
            .map_err(|e| ReaderError::Thread(format!("could not be started: {e}")))?;
        let mut handle = ReaderHandle {
            stop,
            error,
            thread: Some(thread),
        };
        match has_started.await {
            Ok(()) => Ok(handle),
            // The thread is over, or about to be: it says why.
            Err(_) => match handle.join() {
                Err(cause) => Err(cause),
                Ok(_) => Err(ReaderError::Thread("ended before it started".to_owned())),
            },
        }
    }
}

impl ReaderHandle {
    /// Why the reader has ended by itself, if it has.
    #[must_use]
    pub fn error(&self) -> Option<ReaderError> {
        self.error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Ends the stream and waits for the thread; blocks for as long as the handler takes for what it is at.
    ///
    /// # Errors
    /// Why it had ended before.
    pub fn stop(mut self) -> Result<ReaderStats, ReaderError> {
        self.stop.cancel();
        self.join()
    }

    fn join(&mut self) -> Result<ReaderStats, ReaderError> {
        let Some(thread) = self.thread.take() else {
            return Ok(ReaderStats::default());
        };
        thread
            .join()
            .unwrap_or_else(|_| Err(ReaderError::Thread("panicked".to_owned())))
    }
}

impl Drop for ReaderHandle {
    fn drop(&mut self) {
        self.stop.cancel();
        // A panic in there has been told; here it would be one too many.
        let _ = self.join();
    }
}

/// The transaction being read.
#[derive(Debug, Clone, Copy)]
struct Transaction {
    xid: Xid,
    commit_lsn: Lsn,
    commit_time: Stamp,
}

struct Work<H> {
    config: ReaderConfig,
    clock: Clock,
    handler: H,
    relations: Relations,
    transaction: Option<Transaction>,
    stats: ReaderStats,
    stop: CancellationToken,
}

/// How a stream ended.
enum Ended {
    Stopped,
    Broken(PgWireError),
}

impl<H: FnMut(Change<'_>)> Work<H> {
    async fn run(mut self, started: oneshot::Sender<()>) -> Result<ReaderStats, ReaderError> {
        let mut client = self.open().await?;
        // Whoever waited for the start may have gone away: then the handle is gone too, and `stop` is set.
        let _ = started.send(());
        loop {
            match self.follow(&mut client).await? {
                Ended::Stopped => {
                    // The server hears the last position before the connection closes.
                    if let Err(error) = client.shutdown().await {
                        tracing::debug!(%error, "the stream did not close cleanly");
                    }
                    return Ok(self.stats);
                }
                Ended::Broken(cause) => match self.config.slot {
                    Slot::Temporary(_) => {
                        return Err(ReaderError::TemporarySlotLost {
                            server: self.config.server(),
                            last: self.stats.last_lsn,
                            reason: cause.to_string(),
                        });
                    }
                    Slot::Existing(_) => match self.reopen(&cause).await? {
                        Some(fresh) => client = fresh,
                        None => return Ok(self.stats),
                    },
                },
            }
        }
    }

    /// Connects and starts the stream.
    async fn open(&mut self) -> Result<ReplicationClient, ReaderError> {
        let (server, user) = (self.config.server(), self.config.user.clone());
        let sorted = |error: PgWireError| ReaderError::of(&error, &server, &user);
        let opening = async {
            let mut client = ReplicationClient::connect_gated(self.config.wire())
                .await
                .map_err(sorted)?;
            if let Slot::Temporary(name) = &self.config.slot {
                // A slot's name holds nothing that would need quoting.
                client.simple_query(&format!("CREATE_REPLICATION_SLOT {name} TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT")).await.map_err(sorted)?;
            }
            client.start().await.map_err(sorted)?;
            client.wait_started().await.map_err(sorted)?;
            Ok(client)
        };
        tokio::select! {
            () = self.stop.cancelled() => Err(ReaderError::Thread("was stopped before the stream began".to_owned())),
            opened = tokio::time::timeout(START_LIMIT, opening) => opened.unwrap_or_else(|_| Err(ReaderError::Connection {
                server: self.config.server(),
                reason: format!("the stream did not begin within {} s", START_LIMIT.as_secs()),
            })),
        }
    }

    /// Opens the stream again after it broke. `None` when it was asked to stop meanwhile.
    async fn reopen(
        &mut self,
        cause: &PgWireError,
    ) -> Result<Option<ReplicationClient>, ReaderError> {
        tracing::warn!(%cause, slot = %self.config.slot_name(), "the WAL stream broke; opening it again");
        let mut pause = BACK_OFF.0;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return Ok(None),
                () = tokio::time::sleep(pause) => {}
            }
            match self.open().await {
                Ok(client) => {
                    self.transaction = None;
                    self.stats.reconnects += 1;
                    return Ok(Some(client));
                }
                Err(error @ (ReaderError::Refused { .. } | ReaderError::WalLevel { .. })) => {
                    return Err(error);
                }
                Err(error) => tracing::warn!(%error, "trying again in {} ms", pause.as_millis()),
            }
            pause = (pause * 2).min(BACK_OFF.1);
        }
    }

    async fn follow(&mut self, client: &mut ReplicationClient) -> Result<Ended, ReaderError> {
        loop {
            let event = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(Ended::Stopped),
                event = client.recv() => event,
            };
            match event {
                Ok(Some(event)) => {
                    if let Some(handled) = self.handle(event)? {
                        client.update_applied_lsn(WireLsn::from_u64(handled.0));
                    }
                }
                Ok(None) => {
                    return Ok(Ended::Broken(PgWireError::Protocol(
                        "the server ended the stream".to_owned(),
                    )));
                }
                Err(cause) => return Ok(Ended::Broken(cause)),
            }
        }
    }

    /// Handles one event; a position when everything up to it has been handled.
    fn handle(&mut self, event: ReplicationEvent) -> Result<Option<Lsn>, ReaderError> {
        match event {
            ReplicationEvent::XLogData {
                wal_start, data, ..
            } => {
                self.change(Lsn(wal_start.as_u64()), &data)?;
                Ok(None)
            }
            ReplicationEvent::Begin {
                final_lsn,
                xid,
                commit_time_micros,
            } => {
                self.transaction = Some(Transaction {
                    xid: Xid(xid),
                    commit_lsn: Lsn(final_lsn.as_u64()),
                    commit_time: postgres_time(commit_time_micros),
                });
                Ok(None)
            }
            ReplicationEvent::Commit { end_lsn, .. } => {
                self.transaction = None;
                self.stats.transactions += 1;
                self.stats.last_lsn = Lsn(end_lsn.as_u64());
                Ok(Some(self.stats.last_lsn))
            }
            // Nothing of ours lies before this position: the server may let go of its WAL also where our tables are idle.
            ReplicationEvent::KeepAlive { wal_end, .. } => {
                Ok(self.transaction.is_none().then(|| Lsn(wal_end.as_u64())))
            }
            ReplicationEvent::Message { .. } | ReplicationEvent::StoppedAt { .. } => Ok(None),
        }
    }

    fn change(&mut self, lsn: Lsn, data: &Bytes) -> Result<(), ReaderError> {
        let message = pgoutput::decode(data).map_err(|cause| ReaderError::Decode { cause, lsn })?;
        // T1: the row is decoded.
        let received = self.clock.now();
        let (oid, operation, new, old) = match message {
            Message::Relation(description) => {
                self.relations.describe(&description);
                return Ok(());
            }
            Message::Insert { relation, new } => (relation, Operation::Insert, Some(new), None),
            Message::Update { relation, old, new } => (relation, Operation::Update, Some(new), old),
            Message::Delete { relation, old } => (relation, Operation::Delete, None, Some(old)),
            Message::Truncate { relations, .. } => {
                for oid in relations {
                    self.hand_over(oid, Operation::Truncate, None, None, lsn, received)?;
                }
                return Ok(());
            }
            Message::Begin { .. }
            | Message::Commit { .. }
            | Message::Origin { .. }
            | Message::Type { .. }
            | Message::Logical { .. } => return Ok(()),
        };
        self.hand_over(oid, operation, new, old, lsn, received)
    }

    fn hand_over(
        &mut self,
        oid: u32,
        operation: Operation,
        new: Option<Tuple<'_>>,
        old: Option<OldTuple<'_>>,
        lsn: Lsn,
        received: Stamp,
    ) -> Result<(), ReaderError> {
        let relation = self
            .relations
            .get(oid)
            .ok_or(ReaderError::UnknownRelation { oid, lsn })?;
        let Transaction {
            xid,
            commit_lsn,
            commit_time,
        } = self.transaction.unwrap_or(Transaction {
            xid: Xid(0),
            commit_lsn: lsn,
            commit_time: Stamp(0),
        });
        (self.handler)(Change {
            relation,
            operation,
            new,
            old,
            xid,
            lsn,
            commit_lsn,
            commit_time,
            received,
        });
        self.stats.changes += 1;
        Ok(())
    }
}

/// PostgreSQL's microseconds since 2000 as a stamp on its own clock.
fn postgres_time(micros: i64) -> Stamp {
    Stamp(POSTGRES_EPOCH_S * 1_000_000_000) + Nanos::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgresqls_epoch_is_the_year_2000() {
        assert_eq!(postgres_time(0), Stamp(946_684_800_000_000_000));
        assert_eq!(postgres_time(-1), Stamp(946_684_799_999_999_000));
    }
}
