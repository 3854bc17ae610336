//! A connection that comes back when it is lost, and the transactions that are under way on it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, InsertError};
use super::inserter::LoadError;
use cdc_bench_model::event::OutboxRow;
use cdc_bench_stack::PostgresEndpoint;

/// Longest time spent on getting a lost connection back.
const RECONNECT_LIMIT: Duration = Duration::from_secs(30);
const FIRST_BACK_OFF: Duration = Duration::from_millis(50);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(2);
/// How long an INSERT under way may go on once the load was cancelled.
const CANCEL_GRACE: Duration = Duration::from_secs(2);

/// What became of a transaction.
pub(super) enum Outcome {
    Acknowledged,
    Failed(String),
    Cancelled,
}

/// A connection, whichever it is at present.
pub(super) struct Line {
    endpoint: PostgresEndpoint,
    insert_batch: usize,
    connection: RefCell<Rc<Connection>>,
    /// Held by the one that gets the connection back, while the others wait for it.
    reconnecting: Mutex<()>,
    under_way: Cell<usize>,
    retried: Cell<u64>,
}

impl Line {
    pub fn new(connection: Connection, endpoint: &PostgresEndpoint, insert_batch: usize) -> Self {
        Self {
            endpoint: endpoint.clone(),
            insert_batch,
            connection: RefCell::new(Rc::new(connection)),
            reconnecting: Mutex::new(()),
            under_way: Cell::new(0),
            retried: Cell::new(0),
        }
    }

    /// Transactions whose outcome is not known yet.
    pub fn under_way(&self) -> usize {
        self.under_way.get()
    }

    /// Transactions sent a second time.
    pub fn retried(&self) -> u64 {
        self.retried.get()
    }

    /// Sends the rows, over a new connection where need be, until their outcome is known or the load was stopped for a
    /// while.
    pub async fn commit(
        &self,
        run_id: &str,
        rows: &[OutboxRow],
        stop: &CancellationToken,
    ) -> Result<Outcome, LoadError> {
        let _counted = UnderWay::begin(&self.under_way);
        let stopped = async {
            stop.cancelled().await;
            tokio::time::sleep(CANCEL_GRACE).await;
        };
        tokio::select! {
            biased;
            outcome = self.commit_surely(run_id, rows) => outcome,
            () = stopped => Ok(Outcome::Cancelled),
        }
    }

    async fn commit_surely(&self, run_id: &str, rows: &[OutboxRow]) -> Result<Outcome, LoadError> {
        let mut connection = Rc::clone(&self.connection.borrow());
        let mut result = connection.insert(run_id, rows).await;
        loop {
            let lost = match result {
                Ok(()) => return Ok(Outcome::Acknowledged),
                Err(InsertError::Refused(reason)) => return Ok(Outcome::Failed(reason)),
                Err(InsertError::Lost(cause)) => cause,
            };
            connection = self.another_than(&connection, &lost).await?;
            self.retried.set(self.retried.get() + 1);
            result = connection.insert_missing(run_id, rows).await;
        }
    }

    /// The connection that stands in for one that was lost: made by the first who misses it.
    async fn another_than(
        &self,
        gone: &Rc<Connection>,
        lost: &str,
    ) -> Result<Rc<Connection>, LoadError> {
        let _alone = self.reconnecting.lock().await;
        let present = Rc::clone(&self.connection.borrow());
        if !Rc::ptr_eq(&present, gone) {
            return Ok(present);
        }
        let new = Rc::new(self.reconnect(lost).await?);
        *self.connection.borrow_mut() = Rc::clone(&new);
        Ok(new)
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
}

/// Counts while it lives.
struct UnderWay<'a>(&'a Cell<usize>);

impl<'a> UnderWay<'a> {
    fn begin(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
