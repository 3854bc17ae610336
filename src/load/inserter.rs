//! The inserter: a few connections that take due transactions and commit them.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_channel::Receiver;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, InsertError};
use super::pacer::{End, Pacer, Transaction};
use super::rate::{Rate, Schedule};
use crate::config::PostgresEndpoint;
use crate::event::{EventId, OutboxRow};
use crate::timeline::{Clock, Nanos, Stamp};

/// Longest time spent on getting a lost connection back.
const RECONNECT_LIMIT: Duration = Duration::from_secs(30);
const FIRST_BACK_OFF: Duration = Duration::from_millis(50);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(2);
/// How long an INSERT under way may go on once the load was cancelled.
const CANCEL_GRACE: Duration = Duration::from_secs(2);
/// Rows that wait, due, for a free connection; past them the pacing thread waits too. No row's `ts` depends on it.
const QUEUED_ROWS: usize = 1_024;
/// From the last connection's readiness to the first row's due time, so that row 0 is not late by starting up.
const LEAD: Nanos = Nanos::from_millis(2);

/// How much to insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// This many events.
    Events(u64),
    /// The events that are due within this time from the first. At [`Rate::MAX`], as many as are sent within it.
    Duration(Duration),
}

/// What to insert, where, and how fast.
#[derive(Debug)]
pub struct LoadPlan<'a, I> {
    /// The source database.
    pub endpoint: &'a PostgresEndpoint,
    /// Value of the `run_id` column.
    pub run_id: String,
    /// The rows; the load ends early where they do.
    pub rows: I,
    /// Events a second.
    pub rate: Rate,
    /// Where to stop.
    pub limit: Limit,
    /// Rows a transaction; 1 makes each event a commit of its own. 0 is taken as 1.
    pub insert_batch: usize,
    /// Connections that insert side by side. 0 is taken as 1.
    pub connections: usize,
}

/// Is told of every row as it goes out. Called from several tasks at once, on the hot path: keep it short.
pub trait LoadObserver: Send + Sync {
    /// The INSERT is about to be sent: `ts` is when the schedule wanted that, `t0` is now. Called once a row, even where
    /// the row is sent again after a lost connection; all rows of a transaction have the same `ts` and `t0`.
    fn sending(&self, row: &OutboxRow, ts: Stamp, t0: Stamp);
    /// The row's commit was acknowledged at `ta`.
    fn acknowledged(&self, id: EventId, seq: u64, ta: Stamp);
    /// The row is not in the table, or (on cancellation alone) it is unknown whether it is; `reason` says so.
    fn failed(&self, id: EventId, seq: u64, reason: &str);
}

/// What a load came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadSummary {
    /// Rows acknowledged.
    pub inserted: u64,
    /// Transactions acknowledged.
    pub transactions: u64,
    /// Rows not inserted, or with an unknown outcome after cancellation.
    pub errors: u64,
    /// Transactions sent a second time because the connection was lost before their acknowledgement.
    pub retried: u64,
    /// When the first row was sent.
    pub first_t0: Option<Stamp>,
    /// When the last row was acknowledged.
    pub last_ta: Option<Stamp>,
    /// The most any row was late: the greatest T0 - Ts.
    pub max_schedule_lag: Nanos,
    /// Whether the load was stopped before its end.
    pub cancelled: bool,
}

impl LoadSummary {
    /// Rows a second from the first T0 to the last Ta, or `None` when nothing was inserted.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // a display value
    pub fn inserted_per_s(&self) -> Option<f64> {
        let span = self.last_ta? - self.first_t0?;
        (span.0 > 0).then(|| self.inserted as f64 * 1e9 / span.0 as f64)
    }

