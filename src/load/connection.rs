//! One connection to PostgreSQL that inserts outbox rows: connect, prepare, insert. Several transactions may be under way
//! on it: the server takes them one after the other, and has the next when it is done with one.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use super::copy::{COPY_ROWS, commit_copy};
use super::inserter::LoadError;
use cdc_bench_model::event::OutboxRow;
use cdc_bench_stack::{PostgresConnectError, PostgresEndpoint};

/// What the server shows of our sessions.
const NAME: &str = "cdc-bench-load";
/// Longest wait for one statement; after it the connection is taken to be dead.
pub(super) const STATEMENT_LIMIT: Duration = Duration::from_secs(30);

const INSERT_ROW: &str = "INSERT INTO activity.event_outbox \
    (run_id, id, seq, event_type, aggregate_type, aggregate_id, payload) \
    VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb)";

const INSERT_ROWS: &str = "INSERT INTO activity.event_outbox \
    (run_id, id, seq, event_type, aggregate_type, aggregate_id, payload) \
    SELECT $1::text, given.id, given.seq, given.event_type, given.aggregate_type, given.aggregate_id, \
    given.payload::jsonb \
    FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::uuid[], $7::text[]) \
    AS given (id, seq, event_type, aggregate_type, aggregate_id, payload)";

/// What makes a second try of rows harmless whose first try may have been committed.
const UNLESS_THERE: &str = " ON CONFLICT (id) DO NOTHING";

/// How an INSERT failed.
#[derive(Debug)]
pub(super) enum InsertError {
    /// The server refused the statement: nothing of it is in the table, and the connection goes on.
    Refused(String),
    /// The connection is gone; whether the rows are in the table is unknown.
    Lost(String),
}

/// Rows a transaction from which on COPY is quicker than a statement ("cargo bench --bench load" shows both).
const WORTH_A_COPY: usize = 64;

/// How the rows of a transaction are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A statement of one row.
    Row,
    /// A statement of as many rows as there are.
    Rows,
    /// COPY.
    Copy,
}

impl Way {
    /// The quickest for so many rows a transaction.
    const fn of(insert_batch: usize) -> Self {
        match insert_batch {
            0..=1 => Self::Row,
            2..WORTH_A_COPY => Self::Rows,
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
    /// Moves the bytes; ends with the connection.
    driver: JoinHandle<()>,
    insert: Statement,
    way: Way,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A dead peer would keep it alive for as long as TCP hopes.
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
            advice: connect_advice(error),
            hopeless: is_hopeless(error),
        };
        let (client, driver) = endpoint
            .connect_as(NAME)
            .await
            .map_err(|error| match error {
                PostgresConnectError::Postgres(error) => failed(&error),
                PostgresConnectError::Socket(cause) => LoadError::Connect {
                    server: endpoint.to_string(),
                    cause,
                    advice: CHECK_ADDRESS,
                    hopeless: false,
                },
            })?;
        let way = Way::of(insert_batch);
        let prepared = async {
            if way == Way::Copy {
                // The server looks at a COPY no earlier than it is run; at this it looks now.
                client.prepare(INSERT_ROWS).await?;
            }
            client.prepare(way.text()).await
        };
        match prepared.await {
            Ok(insert) => Ok(Self {
                client,
                driver,
                insert,
                way,
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
            match (self.way, rows) {
                (Way::Row, [row]) => execute_one(client, insert, run_id, row).await,
                (Way::Copy, rows) => commit_copy(client, insert, run_id, rows).await,
                (_, rows) => execute_many(client, insert, run_id, rows).await,
            }
        })
        .await
    }

    /// Inserts those of the rows that are not in the table.
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

async fn execute_one(
    client: &Client,
    insert: &Statement,
    run_id: &str,
    row: &OutboxRow,
) -> Result<u64, tokio_postgres::Error> {
    let event_type = row.event_type.as_str();
    let aggregate_type = row.event_type.aggregate_type();
    client
        .execute(
            insert,
            &[
                &run_id,
                &row.id.0,
                &column_seq(row),
                &event_type,
                &aggregate_type,
                &row.aggregate_id,
                &row.payload,
            ],
        )
        .await
}

async fn execute_many(
    client: &Client,
    insert: &Statement,
    run_id: &str,
    rows: &[OutboxRow],
) -> Result<u64, tokio_postgres::Error> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id.0).collect();
    let seqs: Vec<i64> = rows.iter().map(column_seq).collect();
    let kinds = rows.iter().map(|row| row.event_type);
    let event_types: Vec<&str> = kinds.clone().map(|kind| kind.as_str()).collect();
    let aggregate_types: Vec<&str> = kinds.map(|kind| kind.aggregate_type()).collect();
    let aggregates: Vec<Uuid> = rows.iter().map(|row| row.aggregate_id).collect();
    let payloads: Vec<&str> = rows.iter().map(|row| row.payload.as_str()).collect();
    client
        .execute(
            insert,
            &[
                &run_id,
                &ids,
                &seqs,
                &event_types,
                &aggregate_types,
                &aggregates,
                &payloads,
            ],
        )
        .await
}

