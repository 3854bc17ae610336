//! One connection to PostgreSQL that inserts outbox rows: connect, prepare, insert. It may have several transactions in
//! flight: the server executes them one after the other, without waiting for the next one.

use std::future::Future;
use std::time::Duration;

use futures_util::future::{join_all, join3};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Statement};

use super::LoadError;
use super::copy::copy_in;
use super::postgres_error::{
    CHECK_ADDRESS, InsertError, SET_PASSWORD, connect_advice, explain, is_hopeless, is_lost,
    prepare_advice,
};
use super::statements::{
    UNLESS_THERE, copy_rows, execute_many, execute_one, insert_row, insert_rows,
};
use cdc_bench_model::event::{OutboxRow, Shard, Shards};
use cdc_bench_stack::{PostgresConnectError, PostgresEndpoint};

/// `application_name` of the sessions.
const APPLICATION_NAME: &str = "cdc-bench-load";
/// Longest wait for one statement; after it the connection counts as lost.
const STATEMENT_LIMIT: Duration = Duration::from_secs(30);

/// Rows per transaction from which on COPY is faster than a statement ("cargo bench --bench load" measures both).
const MIN_ROWS_FOR_COPY: usize = 64;

/// How the rows of a transaction are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InsertMethod {
    /// A statement of one row.
    Row,
    /// A statement of several rows.
    Rows,
    /// COPY.
    Copy,
}

impl InsertMethod {
    /// The fastest for this number of rows per transaction.
    const fn of(insert_batch: usize) -> Self {
        match insert_batch {
            0..=1 => Self::Row,
            2..MIN_ROWS_FOR_COPY => Self::Rows,
            _ => Self::Copy,
        }
    }

    fn text(self, table: &str) -> String {
        match self {
            Self::Row => insert_row(table),
            Self::Rows => insert_rows(table),
            Self::Copy => copy_rows(table),
        }
    }
}

/// A connection with its statements prepared.
pub(super) struct Connection {
    client: Client,
    /// Sends and receives; ends with the connection.
    driver: JoinHandle<()>,
    /// Of each shard.
    inserts: Vec<Statement>,
    method: InsertMethod,
    shards: Shards,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // With a dead peer it would live as long as TCP retransmits.
        self.driver.abort();
    }
}

impl Connection {
    /// Connects and prepares.
    ///
    /// # Errors
    /// [`LoadError::Connect`] and [`LoadError::Prepare`].
    pub async fn open(
        endpoint: &PostgresEndpoint,
        insert_batch: usize,
        shards: Shards,
    ) -> Result<Self, LoadError> {
        let failed = |error: &tokio_postgres::Error| LoadError::Connect {
            server: endpoint.to_string(),
            cause: explain(error),
            advice: connect_advice(error, endpoint),
            hopeless: is_hopeless(error),
        };
        let (client, driver) = endpoint
            .connect_as(APPLICATION_NAME)
            .await
            .map_err(|error| match error {
                PostgresConnectError::Postgres(error) => failed(&error),
                PostgresConnectError::Socket(error) => LoadError::Connect {
                    server: endpoint.to_string(),
                    cause: error.to_string(),
                    advice: CHECK_ADDRESS,
                    hopeless: false,
                },
                PostgresConnectError::NoPassword => LoadError::Connect {
                    server: endpoint.to_string(),
                    cause: error.to_string(),
                    advice: SET_PASSWORD,
                    hopeless: true,
                },
            })?;
        let method = InsertMethod::of(insert_batch);
        let prepared = async {
            let mut inserts = Vec::new();
            for table in shards.iter().map(Shard::table) {
                if method == InsertMethod::Copy {
                    // The server checks a COPY only when it runs; this statement it checks now.
                    client.prepare(&insert_rows(&table)).await?;
                }
                inserts.push(client.prepare(&method.text(&table)).await?);
            }
            Ok(inserts)
        };
        match prepared.await {
            Ok(inserts) => Ok(Self {
                client,
                driver,
                inserts,
                method,
                shards,
            }),
            Err(error) => {
                driver.abort();
                if is_lost(&error) {
                    return Err(failed(&error));
                }
                Err(LoadError::Prepare {
                    server: endpoint.to_string(),
                    cause: explain(&error),
                    advice: prepare_advice(&error),
                })
            }
        }
    }

