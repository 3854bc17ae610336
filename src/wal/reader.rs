//! A logical replication stream on a thread of its own.
//!
//! One thread, one current-thread runtime: the bytes go from the socket through the decoder into the handler without
//! changing the core. Measured, that doubles the rows a second over a multi-thread runtime; the walsender is the bound.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use pgwire_replication::{Lsn as WireLsn, PgWireError, ReplicationClient, ReplicationEvent};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::catalogue::{Catalogue, CatalogueColumn};
use super::config::{Acknowledge, Origins, ReaderConfig, Slot};
use super::event::{Change, Commit, Event, LogicalMessage, Operation, Transaction};
use super::pgoutput::{self, Message};
use super::watch::{HEARTBEAT_PREFIX, Watch};
use super::{Lsn, ReaderError, Relations, Xid};
use crate::timeline::{Clock, Nanos, Stamp};

/// PostgreSQL counts microseconds from 2000-01-01; this many seconds after the Unix epoch.
const POSTGRES_EPOCH_S: i64 = 946_684_800;
/// First and longest pause before a broken stream is opened again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// Longest wait for the server to accept the stream.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Longest wait for the last position to be told.
const FAREWELL_LIMIT: Duration = Duration::from_secs(5);

/// What a reader has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReaderStats {
    /// Changes handed over.
    pub changes: u64,
    /// Transactions that ended, also those with nothing in them for us.
    pub transactions: u64,
    /// Position behind the last transaction that was handed over whole.
    pub last_lsn: Lsn,
    /// Position up to which the server has been told that we are done.
    pub acknowledged: Lsn,
    /// Streams opened after the first.
    pub reconnects: u64,
}

/// The reader. It has no state of its own: see [`Reader::spawn`].
#[derive(Debug)]
pub struct Reader;

/// Says which transactions are done with, from whatever thread knows.
#[derive(Debug, Clone)]
pub struct Acknowledger(Arc<Acknowledged>);

#[derive(Debug, Default)]
struct Acknowledged {
    lsn: AtomicU64,
    raised: Notify,
}

impl Acknowledger {
    /// Everything up to this position, the [`Commit::end_lsn`] of a transaction, is where it should be. Positions that
    /// were passed already say nothing new.
    pub fn acknowledge(&self, end_lsn: Lsn) {
        if self.0.lsn.fetch_max(end_lsn.0, Ordering::AcqRel) < end_lsn.0 {
            self.0.raised.notify_one();
        }
    }

    /// The position acknowledged last.
    #[must_use]
    pub fn acknowledged(&self) -> Lsn {
        Lsn(self.0.lsn.load(Ordering::Acquire))
    }
}

/// A reader at work. Dropping it stops it.
#[derive(Debug)]
pub struct ReaderHandle {
    stop: CancellationToken,
    over: CancellationToken,
    error: Arc<Mutex<Option<ReaderError>>>,
    acknowledger: Acknowledger,
    thread: Option<JoinHandle<Result<ReaderStats, ReaderError>>>,
}

