//! The inserter: commits due transactions over a few connections.
//!
//! It has its own thread and runtime, so that neither T0 nor the next INSERT waits for other work in this process. A
//! transaction goes to the connection with the fewest in flight: to an idle one if there is one, else behind the
//! transactions of a busy one, without waiting for their acknowledgement.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_channel::Receiver;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::pacer::{LoadTransaction, Pacer};
use super::reconnecting::{ReconnectingConnection, TransactionOutcome};
use super::steered_schedule::SteeredSchedule;
use super::{Limit, LoadControl, LoadError, LoadObserver, LoadPlan, LoadShare, LoadSummary};
use crate::own_thread;
use cdc_bench_model::event::{OutboxRow, Shards};
use cdc_bench_model::timeline::{Clock, Nanos};
use cdc_bench_stack::PostgresEndpoint;

/// Most transactions in flight on one connection.
const MAX_IN_FLIGHT: usize = 8;
/// Due rows that wait for a connection; beyond them the pacing thread waits too. No row's `ts` depends on that.
const QUEUED_ROWS: usize = 1_024;
/// Interval of a timer that is there for the sake of the others.
const FIRST_TIMER: Duration = Duration::from_secs(1);
/// From when all connections are ready to when the first row is due, so that row 0 is not late due to the start.
const LEAD: Nanos = Nanos::from_millis(2);

/// Inserts the plan's rows on its schedule. Returns when all of them are acknowledged or failed, or, after `cancel`, when
/// the transactions in flight have ended (some two seconds later at most).
///
/// A statement that the server refuses fails its rows and the load goes on. Rows whose outcome is unknown because the
/// connection was lost are sent again with `ON CONFLICT (id) DO NOTHING`; a connection that cannot be restored within 30 s
/// ends the load.
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
    // Dropping this future stops the load.
    let stop = cancel.child_token();
    let _stops = stop.clone().drop_guard();
    let inserter = Inserter {
        endpoint: plan.endpoint.clone(),
        run_id: plan.run_id,
        insert_batch: plan.insert_batch.max(1),
        connections: plan.connections.max(1),
        shards: plan.shards,
        clock,
        observer,
        stop,
    };
    let (rows, control, limit) = (plan.rows, plan.control, (plan.limit, plan.share));
    let load = own_thread::spawn("load", inserter.run(rows, control, limit));
    let load = load.map_err(not_started)?;
    load.await
        .unwrap_or_else(|died| Err(LoadError::Thread(format!("died: {died}"))))
}

fn not_started(error: std::io::Error) -> LoadError {
    LoadError::Thread(format!("could not be started: {error}"))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), LoadError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map(drop)
        .map_err(not_started)
}

/// The work of the load's thread.
struct Inserter {
    endpoint: PostgresEndpoint,
    run_id: String,
    insert_batch: usize,
    connections: usize,
    shards: Shards,
    clock: Clock,
    observer: Arc<dyn LoadObserver>,
    stop: CancellationToken,
}

impl Inserter {
    async fn run<I>(
        self,
        rows: I,
        control: LoadControl,
        (limit, share): (Limit, Option<LoadShare>),
    ) -> Result<LoadSummary, LoadError>
    where
        I: Iterator<Item = OutboxRow> + Send + 'static,
    {
        let (insert_batch, shards) = (self.insert_batch, self.shards);
        let opened =
            (0..self.connections).map(|_| Connection::open(&self.endpoint, insert_batch, shards));
        let opened = futures_util::future::try_join_all(opened).await?;
        let connections: Vec<ReconnectingConnection> = opened
            .into_iter()
            .map(|connection| {
                ReconnectingConnection::new(connection, &self.endpoint, (insert_batch, shards))
            })
            .collect();

        let queued = (QUEUED_ROWS / self.insert_batch).max(self.connections);
        let (sender, transactions) = async_channel::bounded(queued);
        let begins = share.map_or_else(|| self.clock.now() + LEAD, |share| share.begins);
        let pacer = Pacer {
            rows,
            share,
            schedule: SteeredSchedule::new(begins, &control, limit),
            insert_batch,
            shards,
            clock: self.clock,
            transactions: sender,
        };
        let (done, paced) = oneshot::channel();
        spawn("pacer", move || {
            pacer.run();
            // The load may have ended with an error before.
            let _ = done.send(());
        })?;
        let summary = self.insert_all(&connections, &transactions).await;
        transactions.close();
        let summary = summary?;
        match paced.await {
            Ok(()) => Ok(summary),
            Err(_) => Err(LoadError::Thread("died: its rows panicked".to_owned())),
        }
    }

    async fn insert_all(
        &self,
        connections: &[ReconnectingConnection],
        transactions: &Receiver<LoadTransaction>,
    ) -> Result<LoadSummary, LoadError> {
        let mut summary = LoadSummary::default();
        let mut in_flight = FuturesUnordered::new();
        let mut more = true;
        // Every statement has a limit. A timer before which no other is due goes through the kernel; behind this one they do not.
        let mut first_timer = tokio::time::interval(FIRST_TIMER);
        loop {
            let takes_more = more && in_flight.len() < connections.len() * MAX_IN_FLIGHT;
            tokio::select! {
                biased;
                Some((transaction, outcome)) = in_flight.next() => {
                    self.note_end(&mut summary, &transaction, outcome?);
                }
                () = self.stop.cancelled(), if more => {
                    summary.cancelled = true;
                    more = false;
                }
                next = transactions.recv(), if takes_more => match next {
                    Ok(transaction) => {
                        self.note_sending(&mut summary, &transaction);
                        let connection = least_busy(connections);
                        in_flight.push(async move {
                            let outcome = connection.commit(&self.run_id, &transaction.rows, &self.stop).await;
                            (transaction, outcome)
                        });
                    }
                    Err(_) => more = false,
                },
                _ = first_timer.tick(), if more || !in_flight.is_empty() => {}
                else => break,
            }
        }
        summary.retried = connections
            .iter()
            .map(ReconnectingConnection::retried)
            .sum();
        Ok(summary)
    }

    fn note_sending(&self, summary: &mut LoadSummary, transaction: &LoadTransaction) {
        let t0 = self.clock.now();
        let ts = transaction.due.unwrap_or(t0);
        summary.first_t0.get_or_insert(t0);
        summary.max_schedule_lag = summary.max_schedule_lag.max(t0 - ts);
        for row in &transaction.rows {
            self.observer.sending(row, ts, t0);
        }
    }

    fn note_end(
        &self,
        summary: &mut LoadSummary,
        transaction: &LoadTransaction,
        outcome: TransactionOutcome,
    ) {
        let reason = match &outcome {
            TransactionOutcome::Acknowledged => {
                let ta = self.clock.now();
                summary.last_ta = Some(ta);
                summary.transactions += 1;
                for row in &transaction.rows {
                    summary.inserted += 1;
                    self.observer.acknowledged(row.id, row.seq, ta);
                }
                return;
            }
            TransactionOutcome::Failed(reason) => reason,
            TransactionOutcome::Cancelled => {
                "the load was stopped before the INSERT was acknowledged: it may be in the table or not"
            }
        };
        for row in &transaction.rows {
            summary.errors += 1;
            self.observer.failed(row.id, row.seq, reason);
        }
    }
}

/// The connection with the fewest transactions in flight.
fn least_busy(connections: &[ReconnectingConnection]) -> &ReconnectingConnection {
    connections
        .iter()
        .min_by_key(|connection| connection.in_flight())
        .expect("a load has at least one connection")
}