    /// Inserts the rows as one transaction, those of a shard next to each other; returns once the commit is acknowledged.
    pub async fn insert(&self, run_id: &str, rows: &[OutboxRow]) -> Result<(), InsertError> {
        let client = &self.client;
        within_limit(async {
            match (self.method, rows) {
                (InsertMethod::Row, [row]) => {
                    let insert = &self.inserts[self.shards.of(row.aggregate_id).index()];
                    execute_one(client, insert, run_id, row).await.map(drop)
                }
                (InsertMethod::Copy, rows) => {
                    let copies = self.by_shard(rows).map(|(shard, rows)| {
                        let copy = &self.inserts[shard.index()];
                        copy_in(client, copy, run_id, rows)
                    });
                    commit(client, copies).await
                }
                (_, rows) => {
                    let mut inserts = self.by_shard(rows).map(|(shard, rows)| {
                        let insert = &self.inserts[shard.index()];
                        execute_many(client, insert, run_id, rows)
                    });
                    match (inserts.next(), inserts.next()) {
                        // A statement is a transaction by itself.
                        (Some(alone), None) => alone.await.map(drop),
                        (first, second) => {
                            let first = first.into_iter().chain(second);
                            commit(client, first.chain(inserts)).await
                        }
                    }
                }
            }
        })
        .await
    }

    /// Inserts the rows that are not in the tables yet.
    pub async fn insert_missing(
        &self,
        run_id: &str,
        rows: &[OutboxRow],
    ) -> Result<(), InsertError> {
        let client = &self.client;
        within_limit(async {
            let mut inserts = Vec::new();
            for (shard, rows) in self.by_shard(rows) {
                let text = [&insert_rows(&shard.table()), UNLESS_THERE].concat();
                inserts.push((client.prepare(&text).await?, rows));
            }
            let inserts = inserts
                .iter()
                .map(|(insert, rows)| execute_many(client, insert, run_id, rows));
            commit(client, inserts).await
        })
        .await
    }

    /// The rows of each shard.
    fn by_shard<'r>(
        &self,
        rows: &'r [OutboxRow],
    ) -> impl Iterator<Item = (Shard, &'r [OutboxRow])> {
        let shards = self.shards;
        let shard = move |row: &OutboxRow| shards.of(row.aggregate_id);
        let parts = rows.chunk_by(move |a, b| shard(a) == shard(b));
        parts.map(move |rows| (shard(&rows[0]), rows))
    }
}

/// Executes the statements as one transaction; returns once its commit is acknowledged. All are sent at once and in their order,
/// whatever else is in flight on the connection: each is sent by the first poll of its future.
async fn commit(
    client: &Client,
    statements: impl Iterator<Item = impl Future<Output = Result<u64, tokio_postgres::Error>>>,
) -> Result<(), tokio_postgres::Error> {
    let (begun, executed, committed) = join3(
        client.batch_execute("BEGIN"),
        join_all(statements),
        client.batch_execute("COMMIT"),
    )
    .await;
    begun?;
    executed.into_iter().try_for_each(|rows| rows.map(drop))?;
    committed
}

async fn within_limit(
    execution: impl Future<Output = Result<(), tokio_postgres::Error>>,
) -> Result<(), InsertError> {
    match tokio::time::timeout(STATEMENT_LIMIT, execution).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(InsertError::of(&error)),
        Err(_) => Err(InsertError::Lost(format!(
            "no answer to an INSERT within {} s",
            STATEMENT_LIMIT.as_secs()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use pgcdc::Server;

    use super::*;

    #[tokio::test]
    async fn a_closed_port_is_an_error_with_advice() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let server = Server::new("127.0.0.1", port, "u", "hidden".to_owned(), "activity_db");
        let endpoint = PostgresEndpoint::from(server);
        let Err(error) = Connection::open(&endpoint, 1, Shards::ONE).await else {
            panic!("connected to a closed port");
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
