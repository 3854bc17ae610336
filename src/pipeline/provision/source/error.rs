//! Why the source cannot be prepared, with advice.

use cdc_bench_model::event::{SCHEMA, TABLE};

use crate::cause::innermost;
use crate::pipeline::failure::Failure;

/// Why the source cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The server is unreachable.
    #[error(
        "cannot reach PostgreSQL at {server}: {reason}; is it running, and does it listen there?"
    )]
    Unreachable {
        /// User, host, port, database.
        server: String,
        /// The operating system's message.
        reason: String,
    },
    /// TLS did not come about.
    #[error("no TLS to PostgreSQL at {server}: {reason}; {advice}")]
    Tls {
        /// User, host, port, database.
        server: String,
        /// What failed.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// User or password is wrong.
    #[error("PostgreSQL refused {server}: {reason}; check POSTGRES_USER and POSTGRES_PASSWORD")]
    Password {
        /// User, host, port, database.
        server: String,
        /// The server's message.
        reason: String,
    },
    /// The server asks for a password, and there is none.
    #[error(
        "PostgreSQL asks for a password of {server}, and none is given; set POSTGRES_PASSWORD, POSTGRES_PASSWORD_FILE or PGPASSWORD, or write a line into ~/.pgpass"
    )]
    NoPassword {
        /// User, host, port, database.
        server: String,
    },
    /// The database does not exist.
    #[error(
        "PostgreSQL has no such database ({server}): {reason}; create it, or name another with POSTGRES_DB"
    )]
    Database {
        /// User, host, port, database.
        server: String,
        /// The server's message.
        reason: String,
    },
    /// The server is a standby.
    #[error(
        "PostgreSQL at {server} is a standby, to which nothing can be written; name the primary (POSTGRES_HOST), or all servers with target_session_attrs=primary (POSTGRES_URL)"
    )]
    Standby {
        /// User, host, port, database.
        server: String,
    },
    /// The server is a standby of a version whose standbys do not decode.
    #[error(
        "PostgreSQL {version} is a standby here, and standbys decode the WAL from version 16 on; name the primary (POSTGRES_HOST)"
    )]
    OldStandby {
        /// Its version.
        version: String,
    },
    /// Transactions are read-only.
    #[error(
        "PostgreSQL at {server} lets no transaction write (default_transaction_read_only = on); {undo}"
    )]
    ReadOnly {
        /// User, host, port, database.
        server: String,
        /// What lets them write again.
        undo: String,
    },
    /// A limit of connections is reached.
    #[error("PostgreSQL has too few connections left for {user}: {reason}; {raise}")]
    Connections {
        /// The role, or user, host, port and database.
        user: String,
        /// The server's message, or the limit.
        reason: String,
        /// What raises the limit.
        raise: String,
    },
    /// A publication of our name does not publish the outbox as it is.
    #[error(
        "publication \"{name}\" {gap}; it was not made by this command, which leaves it as it is: use another database (POSTGRES_DB), or have its owner do {closed_by}"
    )]
    Publication {
        /// Its name.
        name: String,
        /// What it does not publish.
        gap: String,
        /// The statements that close the gap.
        closed_by: String,
    },
    /// `wal_level` is below logical.
    #[error(
        "PostgreSQL has wal_level = {found}; change data capture needs logical: ALTER SYSTEM SET wal_level = 'logical', then restart the server"
    )]
    WalLevel {
        /// The current setting.
        found: String,
    },
    /// Not enough free replication slots.
    #[error(
        "PostgreSQL has {free} of {max} replication slots free, and {needed} are needed; drop one that is no longer used (\"cdc-bench cleanup\" drops ours), or raise max_replication_slots"
    )]
    Slots {
        /// Free slots.
        free: i64,
        /// `max_replication_slots`.
        max: i64,
        /// Slots needed.
        needed: i64,
    },
    /// Not enough free WAL senders.
    #[error(
        "PostgreSQL has {free} of {max} WAL senders free, and {needed} are needed; raise max_wal_senders"
    )]
    Senders {
        /// Free senders.
        free: i64,
        /// `max_wal_senders`.
        max: i64,
        /// Senders needed.
        needed: i64,
    },
    /// The role lacks the right to replicate.
    #[error("role \"{role}\" may not replicate ({reason}); {grant}")]
    NoReplication {
        /// The role.
        role: String,
        /// The server's message.
        reason: String,
        /// The statement that grants it.
        grant: String,
    },
    /// What answers is a connection pooler.
    #[error(
        "what answers as {server} is a connection pooler such as PgBouncer ({reason}), which passes no replication on; give the address of PostgreSQL itself (POSTGRES_HOST, POSTGRES_PORT)"
    )]
    Pooler {
        /// User, host, port, database.
        server: String,
        /// What it said.
        reason: String,
    },
    /// No line of pg_hba.conf fits an unencrypted connection.
    #[error(
        "PostgreSQL refused {server}: {reason}; the connection has no encryption, and the server may let in encrypted ones alone (hostssl in pg_hba.conf): set PGSSLMODE=require, or verify-full with PGSSLROOTCERT; else check POSTGRES_USER and pg_hba.conf"
    )]
    NotEncrypted {
        /// User, host, port, database.
        server: String,
        /// The server's message.
        reason: String,
    },
    /// No line of pg_hba.conf fits, or there is no such role.
    #[error(
        "PostgreSQL refused {server}: {reason}; check POSTGRES_USER, the client certificate (PGSSLCERT, PGSSLKEY), and the lines of pg_hba.conf that are for it"
    )]
    NotAdmitted {
        /// User, host, port, database.
        server: String,
        /// The server's message.
        reason: String,
    },
    /// The role lacks CREATE on the database.
    #[error(
        "role \"{role}\" may not create schemas in database \"{database}\": GRANT CREATE ON DATABASE \"{database}\" TO \"{role}\""
    )]
    NoCreate {
        /// The role.
        role: String,
        /// The database.
        database: String,
    },
    /// The existing outbox table lacks columns.
    #[error(
        "table {SCHEMA}.{TABLE} exists but lacks the column(s) {missing}; use another database (POSTGRES_DB), or add them (sql/outbox.sql has their types)"
    )]
    Columns {
        /// The missing columns.
        missing: String,
    },
    /// The replication slot stays in use.
    #[error(
        "replication slot \"{slot}\" is still in use by process {pid} after {seconds} s; stop whoever reads it, then run \"cdc-bench cleanup\""
    )]
    SlotActive {
        /// Name of the slot.
        slot: String,
        /// Process that uses it.
        pid: i32,
        /// How long we waited for it.
        seconds: u64,
    },
    /// Any other refusal.
    #[error("PostgreSQL refused to {action}: {reason}")]
    Refused {
        /// What was tried.
        action: String,
        /// The server's message.
        reason: String,
    },
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::server(error)
    }
}

/// The server's message; the driver has it one level down.
pub(super) fn server_message(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return db.message().to_owned();
    }
    innermost(error).to_string()
}

/// Maps the driver's error on an action that the server refused.
pub(super) fn refused(action: &str) -> impl FnOnce(tokio_postgres::Error) -> SourceError + '_ {
    move |error| SourceError::Refused {
        action: action.to_owned(),
        reason: server_message(&error),
    }
}