    /// Adds what another load came to.
    pub fn add(&mut self, other: &Self) {
        self.inserted += other.inserted;
        self.transactions += other.transactions;
        self.errors += other.errors;
        self.retried += other.retried;
        self.first_t0 = match (self.first_t0, other.first_t0) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        self.last_ta = self.last_ta.max(other.last_ta);
        self.max_schedule_lag = self.max_schedule_lag.max(other.max_schedule_lag);
        self.cancelled |= other.cancelled;
    }
}

/// Why a load could not begin or go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// No connection.
    #[error("cannot connect to PostgreSQL at {server} to insert events: {cause}; {advice}")]
    Connect {
        /// User, address and database.
        server: String,
        /// The server's or the system's words.
        cause: String,
        /// The way out.
        advice: &'static str,
        /// Whether trying again is no use.
        hopeless: bool,
    },
    /// The INSERT does not fit the table.
    #[error("cannot insert into activity.event_outbox at {server}: {cause}; {advice}")]
    Prepare {
        /// User, address and database.
        server: String,
        /// The server's words.
        cause: String,
        /// The way out.
        advice: &'static str,
    },
    /// The connection was lost in mid-load and did not come back.
    #[error(
        "lost the connection to PostgreSQL at {server} while inserting ({lost}) and could not get it back within {waited_s} s: {cause}"
    )]
    ConnectionLost {
        /// User, address and database.
        server: String,
        /// Why it was lost.
        lost: String,
        /// Seconds spent on getting it back.
        waited_s: u64,
        /// Why the last attempt failed.
        cause: String,
    },
    /// The pacing thread could not be started, or died.
    #[error("the pacing thread of the load {0}")]
    Pacer(String),
}

/// Inserts the plan's rows on its schedule, and returns when all of them are acknowledged or failed, or, after `cancel`,
/// when what was under way has ended (at most some two seconds later).
///
/// A statement that the server refuses fails its rows and the load goes on. Rows whose outcome is unknown because the
/// connection was lost are sent again with `ON CONFLICT (id) DO NOTHING`; a connection that stays away for 30 s ends the
/// load.
///
/// # Errors
/// [`LoadError`]; rows acknowledged up to then stay in the table.
pub async fn run_load<I>(
    plan: LoadPlan<'_, I>,
    clock: Clock,
    observer: Arc<dyn LoadObserver>,
    cancel: CancellationToken,
) -> Result<LoadSummary, LoadError>
where
    I: Iterator<Item = OutboxRow> + Send + 'static,
{
    let connections = plan.connections.max(1);
    let insert_batch = plan.insert_batch.max(1);
    let opened = (0..connections).map(|_| Connection::open(plan.endpoint, insert_batch));
    let opened = futures_util::future::try_join_all(opened).await?;

    let queued = (QUEUED_ROWS / insert_batch).max(connections);
    let (sender, transactions) = async_channel::bounded(queued);
    let schedule = Schedule::new(clock.now() + LEAD, plan.rate);
    let pacer = Pacer {
        rows: plan.rows,
        schedule,
        end: end_of(plan.limit, schedule, plan.rate),
        insert_batch,
        clock,
        transactions: sender,
    };

    // Stops the other workers when one of them gives up; the caller's own token stays as it is.
    let stop = cancel.child_token();
    let mut workers = JoinSet::new();
    for connection in opened {
        let worker = Worker {
            endpoint: plan.endpoint.clone(),
            run_id: plan.run_id.clone(),
            insert_batch,
            clock,
            observer: Arc::clone(&observer),
            stop: stop.clone(),
            tally: LoadSummary::default(),
        };
        workers.spawn(worker.run(connection, transactions.clone()));
    }
    let paced = start(pacer)?;

    let mut summary = LoadSummary::default();
    let mut failure = None;
    while let Some(ended) = workers.join_next().await {
        match ended {
            Ok(Ok(tally)) => summary.add(&tally),
            Ok(Err(error)) => {
                failure.get_or_insert(error);
                stop.cancel();
            }
            // Nobody aborts a worker, so it panicked.
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => stop.cancel(),
            },
        }
    }
    transactions.close();
    if let Some(error) = failure {
        return Err(error);
    }
    match paced.await {
        Ok(()) => Ok(summary),
        Err(_) => Err(LoadError::Pacer("died: its rows panicked".to_owned())),
    }
}

