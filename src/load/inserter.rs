//! The inserter: a few connections that take due transactions and commit them.
//!
//! It has a thread with a runtime of its own, so that neither T0 nor the next INSERT waits for whoever else is busy in
//! this process. A transaction goes to the connection that has the fewest under way: to an idle one while there is one,
//! else behind another, without waiting for that one's acknowledgement.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_channel::Receiver;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::line::{Line, Outcome};
use super::pace::Pace;
use super::pacer::{Course, Pacer, Transaction};

use cdc_bench_model::event::{EventId, OutboxRow};
use cdc_bench_model::timeline::{Clock, Nanos, Stamp};
use cdc_bench_stack::PostgresEndpoint;

/// Transactions under way on one connection.
const PIPELINE: usize = 8;
/// Rows that wait, due, for a connection; past them the pacing thread waits too. No row's `ts` depends on it.
const QUEUED_ROWS: usize = 1_024;
/// From the last connection's readiness to the first row's due time, so that row 0 is not late by starting up.
const LEAD: Nanos = Nanos::from_millis(2);

/// How much to insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// This many events.
    Events(u64),
    /// The events that are due within this time from the first. At [`Rate::MAX`](super::Rate::MAX), as many as are sent within it.
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
    /// Events a second, and whoever steers them.
    pub pace: Pace,
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
    /// A thread of the load could not be started, or died.
    #[error("a thread of the load {0}")]
    Thread(String),
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
    // Whoever drops this future stops the load with it.
    let stop = cancel.child_token();
    let _stops = stop.clone().drop_guard();
    let load = Load {
        endpoint: plan.endpoint.clone(),
        run_id: plan.run_id,
        insert_batch: plan.insert_batch.max(1),
        connections: plan.connections.max(1),
        clock,
        observer,
        stop,
    };
    let (rows, pace, limit) = (plan.rows, plan.pace, plan.limit);
    let (done, ended) = oneshot::channel();
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let outcome = match runtime {
            Ok(runtime) => runtime.block_on(load.run(rows, pace, limit)),
            Err(error) => Err(LoadError::Thread(format!("could not be started: {error}"))),
        };
        // Nobody may be waiting any more.
        let _ = done.send(outcome);
    };
    spawn("load", work)?;
    match ended.await {
        Ok(outcome) => outcome,
        Err(_) => Err(LoadError::Thread("died".to_owned())),
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), LoadError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map(drop)
        .map_err(|error| LoadError::Thread(format!("could not be started: {error}")))
}

/// What the load's thread works with.
struct Load {
    endpoint: PostgresEndpoint,
    run_id: String,
    insert_batch: usize,
    connections: usize,
    clock: Clock,
    observer: Arc<dyn LoadObserver>,
    stop: CancellationToken,
}

impl Load {
    async fn run<I>(self, rows: I, pace: Pace, limit: Limit) -> Result<LoadSummary, LoadError>
    where
        I: Iterator<Item = OutboxRow> + Send + 'static,
    {
        let opened =
            (0..self.connections).map(|_| Connection::open(&self.endpoint, self.insert_batch));
        let opened = futures_util::future::try_join_all(opened).await?;
        let lines: Vec<Line> = opened
            .into_iter()
            .map(|connection| Line::new(connection, &self.endpoint, self.insert_batch))
            .collect();

        let queued = (QUEUED_ROWS / self.insert_batch).max(self.connections);
        let (sender, transactions) = async_channel::bounded(queued);
        let pacer = Pacer {
            rows,
            course: Course::new(self.clock.now() + LEAD, &pace, limit),
            insert_batch: self.insert_batch,
            clock: self.clock,
            transactions: sender,
        };
        let (done, paced) = oneshot::channel();
        spawn("pacer", move || {
            pacer.run();
            // The load may have ended with an error and listen no more.
            let _ = done.send(());
        })?;
        let summary = self.insert_all(&lines, &transactions).await;
        transactions.close();
        let summary = summary?;
        match paced.await {
            Ok(()) => Ok(summary),
            Err(_) => Err(LoadError::Thread("died: its rows panicked".to_owned())),
        }
    }

    async fn insert_all(
        &self,
        lines: &[Line],
        transactions: &Receiver<Transaction>,
    ) -> Result<LoadSummary, LoadError> {
        let mut tally = LoadSummary::default();
        let mut under_way = FuturesUnordered::new();
        let mut more = true;
        loop {
            let takes_more = more && under_way.len() < lines.len() * PIPELINE;
            tokio::select! {
                biased;
                Some((transaction, outcome)) = under_way.next() => {
                    self.note_end(&mut tally, &transaction, outcome?);
                }
                () = self.stop.cancelled(), if more => {
                    tally.cancelled = true;
                    more = false;
                }
                next = transactions.recv(), if takes_more => match next {
                    Ok(transaction) => {
                        self.note_sending(&mut tally, &transaction);
                        let line = least_busy(lines);
                        under_way.push(async move {
                            let outcome = line.commit(&self.run_id, &transaction.rows, &self.stop).await;
                            (transaction, outcome)
                        });
                    }
                    Err(_) => more = false,
                },
                else => break,
            }
        }
        tally.retried = lines.iter().map(Line::retried).sum();
        Ok(tally)
    }

    fn note_sending(&self, tally: &mut LoadSummary, transaction: &Transaction) {
        let t0 = self.clock.now();
        let ts = transaction.due.unwrap_or(t0);
        tally.first_t0.get_or_insert(t0);
        tally.max_schedule_lag = tally.max_schedule_lag.max(t0 - ts);
        for row in &transaction.rows {
            self.observer.sending(row, ts, t0);
        }
    }

    fn note_end(&self, tally: &mut LoadSummary, transaction: &Transaction, outcome: Outcome) {
        let reason = match &outcome {
            Outcome::Acknowledged => {
                let ta = self.clock.now();
                tally.last_ta = Some(ta);
                tally.transactions += 1;
                for row in &transaction.rows {
                    tally.inserted += 1;
                    self.observer.acknowledged(row.id, row.seq, ta);
                }
                return;
            }
            Outcome::Failed(reason) => reason,
            Outcome::Cancelled => {
                "the load was stopped before the INSERT was acknowledged: it may be in the table or not"
            }
        };
        for row in &transaction.rows {
            tally.errors += 1;
            self.observer.failed(row.id, row.seq, reason);
        }
    }
}

/// The connection with the fewest transactions under way.
fn least_busy(lines: &[Line]) -> &Line {
    lines
        .iter()
        .min_by_key(|line| line.under_way())
        .expect("a load has at least one connection")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_needs_something_inserted() {
        let summary = LoadSummary {
            inserted: 3,
            first_t0: Some(Stamp(40)),
            last_ta: Some(Stamp(70)),
            ..LoadSummary::default()
        };
        assert_eq!(summary.inserted_per_s(), Some(1e8));
        assert_eq!(LoadSummary::default().inserted_per_s(), None);
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
            tls: pgcdc::TlsConfig::disabled(),
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
