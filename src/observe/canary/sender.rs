//! Sends the canary's changes, one at a time, and removes its rows.

use std::time::Duration;

use cdc_bench_model::timeline::Clock;
use cdc_bench_stack::PostgresEndpoint;
use rand::RngExt;
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::sent::{MESSAGE_PREFIX, Sent};
use crate::observe::discovery::FoundCanary;
use crate::pipeline::{Failure, connect_postgres};

/// Longest wait for an acknowledgement.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Rows are removed whenever so many more were sent: the table stays small.
const ROWS: u64 = 60;
/// Rows of earlier observations, which were killed. The beginning of a name is the second when the observation began.
const EARLIER: &str = "id ~ '^[0-9]{8}-[0-9]{6}-[0-9a-f]{6}-[0-9]+$' \
    AND id COLLATE \"C\" < to_char(now() AT TIME ZONE 'UTC' - interval '1 hour', 'YYYYMMDD-HH24MISS')";

/// Sends until it is stopped, or dropped.
pub(in crate::observe) struct CanarySender {
    stop: DropGuard,
    task: JoinHandle<Statements>,
}

impl CanarySender {
    /// Starts to send, a change every `interval` on average.
    ///
    /// # Errors
    /// When PostgreSQL does not answer, or refuses to remove rows that an earlier observation has left.
    pub(in crate::observe) async fn start(
        canary: &FoundCanary,
        endpoint: &PostgresEndpoint,
        interval: Duration,
        clock: Clock,
        sent: Sent,
    ) -> Result<Self, Failure> {
        let mut statements = Statements {
            client: connect_postgres(endpoint).await?,
            endpoint: endpoint.clone(),
            canary: canary.clone(),
            sent,
        };
        statements.remove_earlier_rows().await?;
        let token = CancellationToken::new();
        let stop = token.clone().drop_guard();
        let task = tokio::spawn(async move {
            let mut number = 0;
            while token
                .run_until_cancelled(tokio::time::sleep(jittered(interval)))
                .await
                .is_some()
            {
                number += 1;
                statements.send(number, clock).await;
                if number % ROWS == 0 {
                    statements.remove_rows().await;
                }
            }
            statements
        });
        Ok(Self { stop, task })
    }

    /// Stops to send; the rows stay until [`SentRows::remove`].
    pub(in crate::observe) async fn stop(self) -> Option<SentRows> {
        drop(self.stop);
        match self.task.await {
            Ok(statements) => Some(SentRows(statements)),
            Err(error) => {
                tracing::warn!(%error, "the canary did not stop cleanly");
                None
            }
        }
    }
}

/// The rows of a canary that is over.
pub(in crate::observe) struct SentRows(Statements);

impl SentRows {
    /// Removes them, or says that they stay.
    pub(in crate::observe) async fn remove(mut self) {
        self.0.remove_rows().await;
        if let FoundCanary::Table {
            name,
            may_delete: false,
            ..
        } = &self.0.canary
        {
            tracing::warn!(
                table = &**name,
                "rows of the canary stay, since this role may not delete them: GRANT SELECT, DELETE lets the next observation"
            );
        }
    }
}

/// A regular interval would stand still against a connector's poll of the same length.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(rand::rng().random_range(0.5..1.5))
}

struct Statements {
    client: Client,
    endpoint: PostgresEndpoint,
    canary: FoundCanary,
    sent: Sent,
}

impl Statements {
    async fn send(&mut self, number: u64, clock: Clock) {
        if self.client.is_closed() {
            match connect_postgres(&self.endpoint).await {
                Ok(client) => self.client = client,
                Err(error) => return self.sent.refused(number, error.to_string()),
            }
        }
        let name = self.sent.name(number);
        let t0 = clock.now();
        self.sent.begin(number, t0);
        let sending = async {
            match &self.canary {
                FoundCanary::Table { quoted, .. } => {
                    let insert = format!("INSERT INTO {quoted} (id) VALUES ($1)");
                    self.client.execute(&insert, &[&name]).await
                }
                FoundCanary::Message => {
                    let emit = "SELECT pg_logical_emit_message(true, $1, $2)";
                    self.client.execute(emit, &[&MESSAGE_PREFIX, &name]).await
                }
            }
        };
        match tokio::time::timeout(TIMEOUT, sending).await {
            Ok(Ok(_)) => self.sent.acknowledged(clock.now() - t0),
            Ok(Err(error)) => {
                let reason = error
                    .as_db_error()
                    .map_or_else(|| error.to_string(), |refusal| refusal.message().to_owned());
                self.sent.refused(number, reason);
            }
            Err(_) => {
                let reason = format!("no acknowledgement within {} s", TIMEOUT.as_secs());
                self.sent.refused(number, reason);
            }
        }
    }

    async fn remove_earlier_rows(&mut self) -> Result<(), Failure> {
        let FoundCanary::Table {
            name,
            quoted,
            may_delete: true,
        } = &self.canary
        else {
            return Ok(());
        };
        let delete = format!("DELETE FROM {quoted} WHERE {EARLIER}");
        let removed = self.client.execute(&delete, &[]).await?;
        if removed > 0 {
            tracing::warn!(
                table = &**name,
                removed,
                "rows that earlier observations have left were removed"
            );
        }
        Ok(())
    }

    async fn remove_rows(&mut self) {
        let FoundCanary::Table {
            quoted,
            may_delete: true,
            ..
        } = &self.canary
        else {
            return;
        };
        let delete = format!("DELETE FROM {quoted} WHERE starts_with(id, $1)");
        let prefix = self.sent.prefix();
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&prefix];
        let deleting = self.client.execute(&delete, &parameters);
        match tokio::time::timeout(TIMEOUT, deleting).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "rows of the canary could not be removed"),
            Err(_) => tracing::warn!("rows of the canary were not removed in time"),
        }
    }
}
