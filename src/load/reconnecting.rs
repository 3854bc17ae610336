//! A connection that is restored when it is lost, with the transactions in flight on it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::LoadError;
use super::connection::Connection;
use super::postgres_error::InsertError;
use cdc_bench_model::event::{OutboxRow, Shards};
use cdc_bench_stack::PostgresEndpoint;

/// Longest time spent to restore a lost connection.
const RECONNECT_LIMIT: Duration = Duration::from_secs(30);
const FIRST_BACK_OFF: Duration = Duration::from_millis(50);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(2);
/// How long an INSERT in flight may take after the load was cancelled.
const CANCEL_GRACE: Duration = Duration::from_secs(2);

/// The outcome of a transaction.
pub(super) enum TransactionOutcome {
    Acknowledged,
    Failed(String),
    Cancelled,
}

/// A connection that is replaced by a new one when it is lost.
pub(super) struct ReconnectingConnection {
    endpoint: PostgresEndpoint,
    insert_batch: usize,
    shards: Shards,
    connection: SyncMutex<Arc<Connection>>,
    /// Held by the transaction that reconnects, while the others wait for it.
    reconnecting: Mutex<()>,
    in_flight: AtomicUsize,
    retried: AtomicU64,
}

impl ReconnectingConnection {
    pub fn new(
        connection: Connection,
        endpoint: &PostgresEndpoint,
        (insert_batch, shards): (usize, Shards),
    ) -> Self {
        Self {
            endpoint: endpoint.clone(),
            insert_batch,
            shards,
            connection: SyncMutex::new(Arc::new(connection)),
            reconnecting: Mutex::new(()),
            in_flight: AtomicUsize::new(0),
            retried: AtomicU64::new(0),
        }
    }

    /// Transactions whose outcome is not known yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Transactions sent a second time.
    pub fn retried(&self) -> u64 {
        self.retried.load(Ordering::Relaxed)
    }

    fn current(&self) -> Arc<Connection> {
        let current = self.connection.lock();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends the rows, again over a new connection where one was lost, until their outcome is known or the grace period
    /// after a stop is over.
    pub async fn commit(
        &self,
        run_id: &str,
        rows: &[OutboxRow],
        stop: &CancellationToken,
    ) -> Result<TransactionOutcome, LoadError> {
        let _counted = InFlightGuard::count(&self.in_flight);
        let stopped = async {
            stop.cancelled().await;
            tokio::time::sleep(CANCEL_GRACE).await;
        };
        tokio::select! {
            biased;
            outcome = self.commit_with_retries(run_id, rows) => outcome,
            () = stopped => Ok(TransactionOutcome::Cancelled),
        }
    }

    async fn commit_with_retries(
        &self,
        run_id: &str,
        rows: &[OutboxRow],
    ) -> Result<TransactionOutcome, LoadError> {
        let mut connection = self.current();
        let mut result = connection.insert(run_id, rows).await;
        loop {
            let lost = match result {
                Ok(()) => return Ok(TransactionOutcome::Acknowledged),
                Err(InsertError::Refused(reason)) => return Ok(TransactionOutcome::Failed(reason)),
                Err(InsertError::Lost(cause)) => cause,
            };
            connection = self.replacement_of(&connection, &lost).await?;
            self.retried.fetch_add(1, Ordering::Relaxed);
            result = connection.insert_missing(run_id, rows).await;
        }
    }

    /// The connection that replaces a lost one: opened by the first transaction that finds it lost.
    async fn replacement_of(
        &self,
        lost_connection: &Arc<Connection>,
        lost: &str,
    ) -> Result<Arc<Connection>, LoadError> {
        let _guard = self.reconnecting.lock().await;
        let current = self.current();
        if !Arc::ptr_eq(&current, lost_connection) {
            return Ok(current);
        }
        let new = Arc::new(self.reconnect(lost).await?);
        *self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Arc::clone(&new);
        Ok(new)
    }

    async fn reconnect(&self, lost: &str) -> Result<Connection, LoadError> {
        tracing::warn!(server = %self.endpoint, cause = lost, "lost an inserting connection, reconnecting");
        let begun = Instant::now();
        let mut back_off = FIRST_BACK_OFF;
        loop {
            let opened = Connection::open(&self.endpoint, self.insert_batch, self.shards);
            let error = match opened.await {
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
}

/// Counts a transaction in flight until it is dropped.
struct InFlightGuard<'a>(&'a AtomicUsize);

impl<'a> InFlightGuard<'a> {
    fn count(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