fn end_of(limit: Limit, schedule: Schedule, rate: Rate) -> End {
    match limit {
        Limit::Events(count) => End::Rows(count),
        Limit::Duration(span) => match rate.events_in(span) {
            Some(count) => End::Rows(count),
            None => End::At(schedule.start() + Nanos::from(span)),
        },
    }
}

/// Starts the pacing thread; the receiver resolves when it ends.
fn start<I>(pacer: Pacer<I>) -> Result<oneshot::Receiver<()>, LoadError>
where
    I: Iterator<Item = OutboxRow> + Send + 'static,
{
    let (done, ended) = oneshot::channel();
    let work = move || {
        pacer.run();
        // The load may have ended with an error and listen no more.
        let _ = done.send(());
    };
    thread::Builder::new()
        .name("pacer".to_owned())
        .spawn(work)
        .map_err(|error| LoadError::Pacer(format!("could not be started: {error}")))?;
    Ok(ended)
}

/// One connection's share of the load.
struct Worker {
    endpoint: PostgresEndpoint,
    run_id: String,
    insert_batch: usize,
    clock: Clock,
    observer: Arc<dyn LoadObserver>,
    stop: CancellationToken,
    tally: LoadSummary,
}

/// What became of a transaction.
enum Outcome {
    Acknowledged,
    Failed(String),
    Cancelled,
}

