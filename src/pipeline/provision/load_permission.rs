//! Whether events may be inserted into a database: into an outbox that we made, into one that is missing or empty, and into any
//! other only if the user has said so by naming it.

use cdc_bench_model::RunId;
use cdc_bench_model::event::{SCHEMA, TABLE};
use cdc_bench_stack::{PostgresEndpoint, StepProgress};
use tokio_postgres::Client;

use crate::pipeline::failure::Failure;
use crate::pipeline::provision::resource_registry::{ResourceKind, ResourceRegistry};

/// Rows are counted up to here: a table of an application may be large.
const COUNTED: i64 = 10_000;

/// Whose the outbox is that a load is inserted into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outbox {
    /// Made by cdc-bench, or to be made: `cleanup` removes it with its rows.
    Ours,
    /// Somebody's: the rows of a load stay in it.
    Users,
}

/// Checks that the user's database may be loaded. Nothing is written.
///
/// # Errors
/// When its outbox has rows and is not ours, and `consent` does not name it; or names another.
pub(crate) async fn check_load(
    client: &Client,
    registry: &ResourceRegistry,
    postgres: &PostgresEndpoint,
    consent: Option<&str>,
) -> Result<Outbox, Failure> {
    let target = format!("{}@{}", postgres.database, postgres.host);
    if let Some(given) = consent.filter(|given| *given != target) {
        return Err(Failure::usage(anyhow::anyhow!(
            "--yes-load {given} is not the database that would be loaded: that is {target} (--yes-load {target})"
        )));
    }
    let table = format!("{SCHEMA}.{TABLE}");
    let exists: bool = client
        .query_one("SELECT to_regclass($1) IS NOT NULL", &[&table])
        .await?
        .get(0);
    if !exists || registry.has(ResourceKind::Table, &table).await? {
        return Ok(Outbox::Ours);
    }
    if consent.is_some() {
        return Ok(Outbox::Users);
    }
    let counting = format!("SELECT count(*) FROM (SELECT FROM {table} LIMIT {COUNTED}) rows");
    let counted = client.query_one(&counting, &[]).await;
    let rows: i64 = counted
        .map_err(|error| {
            Failure::from(error).context(format!(
                "counting the rows of {table} (GRANT SELECT ON {table} TO \"{}\")",
                postgres.user
            ))
        })?
        .get(0);
    if rows == 0 {
        return Ok(Outbox::Users);
    }
    let most = if rows == COUNTED { "or more " } else { "" };
    Err(Failure::usage(anyhow::anyhow!(
        "database \"{}\" at {} has {rows} {most}rows in {table}, which cdc-bench has not made: events would be inserted beside them, whoever reads the table would get them, and they would stay; if that is meant: --yes-load {target}; else name another database (POSTGRES_DB), where a table of our own is made",
        postgres.database,
        postgres.host
    )))
}

impl Outbox {
    /// Says that rows of this run stay, if the table is the user's.
    pub(crate) fn tell_of_rows(self, run: &RunId, progress: &dyn StepProgress) {
        if self == Self::Users {
            let step = "outbox";
            progress.begin(step);
            let detail = format!(
                "{SCHEMA}.{TABLE} was there already, so the rows of this run stay in it: DELETE FROM {SCHEMA}.{TABLE} WHERE run_id LIKE '{run}%' removes them"
            );
            progress.end(step, &detail);
        }
    }
}
