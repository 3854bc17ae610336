//! The source's part of the set-up: connection, checks, tables, publication, slots.

use std::time::Duration;

use cdc_bench_model::RunId;
use cdc_bench_model::event::{SCHEMA, TABLE};
use cdc_bench_stack::{PostgresConnectError, PostgresEndpoint};
use pgcdc::SlotName;
use tokio::time::Instant;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::cause::innermost;
use crate::pipeline::failure::Failure;
use crate::pipeline::provision::resource_registry::{ResourceKind, ResourceRegistry, create};

const OUTBOX_SQL: &str = include_str!("../../../sql/outbox.sql");

/// The publication of the outbox.
pub const PUBLICATION: &str = "cdc_bench";

/// Columns that the outbox table must have.
const COLUMNS: [&str; 8] = [
    "id",
    "run_id",
    "seq",
    "event_type",
    "aggregate_type",
    "aggregate_id",
    "payload",
    "created_at",
];

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
    /// User or password is wrong.
    #[error("PostgreSQL refused {server}: {reason}; check POSTGRES_USER and POSTGRES_PASSWORD")]
    Password {
        /// User, host, port, database.
        server: String,
        /// The server's message.
        reason: String,
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
    /// The role lacks REPLICATION.
    #[error("role \"{role}\" may not replicate: ALTER ROLE \"{role}\" REPLICATION")]
    NoReplication {
        /// The role.
        role: String,
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

/// The server's own words, which the driver keeps one level down.
impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::server(error)
    }
}

fn words(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return db.message().to_owned();
    }
    innermost(error).to_string()
}

fn refused(action: &str) -> impl FnOnce(tokio_postgres::Error) -> SourceError + '_ {
    move |error| SourceError::Refused {
        action: action.to_owned(),
        reason: words(&error),
    }
}

/// Connects. A background task drives the connection and ends with it.
///
/// # Errors
/// When the server is unreachable or refuses.
pub async fn connect_postgres(endpoint: &PostgresEndpoint) -> Result<Client, SourceError> {
    let server = endpoint.to_string();
    let connected = endpoint.connect().await;
    let (client, _) = connected.map_err(|error| match error {
        PostgresConnectError::Socket(reason) => SourceError::Unreachable { server, reason },
        PostgresConnectError::Postgres(error) => {
            let reason = words(&error);
            match error.code() {
                Some(code)
                    if *code == SqlState::INVALID_PASSWORD
                        || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION =>
                {
                    SourceError::Password { server, reason }
                }
                Some(code) if *code == SqlState::INVALID_CATALOG_NAME => {
                    SourceError::Database { server, reason }
                }
                Some(_) => SourceError::Refused {
                    action: format!("let {server} in"),
                    reason,
                },
                None => SourceError::Unreachable { server, reason },
            }
        }
    })?;
    Ok(client)
}

/// Requirements on the source.
#[derive(Debug, Clone, Default)]
pub struct SourceNeeds {
    /// The run that it is prepared for; `None`: resources stay until `cleanup`.
    pub run_id: Option<RunId>,
    /// Slots and WAL senders that must be free.
    pub slots: i64,
    /// A permanent slot for our reader.
    pub permanent_slot: Option<SlotName>,
}

/// The prepared source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedSource {
    /// Publication of the outbox.
    pub publication: String,
}

/// Checks the source, and creates what is missing. Each resource is registered first. Can be repeated.
///
/// # Errors
/// What prevents it, with advice.
pub async fn prepare_source(
    client: &Client,
    registry: &ResourceRegistry,
    needs: &SourceNeeds,
) -> Result<PreparedSource, crate::pipeline::failure::Failure> {
    check_source(client, needs).await?;
    let exists: bool = exists(client, "SELECT to_regnamespace($1) IS NOT NULL", SCHEMA).await?;
    if !exists {
        // Tables outlive a run, so that `verify` can read them: `cleanup` removes them.
        registry.record(ResourceKind::Schema, SCHEMA, None).await?;
    }
    let table = format!("{SCHEMA}.{TABLE}");
    if !self::exists(client, "SELECT to_regclass($1) IS NOT NULL", &table).await? {
        registry.record(ResourceKind::Table, &table, None).await?;
    }
    create(client, OUTBOX_SQL)
        .await
        .map_err(refused(&format!("make {table}")))?;
    check_columns(client).await?;
    if !self::exists(
        client,
        "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1)",
        PUBLICATION,
    )
    .await?
    {
        // Concurrent runs share it, so no single run may remove it.
        registry
            .record(ResourceKind::Publication, PUBLICATION, None)
            .await?;
        let make = format!(
            "CREATE PUBLICATION {PUBLICATION} FOR TABLE {table} WITH (publish = 'insert, update, delete, truncate')"
        );
        match client.batch_execute(&make).await {
            Err(error) if error.code() == Some(&SqlState::DUPLICATE_OBJECT) => {}
            outcome => outcome.map_err(refused("make the publication"))?,
        }
    }
    if let Some(slot) = &needs.permanent_slot
        && !self::exists(
            client,
            "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)",
            slot.as_str(),
        )
        .await?
    {
        registry
            .record(ResourceKind::Slot, slot.as_str(), needs.run_id.as_ref())
            .await?;
        let make = client
            .execute(
                "SELECT pg_create_logical_replication_slot($1, 'pgoutput')",
                &[&slot.as_str()],
            )
            .await;
        make.map_err(refused(&format!("make replication slot \"{slot}\"")))?;
    }
    Ok(PreparedSource {
        publication: PUBLICATION.to_owned(),
    })
}