pub(super) fn column_seq(row: &OutboxRow) -> i64 {
    i64::try_from(row.seq).unwrap_or(i64::MAX)
}

impl InsertError {
    fn of(error: &tokio_postgres::Error) -> Self {
        if is_lost(error) {
            Self::Lost(explain(error))
        } else {
            Self::Refused(explain(error))
        }
    }
}

/// Whether the connection is gone, rather than the statement refused.
fn is_lost(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        // 57P..: shut down by an administrator, crashed, not up yet, database dropped; 08...: connection exceptions.
        Some(code) => code.code().starts_with("57P") || code.code().starts_with("08"),
        // No SQLSTATE: the connection is closed, the socket failed, an answer was to something else (which has no cause of
        // its own), or a parameter could not be encoded before anything was sent.
        None => std::error::Error::source(error).is_none() || is_io(error),
    }
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.is::<std::io::Error>() {
            return true;
        }
        source = cause.source();
    }
    false
}

/// Whether trying again is no use: credentials and names do not mend themselves.
fn is_hopeless(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| {
        code.code().starts_with("28") || *code == SqlState::INVALID_CATALOG_NAME
    })
}

/// The error as one line: the server's own words, or the cause at the bottom of the chain.
fn explain(error: &tokio_postgres::Error) -> String {
    if let Some(refusal) = error.as_db_error() {
        let detail = refusal.detail().map(|detail| format!(" ({detail})"));
        return format!(
            "{}{} [{}]",
            refusal.message(),
            detail.unwrap_or_default(),
            refusal.code().code()
        );
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

const CHECK_ADDRESS: &str = "check that PostgreSQL runs there (POSTGRES_HOST, POSTGRES_PORT), with TLS as asked (PGSSLMODE)";

fn connect_advice(error: &tokio_postgres::Error) -> &'static str {
    match error.code() {
        Some(code) if code.code().starts_with("28") => {
            "check the user and the password (POSTGRES_USER, POSTGRES_PASSWORD) and the server's pg_hba.conf"
        }
        Some(code) if *code == SqlState::INVALID_CATALOG_NAME => {
            "create the database, or name another one (POSTGRES_DB)"
        }
        Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => {
            "use fewer --connections, or raise max_connections"
        }
        _ => CHECK_ADDRESS,
    }
}

fn prepare_advice(error: &tokio_postgres::Error) -> &'static str {
    match error.code() {
        Some(code)
            if *code == SqlState::UNDEFINED_TABLE || *code == SqlState::INVALID_SCHEMA_NAME =>
        {
            "create the table with \"cdc-bench setup\""
        }
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            "grant the user INSERT on activity.event_outbox and USAGE on its schema"
        }
        _ => {
            "the table is not the one \"cdc-bench setup\" makes: run \"cdc-bench cleanup\", then \"cdc-bench setup\""
        }
    }
}
