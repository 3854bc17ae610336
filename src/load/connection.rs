//! One connection to PostgreSQL that inserts outbox rows: connect, prepare, insert. It may have several transactions in
//! flight: the server executes them one after the other, without waiting for the next one.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::{Client, Statement};

use super::LoadError;
use super::copy::commit_copy;
use super::postgres_error::{
    CHECK_ADDRESS, InsertError, SET_PASSWORD, connect_advice, explain, is_hopeless, is_lost,
    prepare_advice,
};
use super::statements::{
    COPY_ROWS, INSERT_ROW, INSERT_ROWS, UNLESS_THERE, execute_many, execute_one,
};
use cdc_bench_model::event::OutboxRow;
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

    const fn text(self) -> &'static str {
        match self {
            Self::Row => INSERT_ROW,
            Self::Rows => INSERT_ROWS,
            Self::Copy => COPY_ROWS,
        }
    }
}

/// A connection with its statement prepared.
pub(super) struct Connection {
    client: Client,
    /// Sends and receives; ends with the connection.
    driver: JoinHandle<()>,
    insert: Statement,
    method: InsertMethod,
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
    pub async fn open(endpoint: &PostgresEndpoint, insert_batch: usize) -> Result<Self, LoadError> {
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
            if method == InsertMethod::Copy {
                // The server checks a COPY only when it runs; this statement it checks now.
                client.prepare(INSERT_ROWS).await?;
            }
            client.prepare(method.text()).await
        };
        match prepared.await {
            Ok(insert) => Ok(Self {
                client,
                driver,
                insert,
                method,
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

    /// Inserts the rows as one transaction; returns once the commit is acknowledged.
    pub async fn insert(&self, run_id: &str, rows: &[OutboxRow]) -> Result<(), InsertError> {
        let (client, insert) = (&self.client, &self.insert);
        within_limit(async {
            match (self.method, rows) {
                (InsertMethod::Row, [row]) => execute_one(client, insert, run_id, row).await,
                (InsertMethod::Copy, rows) => commit_copy(client, insert, run_id, rows).await,
                (_, rows) => execute_many(client, insert, run_id, rows).await,
            }
        })
        .await
    }

    /// Inserts the rows that are not in the table yet.
    pub async fn insert_missing(
        &self,
        run_id: &str,
        rows: &[OutboxRow],
    ) -> Result<(), InsertError> {
        let client = &self.client;
        within_limit(async {
            let text = [INSERT_ROWS, UNLESS_THERE].concat();
            let insert = client.prepare(&text).await?;
            execute_many(client, &insert, run_id, rows).await
        })
        .await
    }
}

async fn within_limit(
    execution: impl Future<Output = Result<u64, tokio_postgres::Error>>,
) -> Result<(), InsertError> {
    match tokio::time::timeout(STATEMENT_LIMIT, execution).await {
        Ok(Ok(_)) => Ok(()),
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
        let Err(error) = Connection::open(&endpoint, 1).await else {
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
