//! The registry of resources on servers: a table in the source database, written before a resource is created.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

use cdc_bench_model::RunId;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::pipeline::lock::lock;

const SCHEMA_SQL: &str = include_str!("../../../sql/resource_registry.sql");

/// A kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResourceKind {
    /// A schema in the source database.
    Schema,
    /// A table in it.
    Table,
    /// A publication.
    Publication,
    /// A replication slot.
    Slot,
    /// A connector on Kafka Connect.
    Connector,
    /// A Kafka topic.
    Topic,
    /// A Kafka consumer group.
    Group,
    /// A collection of the store.
    Collection,
}

impl ResourceKind {
    const ALL: [Self; 8] = [
        Self::Schema,
        Self::Table,
        Self::Publication,
        Self::Slot,
        Self::Connector,
        Self::Topic,
        Self::Group,
        Self::Collection,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Table => "table",
            Self::Publication => "publication",
            Self::Slot => "slot",
            Self::Connector => "connector",
            Self::Topic => "topic",
            Self::Group => "group",
            Self::Collection => "collection",
        }
    }
}

impl ResourceKind {
    /// The server that it is on.
    pub(crate) fn server(self) -> ResourceServer {
        match self {
            Self::Schema | Self::Table | Self::Publication | Self::Slot => ResourceServer::Postgres,
            Self::Connector => ResourceServer::Connect,
            Self::Topic | Self::Group => ResourceServer::Kafka,
            Self::Collection => ResourceServer::Store,
        }
    }
}

/// A server with resources on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResourceServer {
    Postgres,
    Connect,
    Kafka,
    Store,
}

impl fmt::Display for ResourceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::Connect => "Kafka Connect",
            Self::Kafka => "Kafka",
            Self::Store => "the store",
        })
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ResourceKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("the ledger holds a {text:?}, which this version does not know"))
    }
}

/// A registered resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryEntry {
    /// Its kind.
    pub kind: ResourceKind,
    /// Its name.
    pub name: String,
    /// The run that created it; `None` for resources of `setup` and for those that outlive their run.
    pub run_id: Option<String>,
}

/// The registry of one source database.
pub struct ResourceRegistry {
    client: Client,
    /// What was registered through it, for when the database does not answer any more.
    made: Mutex<Vec<RegistryEntry>>,
}

impl ResourceRegistry {
    /// The registry of the database that this client is connected to. Its table is created with the first entry.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            made: Mutex::default(),
        }
    }

    /// Registers a resource before it is created. False if there is an entry already, which stays as it is.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn record(
        &self,
        kind: ResourceKind,
        name: &str,
        run: Option<&RunId>,
    ) -> Result<bool, tokio_postgres::Error> {
        let statement = "INSERT INTO cdc_bench.ledger (kind, name, run_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        let entry = RegistryEntry {
            kind,
            name: name.to_owned(),
            run_id: run.map(|run| run.as_str().to_owned()),
        };
        let (kind, run) = (kind.as_str(), run.map(RunId::as_str));
        let insert = async || self.client.execute(statement, &[&kind, &name, &run]).await;
        let rows = match insert().await {
            Err(error) if is_undefined_table(&error) => {
                create_if_missing(&self.client, SCHEMA_SQL).await?;
                insert().await?
            }
            outcome => outcome?,
        };
        if rows > 0 {
            lock(&self.made).push(entry);
        }
        Ok(rows > 0)
    }

    /// What this process has registered for a run, oldest first.
    pub(crate) fn made_for(&self, run: &RunId) -> Vec<RegistryEntry> {
        let made = lock(&self.made);
        let of_run = |entry: &&RegistryEntry| entry.run_id.as_deref() == Some(run.as_str());
        made.iter().filter(of_run).cloned().collect()
    }

    /// Removes the entry of a resource that is gone.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn forget(
        &self,
        kind: ResourceKind,
        name: &str,
    ) -> Result<(), tokio_postgres::Error> {
        let deleting = "DELETE FROM cdc_bench.ledger WHERE kind = $1 AND name = $2";
        match self
            .client
            .execute(deleting, &[&kind.as_str(), &name])
            .await
        {
            // What captures leave is not in it: it need not exist.
            Err(error) if !is_undefined_table(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// All entries, oldest first.
    ///
    /// # Errors
    /// When the database refuses. Entries of kinds that this version does not know are skipped.
    pub async fn entries(&self) -> Result<Vec<RegistryEntry>, tokio_postgres::Error> {
        let question = "SELECT kind, name, run_id FROM cdc_bench.ledger ORDER BY made_at";
        let rows = match self.client.query(question, &[]).await {
            Err(error) if is_undefined_table(&error) => Vec::new(),
            outcome => outcome?,
        };
        let entry = |row: &tokio_postgres::Row| {
            let kind: String = row.get(0);
            let kind = kind
                .parse()
                .inspect_err(|reason: &String| tracing::warn!(reason, "left alone"))
                .ok()?;
            Some(RegistryEntry {
                kind,
                name: row.get(1),
                run_id: row.get(2),
            })
        };
        Ok(rows.iter().filter_map(entry).collect())
    }

    /// Whether a resource is registered.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn has(&self, kind: ResourceKind, name: &str) -> Result<bool, tokio_postgres::Error> {
        let entries = self.entries().await?;
        Ok(entries
            .iter()
            .any(|entry| entry.kind == kind && entry.name == name))
    }

    /// Drops the registry's table and schema if there is no entry.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn drop_if_empty(&self) -> Result<(), tokio_postgres::Error> {
        // Locked, so that no entry is written between the look and the drop.
        let dropping = "BEGIN; LOCK TABLE cdc_bench.ledger IN ACCESS EXCLUSIVE MODE; \
             DO $$ BEGIN IF NOT EXISTS (SELECT FROM cdc_bench.ledger) THEN \
               DROP TABLE cdc_bench.ledger; \
               IF obj_description('cdc_bench'::regnamespace) = 'made by cdc-bench' THEN DROP SCHEMA cdc_bench; END IF; \
             END IF; END $$; COMMIT";
        match self.client.batch_execute(dropping).await {
            Err(error) => {
                self.client.batch_execute("ROLLBACK").await?;
                if is_undefined_table(&error) {
                    Ok(())
                } else {
                    Err(error)
                }
            }
            Ok(()) => Ok(()),
        }
    }
}

/// Whether the registry's table does not exist yet.
fn is_undefined_table(error: &tokio_postgres::Error) -> bool {
    // LOCK TABLE misses the schema first.
    matches!(error.code(), Some(code) if *code == SqlState::UNDEFINED_TABLE || *code == SqlState::INVALID_SCHEMA_NAME)
}

/// Runs `CREATE ... IF NOT EXISTS`. Two sessions may both find nothing and both create: the second then fails on a unique
/// index of the catalogue, and finds the object when the statement is repeated.
pub(crate) async fn create_if_missing(
    client: &Client,
    sql: &str,
) -> Result<(), tokio_postgres::Error> {
    match client.batch_execute(sql).await {
        Err(error)
            if error.code() == Some(&SqlState::UNIQUE_VIOLATION)
                || error.code() == Some(&SqlState::DUPLICATE_SCHEMA)
                || error.code() == Some(&SqlState::DUPLICATE_TABLE) =>
        {
            client.batch_execute(sql).await
        }
        outcome => outcome,
    }
}
