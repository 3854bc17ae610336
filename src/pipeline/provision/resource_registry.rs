//! The registry of resources on servers: a table in the source database, written before a resource is created.

use std::sync::Mutex;

use cdc_bench_model::RunId;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use crate::pipeline::lock::lock;

pub use super::resource_kind::ResourceKind;
pub(crate) use super::resource_kind::ResourceServer;
use super::session_lock::{HELD, OF_RUN, is_held};

const SCHEMA_SQL: &str = include_str!("../../../sql/resource_registry.sql");

/// A registered resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryEntry {
    /// Its kind.
    pub kind: ResourceKind,
    /// Its name.
    pub name: String,
    /// The run that created it, and removes it; `None` for resources of `setup` and for those that outlive their run.
    pub run_id: Option<String>,
    /// The run that created what outlives it, until a run that used it has ended.
    pub made_by: Option<String>,
}

impl RegistryEntry {
    /// A resource that belongs to no run.
    pub(crate) fn lasting(kind: ResourceKind, name: String) -> Self {
        Self {
            kind,
            name,
            run_id: None,
            made_by: None,
        }
    }

    /// The run that it is of, or came with.
    pub(crate) fn run(&self) -> Option<&str> {
        self.run_id.as_deref().or(self.made_by.as_deref())
    }
}

/// The registry of one source database.
pub struct ResourceRegistry {
    client: Client,
    /// What was registered through it, for when the database does not answer any more.
    made: Mutex<Vec<RegistryEntry>>,
    /// What outlives the runs that use it, as far as it was used through this.
    lasting: Mutex<Vec<(ResourceKind, String)>>,
}

