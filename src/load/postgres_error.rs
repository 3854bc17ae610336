//! What PostgreSQL's errors mean for a load: connection lost or statement refused, and what to do.

use cdc_bench_stack::PostgresEndpoint;
use pgcdc::SslMode;
use tokio_postgres::error::SqlState;

/// How an INSERT failed.
#[derive(Debug)]
pub(super) enum InsertError {
    /// The server refused the statement: nothing of it is in the table, and the connection can be used further.
    Refused(String),
    /// The connection is gone; whether the rows are in the table is unknown.
    Lost(String),
}

impl InsertError {
    pub fn of(error: &tokio_postgres::Error) -> Self {
        if is_lost(error) {
            Self::Lost(explain(error))
        } else {
            Self::Refused(explain(error))
        }
    }
}

/// Whether the connection is gone, rather than the statement refused.
pub(super) fn is_lost(error: &tokio_postgres::Error) -> bool {
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

/// Whether another try is useless: wrong credentials and names stay wrong.
pub(super) fn is_hopeless(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| {
        code.code().starts_with("28") || *code == SqlState::INVALID_CATALOG_NAME
    })
}

/// The error as one line: the server's message, or the error with its causes.
pub(super) fn explain(error: &tokio_postgres::Error) -> String {
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

pub(super) const CHECK_ADDRESS: &str = "check that PostgreSQL runs there (POSTGRES_HOST, POSTGRES_PORT), with TLS as asked (PGSSLMODE)";

pub(super) const SET_PASSWORD: &str =
    "set POSTGRES_PASSWORD, POSTGRES_PASSWORD_FILE or PGPASSWORD, or write a line into ~/.pgpass";

pub(super) fn connect_advice(
    error: &tokio_postgres::Error,
    endpoint: &PostgresEndpoint,
) -> &'static str {
    match error.code() {
        Some(code)
            if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
                && endpoint.tls.mode == SslMode::Disable
                && endpoint.socket_path().is_none() =>
        {
            "the server may let in encrypted connections alone (pg_hba.conf): set PGSSLMODE=require; else check POSTGRES_USER"
        }
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

pub(super) fn prepare_advice(error: &tokio_postgres::Error) -> &'static str {
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