impl Worker {
    async fn run(
        mut self,
        mut connection: Connection,
        transactions: Receiver<Transaction>,
    ) -> Result<LoadSummary, LoadError> {
        let stop = self.stop.clone();
        loop {
            let transaction = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.tally.cancelled = true;
                    break;
                }
                next = transactions.recv() => match next {
                    Ok(transaction) => transaction,
                    Err(_) => break,
                },
            };
            self.note_sending(&transaction);
            match self.commit(&mut connection, &transaction.rows).await? {
                Outcome::Acknowledged => self.note_acknowledged(&transaction.rows),
                Outcome::Failed(reason) => self.note_failed(&transaction.rows, &reason),
                Outcome::Cancelled => {
                    let reason = "the load was stopped before the INSERT was acknowledged: it may be in the table or not";
                    self.note_failed(&transaction.rows, reason);
                }
            }
        }
        Ok(self.tally)
    }

    /// Sends the rows, over a new connection where need be, until their outcome is known.
    async fn commit(
        &mut self,
        connection: &mut Connection,
        rows: &[OutboxRow],
    ) -> Result<Outcome, LoadError> {
        let stop = self.stop.clone();
        let stopped = async {
            stop.cancelled().await;
            tokio::time::sleep(CANCEL_GRACE).await;
        };
        tokio::select! {
            outcome = self.commit_surely(connection, rows) => outcome,
            () = stopped => Ok(Outcome::Cancelled),
        }
    }

    async fn commit_surely(
        &mut self,
        connection: &mut Connection,
        rows: &[OutboxRow],
    ) -> Result<Outcome, LoadError> {
        let mut result = connection.insert(&self.run_id, rows).await;
        loop {
            let lost = match result {
                Ok(()) => return Ok(Outcome::Acknowledged),
                Err(InsertError::Refused(reason)) => return Ok(Outcome::Failed(reason)),
                Err(InsertError::Lost(cause)) => cause,
            };
            *connection = self.reconnect(&lost).await?;
            self.tally.retried += 1;
            result = connection.insert_missing(&self.run_id, rows).await;
        }
    }

    async fn reconnect(&self, lost: &str) -> Result<Connection, LoadError> {
        tracing::warn!(server = %self.endpoint, cause = lost, "lost an inserting connection, reconnecting");
        let begun = Instant::now();
        let mut back_off = FIRST_BACK_OFF;
        loop {
            let error = match Connection::open(&self.endpoint, self.insert_batch).await {
                Ok(connection) => return Ok(connection),
                Err(LoadError::Connect {
                    cause,
                    hopeless: false,
                    ..
                }) => cause,
                Err(error) => return Err(error),
            };
            if begun.elapsed() + back_off > RECONNECT_LIMIT {
                return Err(LoadError::ConnectionLost {
                    server: self.endpoint.to_string(),
                    lost: lost.to_owned(),
                    waited_s: begun.elapsed().as_secs(),
                    cause: error,
                });
            }
            tokio::time::sleep(back_off).await;
            back_off = LONGEST_BACK_OFF.min(back_off * 2);
        }
    }

    fn note_sending(&mut self, transaction: &Transaction) {
        let t0 = self.clock.now();
        let ts = transaction.due.unwrap_or(t0);
        self.tally.first_t0.get_or_insert(t0);
        self.tally.max_schedule_lag = self.tally.max_schedule_lag.max(t0 - ts);
        for row in &transaction.rows {
            self.observer.sending(row, ts, t0);
        }
    }

    fn note_acknowledged(&mut self, rows: &[OutboxRow]) {
        let ta = self.clock.now();
        self.tally.last_ta = Some(ta);
        self.tally.transactions += 1;
        for row in rows {
            self.tally.inserted += 1;
            self.observer.acknowledged(row.id, row.seq, ta);
        }
    }

    fn note_failed(&mut self, rows: &[OutboxRow], reason: &str) {
        for row in rows {
            self.tally.errors += 1;
            self.observer.failed(row.id, row.seq, reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up() {
        let mut sum = LoadSummary::default();
        sum.add(&LoadSummary {
            inserted: 2,
            first_t0: Some(Stamp(50)),
            last_ta: Some(Stamp(70)),
            max_schedule_lag: Nanos(3),
            ..LoadSummary::default()
        });
        sum.add(&LoadSummary::default());
        sum.add(&LoadSummary {
            inserted: 1,
            first_t0: Some(Stamp(40)),
            last_ta: Some(Stamp(60)),
            ..LoadSummary::default()
        });
        assert_eq!(sum.inserted, 3);
        assert_eq!(sum.first_t0, Some(Stamp(40)));
        assert_eq!(sum.last_ta, Some(Stamp(70)));
        assert_eq!(sum.max_schedule_lag, Nanos(3));
        assert_eq!(sum.inserted_per_s(), Some(1e8));
        assert_eq!(LoadSummary::default().inserted_per_s(), None);
    }

    #[test]
    fn a_duration_ends_by_count_where_there_is_a_schedule() {
        let schedule = Schedule::new(Stamp(0), "10".parse().unwrap());
        let limit = Limit::Duration(Duration::from_secs(2));
        let rate = "10".parse().unwrap();
        assert!(matches!(end_of(limit, schedule, rate), End::Rows(20)));
        let at_max = end_of(limit, schedule, Rate::MAX);
        assert!(matches!(at_max, End::At(Stamp(2_000_000_000))));
    }

    #[tokio::test]
    async fn nobody_on_the_port_is_an_error_with_a_way_out() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let endpoint = PostgresEndpoint {
            host: "127.0.0.1".to_owned(),
            port,
            database: "activity_db".to_owned(),
            user: "u".to_owned(),
            password: "hidden".to_owned().into(),
            tls: crate::wal::TlsConfig::disabled(),
        };
        let Err(error) = Connection::open(&endpoint, 1).await else {
            panic!("connected to nobody");
        };
        let text = error.to_string();
        assert!(text.contains(&format!("u@127.0.0.1:{port}/activity_db")));
        assert!(
            text.contains("refused") && text.contains("POSTGRES_PORT"),
            "{text}"
        );
        assert!(!text.contains("hidden"));
    }
}