impl ResourceRegistry {
    /// The registry of the database that this client is connected to. Its table is created with the first entry.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            made: Mutex::default(),
            lasting: Mutex::default(),
        }
    }

    /// This one with what was registered and used through another, whose connection was lost.
    pub(crate) fn after(self, lost: &Self) -> Self {
        Self {
            client: self.client,
            made: Mutex::new(lock(&lost.made).clone()),
            lasting: Mutex::new(lock(&lost.lasting).clone()),
        }
    }

    /// Registers a resource of a run, or of none, before it is created. False if there is an entry already, which stays as it is.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn record(
        &self,
        kind: ResourceKind,
        name: &str,
        run: Option<&RunId>,
    ) -> Result<bool, tokio_postgres::Error> {
        let mut entry = RegistryEntry::lasting(kind, name.to_owned());
        entry.run_id = run.map(|run| run.as_str().to_owned());
        self.insert(entry).await
    }

    /// Registers a resource that outlives the run that creates it: it is a dead run's until a run that used it has ended.
    /// False as in [`ResourceRegistry::record`].
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn record_lasting(
        &self,
        kind: ResourceKind,
        name: &str,
        made_by: Option<&RunId>,
    ) -> Result<bool, tokio_postgres::Error> {
        let mut entry = RegistryEntry::lasting(kind, name.to_owned());
        entry.made_by = made_by.map(|run| run.as_str().to_owned());
        self.insert(entry).await
    }

    /// Gives the entry of a resource that is there already, and was a dead run's, to the one that goes on to use it: a run, or
    /// `setup`.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn inherit(
        &self,
        kind: ResourceKind,
        name: &str,
        run: Option<&RunId>,
    ) -> Result<(), tokio_postgres::Error> {
        let lives = is_held("$4", "entry.run_id");
        let statement = format!(
            "WITH {HELD}, found AS (DELETE FROM cdc_bench.ledger entry WHERE kind = $1 AND name = $2 \
              AND run_id IS NOT NULL AND run_id IS DISTINCT FROM $3 AND NOT {lives} RETURNING kind, name, made_at) \
            INSERT INTO cdc_bench.ledger (kind, name, run_id, made_at) SELECT kind, name, $3, made_at FROM found"
        );
        let (kind, run) = (kind.as_str(), run.map(RunId::as_str));
        let values: [&(dyn ToSql + Sync); 4] = [&kind, &name, &run, &OF_RUN];
        match self.client.execute(&statement, &values).await {
            Err(error) if !is_undefined(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Says that a resource that outlives its run is used.
    pub(crate) fn uses(&self, kind: ResourceKind, name: &str) {
        lock(&self.lasting).push((kind, name.to_owned()));
    }

    /// Makes what was used stay, whoever has made it: the run has ended, and its data is there to be looked at.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn keep_used(&self) -> Result<(), tokio_postgres::Error> {
        let used = lock(&self.lasting).clone();
        self.keep(&used).await
    }

    /// Makes these stay. Deleted and inserted again, in one statement: a role needs no right to update.
    pub(crate) async fn keep(
        &self,
        resources: &[(ResourceKind, String)],
    ) -> Result<(), tokio_postgres::Error> {
        let statement = "WITH found AS (DELETE FROM cdc_bench.ledger WHERE kind = $1 AND name = $2 AND made_by IS NOT NULL \
              RETURNING kind, name, run_id, made_at) \
            INSERT INTO cdc_bench.ledger (kind, name, run_id, made_at) SELECT kind, name, run_id, made_at FROM found";
        for (kind, name) in resources {
            let kind = kind.as_str();
            match self.client.execute(statement, &[&kind, name]).await {
                // Without the column nothing has a maker.
                Err(error) if !is_undefined(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    async fn insert(&self, entry: RegistryEntry) -> Result<bool, tokio_postgres::Error> {
        let statement = "INSERT INTO cdc_bench.ledger (kind, name, run_id, made_by) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        let RegistryEntry {
            kind,
            name,
            run_id,
            made_by,
        } = &entry;
        let kind = kind.as_str();
        let insert = async || {
            let values: [&(dyn ToSql + Sync); 4] = [&kind, name, run_id, made_by];
            self.client.execute(statement, &values).await
        };
        let rows = match insert().await {
            Err(error) if is_undefined(&error) => {
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
            Err(error) if !is_undefined(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes every entry of a run, and of the run itself: what it has created is not its own any more.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) async fn forget_run(&self, run: &RunId) -> Result<(), tokio_postgres::Error> {
        let deleting = "DELETE FROM cdc_bench.ledger WHERE run_id = $1";
        match self.client.execute(deleting, &[&run.as_str()]).await {
            Err(error) if !is_undefined(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// All entries, oldest first.
    ///
    /// # Errors
    /// When the database refuses. Entries of kinds that this version does not know are skipped.
    pub async fn entries(&self) -> Result<Vec<RegistryEntry>, tokio_postgres::Error> {
        // A registry of an earlier version has no column made_by.
        let question = "SELECT kind, name, run_id, to_jsonb(entry) ->> 'made_by' FROM cdc_bench.ledger entry ORDER BY made_at";
        let rows = match self.client.query(question, &[]).await {
            Err(error) if is_undefined(&error) => Vec::new(),
            outcome => outcome?,
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

    /// Drops the registry's table and schema if there is no entry, and they are ours to drop.
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
                let is_anothers = error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
                if is_undefined(&error) || is_anothers {
                    Ok(())
                } else {
                    Err(error)
                }
            }
            Ok(()) => Ok(()),
        }
    }
}

/// An entry in a row that begins with kind, name, run and maker. `None` for a kind that this version does not know.
pub(super) fn entry(row: &Row) -> Option<RegistryEntry> {
    let kind: String = row.get(0);
    let kind = kind
        .parse()
        .inspect_err(|reason: &String| tracing::warn!(reason, "left alone"))
        .ok()?;
    Some(RegistryEntry {
        kind,
        name: row.get(1),
        run_id: row.get(2),
        made_by: row.get(3),
    })
}

/// Whether the registry's table does not exist yet, or lacks a column.
pub(super) fn is_undefined(error: &tokio_postgres::Error) -> bool {
    let undefined = [
        SqlState::UNDEFINED_TABLE,
        // LOCK TABLE misses the schema first.
        SqlState::INVALID_SCHEMA_NAME,
        SqlState::UNDEFINED_COLUMN,
    ];
    error.code().is_some_and(|code| undefined.contains(code))
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