impl Reader {
    /// Opens the stream and hands every event to `handler`, on the reader's thread. Returns once the server streams: no
    /// later change can be missed. A handler that breaks stops the reader.
    ///
    /// A connection that breaks is opened again, and the stream goes on where it was: nothing is handed over twice for as
    /// long as the reader lives. A reader that is started anew begins behind what was acknowledged.
    ///
    /// # Errors
    /// When the server does not answer, refuses, or has no place for another slot.
    pub async fn spawn(
        config: ReaderConfig,
        clock: Clock,
        handler: impl FnMut(Event<'_>) -> ControlFlow<()> + Send + 'static,
    ) -> Result<ReaderHandle, ReaderError> {
        let (stop, over) = (CancellationToken::new(), CancellationToken::new());
        let error = Arc::new(Mutex::new(None));
        let acknowledger = Acknowledger(Arc::default());
        let (started, has_started) = oneshot::channel();
        let (thread_stop, thread_error) = (stop.clone(), Arc::clone(&error));
        let (thread_over, thread_acknowledger) = (over.clone().drop_guard(), acknowledger.clone());
        let thread = std::thread::Builder::new()
            .name("wal-reader".to_owned())
            .spawn(move || {
                let _over = thread_over;
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let runtime =
                    runtime.map_err(|e| ReaderError::Thread(format!("has no runtime: {e}")))?;
                let work = Work {
                    config,
                    clock,
                    handler,
                    acknowledger: thread_acknowledger,
                    relations: Relations::default(),
                    catalogue: Catalogue::default(),
                    looked_up: None,
                    place: Place::default(),
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
            over,
            error,
            acknowledger,
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

    /// Says which transactions are done with, where that is done by hand.
    #[must_use]
    pub fn acknowledger(&self) -> Acknowledger {
        self.acknowledger.clone()
    }

    /// Whether the reader has ended by itself.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Waits until the reader has ended by itself: its handler broke, or it failed.
    pub async fn ended(&self) {
        self.over.cancelled().await;
    }

    /// Ends the stream and waits for the thread; blocks for as long as the handler takes for what it is at. What was
    /// acknowledged until now is told to the server first.
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

/// How far the handler has got.
#[derive(Debug, Default)]
struct Place {
    /// Behind this, nothing has been handed over.
    handled: Lsn,
    /// Behind the last transaction that came by.
    ended: Lsn,
    /// Behind the last transaction that had something for the handler.
    told: Lsn,
    /// The transaction being read.
    open: Option<Open>,
    /// The one that was being read when the stream broke: it comes again, from its beginning.
    again: Option<Open>,
}

/// A transaction being read.
#[derive(Debug)]
struct Open {
    transaction: Transaction,
    /// Changes and messages of it that came by in this stream.
    seen: u64,
    /// Those that the handler had before the stream broke, and does not get again.
    skip: u64,
    /// Whether the handler knows of it.
    told: bool,
    /// Whether the handler is to hear nothing of it.
    filtered: bool,
}

struct Work<H> {
    config: ReaderConfig,
    clock: Clock,
    handler: H,
    acknowledger: Acknowledger,
    relations: Relations,
    catalogue: Catalogue,
    /// What the catalogue says of the table whose description is next.
    looked_up: Option<Vec<CatalogueColumn>>,
    place: Place,
    stats: ReaderStats,
    stop: CancellationToken,
}

/// How a stream ended.
enum Ended {
    Stopped,
    Broken(PgWireError),
}

/// Whether to read on.
type Flow = ControlFlow<()>;

impl<H: FnMut(Event<'_>) -> Flow> Work<H> {
    async fn run(mut self, started: oneshot::Sender<()>) -> Result<ReaderStats, ReaderError> {
        self.begin()?;
        let mut client = self.first().await?;
        // Whoever waited for the start may have gone away: then the handle is gone too, and `stop` is set.
        let _ = started.send(());
        let mut watch = Watch::start(&self.config);
        loop {
            match self.follow(&mut client, &mut watch).await? {
                Ended::Stopped => {
                    self.acknowledge(&client)?;
                    self.tell_the_last(&client).await;
                    if let Err(error) = client.shutdown().await {
                        tracing::debug!(%error, "the stream did not close cleanly");
                    }
                    return Ok(self.stats);
                }
                Ended::Broken(cause) => {
                    if let Slot::Temporary(_) = self.config.slot {
                        return Err(ReaderError::TemporarySlotLost {
                            server: self.config.server.address(),
                            last: self.stats.last_lsn,
                            reason: cause.to_string(),
                        });
                    }
                    self.reject_permanent(&cause)?;
                    match self.reopen(&cause).await? {
                        Some(fresh) => client = fresh,
                        None => return Ok(self.stats),
                    }
                }
            }
        }
    }

    /// The position to begin behind, where it is not the slot's own.
    fn begin(&mut self) -> Result<(), ReaderError> {
        let kept = match &mut self.config.checkpoint {
            Some(checkpoint) => checkpoint.load().map_err(ReaderError::checkpoint)?,
            None => None,
        };
        if let Some(lsn) = kept.or(self.config.start_after) {
            self.place.handled = lsn;
            self.place.told = lsn;
            self.acknowledger.acknowledge(lsn);
            self.stats.acknowledged = lsn;
        }
        Ok(())
    }

    async fn first(&mut self) -> Result<ReplicationClient, ReaderError> {
        tokio::select! {
            () = self.stop.cancelled() => Err(ReaderError::Thread("was stopped before the stream began".to_owned())),
            opened = self.open(true) => opened,
        }
    }

    /// Connects and starts the stream.
    async fn open(&self, first: bool) -> Result<ReplicationClient, ReaderError> {
        let server = &self.config.server;
        let sorted = |error: PgWireError| ReaderError::of(&error, &server.address(), &server.user);
        let acknowledged = self.acknowledger.acknowledged();
        let opening = async {
            let wire = self.config.wire(self.place.handled, acknowledged);
            let mut client = ReplicationClient::connect_gated(wire)
                .await
                .map_err(sorted)?;
            self.require_publications(&mut client).await?;
            if first && let Some(creation) = self.config.slot.creation() {
                match client.simple_query(&creation).await {
                    // 42710: it is there already.
                    Err(error)
                        if error.to_string().contains("42710")
                            && matches!(self.config.slot, Slot::Permanent { .. }) => {}
                    made => drop(made.map_err(sorted)?),
                }
            }
            client.start().await.map_err(sorted)?;
            client.wait_started().await.map_err(sorted)?;
            Ok(client)
        };
        tokio::time::timeout(START_LIMIT, opening)
            .await
            .unwrap_or_else(|_| {
                Err(ReaderError::Connection {
                    server: server.address(),
                    reason: format!(
                        "the stream did not begin within {} s",
                        START_LIMIT.as_secs()
                    ),
                })
            })
    }

    /// A server may stream nothing for a publication that is not there, and say so in its log alone.
    async fn require_publications(
        &self,
        client: &mut ReplicationClient,
    ) -> Result<(), ReaderError> {
        let server = &self.config.server;
        let sorted = |error: PgWireError| ReaderError::of(&error, &server.address(), &server.user);
        let rows = client
            .simple_query("SELECT pubname FROM pg_publication")
            .await
            .map_err(sorted)?;
        let there = |name: &String| {
            rows.iter()
                .any(|row| matches!(row.first(), Some(Some(found)) if found == name.as_bytes()))
        };
        match self.config.publications.iter().find(|name| !there(name)) {
            Some(name) => Err(ReaderError::NoPublication {
                server: server.address(),
                database: server.database.clone(),
                publication: name.clone(),
            }),
            None => Ok(()),
        }
    }

    /// What a new connection would not change.
    fn reject_permanent(&self, cause: &PgWireError) -> Result<(), ReaderError> {
        let server = &self.config.server;
        let error = ReaderError::of(cause, &server.address(), &server.user);
        if error.is_permanent() {
            return Err(error);
        }
        Ok(())
    }

    /// Opens the stream again after it broke. `None` when it was asked to stop meanwhile.
    async fn reopen(
        &mut self,
        cause: &PgWireError,
    ) -> Result<Option<ReplicationClient>, ReaderError> {
        tracing::warn!(%cause, slot = %self.config.slot.name(), "the WAL stream broke; opening it again");
        // The transaction in hand comes again from its beginning.
        if let Some(open) = self.place.open.take() {
            self.place.again = Some(open);
        }
        let mut pause = BACK_OFF.0;
        loop {
            let attempt = async {
                tokio::time::sleep(pause).await;
                self.open(false).await
            };
            let opened = tokio::select! {
                () = self.stop.cancelled() => return Ok(None),
                opened = attempt => opened,
            };
            match opened {
                Ok(client) => {
                    self.stats.reconnects += 1;
                    return Ok(Some(client));
                }
                Err(error) if error.is_permanent() => return Err(error),
                Err(error) => tracing::warn!(%error, "trying again in {} ms", pause.as_millis()),
            }
            pause = (pause * 2).min(BACK_OFF.1);
        }
    }

    async fn follow(
        &mut self,
        client: &mut ReplicationClient,
        watch: &mut Watch,
    ) -> Result<Ended, ReaderError> {
        let acknowledged = Arc::clone(&self.acknowledger.0);
        let mut store = Instant::now();
        loop {
            let event = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(Ended::Stopped),
                error = watch.failed() => return Err(error),
                () = acknowledged.raised.notified() => {
                    // A checkpoint costs a disk's flush: as often as the server hears of it, and no oftener.
                    if self.config.checkpoint.is_none() || store <= Instant::now() {
                        store = Instant::now() + self.config.status_interval;
                        self.acknowledge(client)?;
                    }
                    continue;
                }
                () = tokio::time::sleep_until(store), if self.is_behind() && self.config.checkpoint.is_some() => {
                    store = Instant::now() + self.config.status_interval;
                    self.acknowledge(client)?;
                    continue;
                }
                event = client.recv() => event,
            };
            match event {
                Ok(Some(event)) => {
                    if self.config.describe
                        && let ReplicationEvent::XLogData { data, .. } = &event
                        && data.first() == Some(&b'R')
                    {
                        // The description comes again with the next stream.
                        if let Err(cause) = self.look_up(data).await {
                            return Ok(Ended::Broken(cause));
                        }
                    }
                    if self.handle(event)?.is_break() {
                        return Ok(Ended::Stopped);
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

    /// Asks the catalogue for what a description does not say.
    async fn look_up(&mut self, data: &Bytes) -> Result<(), PgWireError> {
        // What is no description is an error where it is handled.
        let Ok(Message::Relation(description)) = pgoutput::decode(data) else {
            return Ok(());
        };
        let server = &self.config.server;
        if self.relations.lacks_a_type_of(&description) {
            let types = self.catalogue.types(server).await?;
            self.relations.types_mut().learn(&types);
        }
        let columns = self.catalogue.columns(server, description.oid).await?;
        self.looked_up = Some(columns);
        Ok(())
    }

    fn is_behind(&self) -> bool {
        self.acknowledger.acknowledged() > self.stats.acknowledged
    }

    /// Tells checkpoint and server, in this order, what was acknowledged.
    fn acknowledge(&mut self, client: &ReplicationClient) -> Result<(), ReaderError> {
        let lsn = self.acknowledger.acknowledged();
        if lsn <= self.stats.acknowledged {
            return Ok(());
        }
        if let Some(checkpoint) = &mut self.config.checkpoint {
            checkpoint.store(lsn).map_err(ReaderError::checkpoint)?;
        }
        client.update_applied_lsn(WireLsn::from_u64(lsn.0));
        self.stats.acknowledged = lsn;
        Ok(())
    }

    /// The server hears the last position before the connection closes, so that it does not send again what was
    /// acknowledged. The protocol library tells it once in a status interval.
    async fn tell_the_last(&self, client: &ReplicationClient) {
        if let Slot::Temporary(_) = self.config.slot {
            return;
        }
        let limit = (self.config.status_interval + Duration::from_millis(500)).min(FAREWELL_LIMIT);
        let told = async {
            while client.feedback_pending_since().is_some() && client.is_running() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(limit, told).await.is_err() {
            tracing::warn!(
                slot = %self.config.slot.name(),
                lsn = %self.stats.acknowledged,
                "the server has not heard of the last position; what lies before it comes again"
            );
        }
    }

    fn handle(&mut self, event: ReplicationEvent) -> Result<Flow, ReaderError> {
        match event {
            ReplicationEvent::XLogData {
                wal_start, data, ..
            } => self.data(Lsn(wal_start.as_u64()), &data),
            ReplicationEvent::Begin {
                final_lsn,
                xid,
                commit_time_micros,
            } => self
                .transaction_begins(Transaction {
                    xid: Xid(xid),
                    commit_lsn: Lsn(final_lsn.as_u64()),
                    commit_time: postgres_time(commit_time_micros),
                    previous: (self.place.ended != Lsn(0)).then_some(self.place.ended),
                    origin: None,
                })
                .map(|()| Flow::Continue(())),
            ReplicationEvent::Commit { end_lsn, .. } => {
                Ok(self.transaction_ends(Lsn(end_lsn.as_u64())))
            }
            ReplicationEvent::KeepAlive { wal_end, .. } => Ok(self.idle(Lsn(wal_end.as_u64()))),
            ReplicationEvent::Message {
                transactional,
                lsn,
                prefix,
                content,
            } => Ok(self.message(transactional, Lsn(lsn.as_u64()), &prefix, &content)),
            ReplicationEvent::StoppedAt { .. } => Ok(Flow::Break(())),
        }
    }

    fn transaction_begins(&mut self, transaction: Transaction) -> Result<(), ReaderError> {
        let mut open = Open {
            transaction,
            seen: 0,
            skip: 0,
            told: false,
            filtered: false,
        };
        if let Some(again) = self.place.again.take() {
            let (wanted, found) = (again.transaction.commit_lsn, open.transaction.commit_lsn);
            // Nothing of it was handed over: it is new still.
            if wanted != found && again.told {
                return Err(ReaderError::Gap { wanted, found });
            }
            if wanted == found {
                // An earlier break may have come later in it than this one.
                open.skip = again.seen.max(again.skip);
                open.told = again.told;
            }
        }
        self.place.open = Some(open);
        Ok(())
    }

    fn transaction_ends(&mut self, end_lsn: Lsn) -> Flow {
        self.stats.transactions += 1;
        self.stats.last_lsn = end_lsn;
        self.place.handled = end_lsn;
        self.place.ended = end_lsn;
        let Some(open) = self.place.open.take() else {
            return Flow::Continue(());
        };
        if !open.told {
            return self.idle(end_lsn);
        }
        let flow = (self.handler)(Event::Commit(Commit {
            transaction: &open.transaction,
            end_lsn,
            events: open.seen,
        }));
        self.place.told = end_lsn;
        if self.config.acknowledge == Acknowledge::OnReturn {
            self.acknowledger.acknowledge(end_lsn);
        }
        flow
    }

    /// Nothing of ours lies before this position: the server may let go of its WAL also where our tables are idle.
    fn idle(&mut self, lsn: Lsn) -> Flow {
        if self.place.open.is_some() || self.place.again.is_some() {
            return Flow::Continue(());
        }
        self.place.handled = self.place.handled.max(lsn);
        if self.acknowledger.acknowledged() >= self.place.told {
            self.acknowledger.acknowledge(lsn);
        }
        (self.handler)(Event::Idle(lsn))
    }

    fn data(&mut self, lsn: Lsn, data: &Bytes) -> Result<Flow, ReaderError> {
        let message = pgoutput::decode(data).map_err(|cause| ReaderError::Decode { cause, lsn })?;
        // T1: the row is decoded.
        let received = self.clock.now();
        let (oid, operation, new, old) = match message {
            Message::Relation(description) => {
                let columns = self.looked_up.take();
                self.relations.describe(&description, columns.as_deref());
                return Ok(Flow::Continue(()));
            }
            Message::Origin { name, .. } => {
                if let Some(open) = &mut self.place.open {
                    open.filtered = self.config.origins == Origins::Local;
                    open.transaction.origin = Some(name.to_owned());
                }
                return Ok(Flow::Continue(()));
            }
            Message::Insert { relation, new } => (relation, Operation::Insert, Some(new), None),
            Message::Update { relation, old, new } => (relation, Operation::Update, Some(new), old),
            Message::Delete { relation, old } => (relation, Operation::Delete, None, Some(old)),
            Message::Truncate {
                relations,
                cascade,
                restart_identity,
            } => {
                let operation = Operation::Truncate {
                    cascade,
                    restart_identity,
                };
                for oid in relations {
                    if self
                        .change(oid, operation, None, None, lsn, received)?
                        .is_break()
                    {
                        return Ok(Flow::Break(()));
                    }
                }
                return Ok(Flow::Continue(()));
            }
            Message::Begin { .. }
            | Message::Commit { .. }
            | Message::Type { .. }
            | Message::Logical { .. } => return Ok(Flow::Continue(())),
        };
        self.change(oid, operation, new, old, lsn, received)
    }

    fn change(
        &mut self,
        oid: u32,
        operation: Operation,
        new: Option<pgoutput::Tuple<'_>>,
        old: Option<pgoutput::OldTuple<'_>>,
        lsn: Lsn,
        received: Stamp,
    ) -> Result<Flow, ReaderError> {
        let relation = self
            .relations
            .get(oid)
            .ok_or(ReaderError::UnknownRelation { oid, lsn })?;
        let open = self
            .place
            .open
            .as_mut()
            .ok_or(ReaderError::NoTransaction { lsn })?;
        let Some(index) = open.next() else {
            return Ok(Flow::Continue(()));
        };
        if open.tell(&mut self.handler).is_break() {
            return Ok(Flow::Break(()));
        }
        self.stats.changes += 1;
        Ok((self.handler)(Event::Change(Change {
            relation,
            operation,
            new,
            old,
            transaction: &open.transaction,
            lsn,
            index,
            received,
        })))
    }

    fn message(&mut self, transactional: bool, lsn: Lsn, prefix: &str, content: &[u8]) -> Flow {
        let received = self.clock.now();
        if prefix == HEARTBEAT_PREFIX {
            return Flow::Continue(());
        }
        if !transactional {
            // It may come again when the stream breaks: its place is in no transaction.
            return (self.handler)(Event::Message(LogicalMessage {
                transaction: None,
                lsn,
                index: 0,
                prefix,
                content,
                received,
            }));
        }
        let Some(open) = &mut self.place.open else {
            return Flow::Continue(());
        };
        let Some(index) = open.next() else {
            return Flow::Continue(());
        };
        open.tell(&mut self.handler)?;
        (self.handler)(Event::Message(LogicalMessage {
            transaction: Some(&open.transaction),
            lsn,
            index,
            prefix,
            content,
            received,
        }))
    }
}

impl Open {
    /// Counts an event; its position in the transaction, when the handler is to have it.
    fn next(&mut self) -> Option<u64> {
        let index = self.seen;
        self.seen += 1;
        (!self.filtered && index >= self.skip).then_some(index)
    }

    /// The handler hears of the transaction with its first event.
    fn tell(&mut self, handler: &mut impl FnMut(Event<'_>) -> Flow) -> Flow {
        if self.told {
            return Flow::Continue(());
        }
        self.told = true;
        handler(Event::Begin(&self.transaction))
    }
}

/// PostgreSQL's microseconds since 2000 as a stamp on its own clock.
pub(super) fn postgres_time(micros: i64) -> Stamp {
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