/// How many of these slots exist.
///
/// # Errors
/// When the server refuses.
pub(crate) async fn existing_slots(client: &Client, names: &[&str]) -> Result<i64, SourceError> {
    let question = "SELECT count(*) FROM pg_replication_slots WHERE slot_name::text = ANY($1)";
    let row = client.query_one(question, &[&names]).await;
    Ok(row.map_err(refused("read its slots"))?.get(0))
}

async fn exists(client: &Client, question: &str, name: &str) -> Result<bool, SourceError> {
    let row = client
        .query_one(question, &[&name])
        .await
        .map_err(refused("read its catalogues"))?;
    Ok(row.get(0))
}

/// Checks that the source can be captured: `wal_level`, free slots and WAL senders, rights.
///
/// # Errors
/// The first problem.
pub(crate) async fn check_source(client: &Client, needs: &SourceNeeds) -> Result<(), SourceError> {
    let question = "SELECT current_setting('wal_level'), \
        current_setting('max_replication_slots')::bigint, (SELECT count(*) FROM pg_replication_slots), \
        current_setting('max_wal_senders')::bigint, (SELECT count(*) FROM pg_stat_replication), \
        rolname::text, rolsuper OR rolreplication, \
        has_database_privilege(current_database(), 'CREATE'), current_database()::text \
        FROM pg_roles WHERE rolname = current_user";
    let row = client
        .query_one(question, &[])
        .await
        .map_err(refused("read its settings"))?;
    let wal_level: String = row.get(0);
    if wal_level != "logical" {
        return Err(SourceError::WalLevel { found: wal_level });
    }
    let role: String = row.get(5);
    if !row.get::<_, bool>(6) {
        return Err(SourceError::NoReplication { role });
    }
    if !row.get::<_, bool>(7) {
        return Err(SourceError::NoCreate {
            role,
            database: row.get(8),
        });
    }
    let (max, used): (i64, i64) = (row.get(1), row.get(2));
    if max - used < needs.slots {
        return Err(SourceError::Slots {
            free: max - used,
            max,
            needed: needs.slots,
        });
    }
    let (max, used): (i64, i64) = (row.get(3), row.get(4));
    if max - used < needs.slots {
        return Err(SourceError::Senders {
            free: max - used,
            max,
            needed: needs.slots,
        });
    }
    Ok(())
}

async fn check_columns(client: &Client) -> Result<(), SourceError> {
    let question = "SELECT column_name::text FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2";
    let rows = client
        .query(question, &[&SCHEMA, &TABLE])
        .await
        .map_err(refused("read its catalogues"))?;
    let present: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let missing: Vec<_> = COLUMNS
        .into_iter()
        .filter(|name| !present.iter().any(|p| p == name))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(SourceError::Columns {
            missing: missing.join(", "),
        })
    }
}

/// Drops a slot once it is no longer in use. Does nothing if it does not exist.
///
/// # Errors
/// [`SourceError::SlotActive`] if it is still in use after the limit.
pub async fn drop_slot(client: &Client, name: &str, limit: Duration) -> Result<(), SourceError> {
    let began = Instant::now();
    loop {
        let slot = client
            .query_opt(
                "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1",
                &[&name],
            )
            .await;
        let Some(row) = slot.map_err(refused("read its slots"))? else {
            return Ok(());
        };
        let Some(pid) = row.get::<_, Option<i32>>(0) else {
            match client
                .execute("SELECT pg_drop_replication_slot($1)", &[&name])
                .await
            {
                Ok(_) => return Ok(()),
                // Acquired or dropped by another session in between.
                Err(error) if matches!(error.code(), Some(code) if *code == SqlState::OBJECT_IN_USE || *code == SqlState::UNDEFINED_OBJECT) =>
                {
                    continue;
                }
                Err(error) => {
                    return Err(refused(&format!("drop replication slot \"{name}\""))(error));
                }
            }
        };
        if began.elapsed() > limit {
            return Err(SourceError::SlotActive {
                slot: name.to_owned(),
                pid,
                seconds: limit.as_secs(),
            });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
