//! Whether events may be inserted into a database: into an outbox that we made, into one that is missing or has no rows but those of
//! runs, and into any other only if the user has said so by naming it.

use cdc_bench_model::RunId;
use cdc_bench_model::event::{SCHEMA, TABLE};
use cdc_bench_stack::{PostgresEndpoint, StepProgress};
use postgres_protocol::escape::escape_identifier;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::pipeline::failure::Failure;
use crate::pipeline::provision::resource_registry::{ResourceKind, ResourceRegistry};
use crate::pipeline::provision::source::check_columns;

/// Rows are counted up to here: a table of an application may be large.
const COUNTED: i64 = 10_000;

/// The `run_id` of a row of a run, as a regular expression of PostgreSQL: the run's generated id, and what is appended to it.
const OF_A_RUN: &str = "^[0-9]{8}-[0-9]{6}-[0-9a-f]{6}(-[a-z]+)*$";

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
/// When its outbox is not ours and has rows of others, or may have, and `consent` does not name it; or names another; or when it
/// lacks columns.
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
    if !exists || is_ours(registry, &table).await? {
        return Ok(Outbox::Ours);
    }
    if consent.is_some() {
        return Ok(Outbox::Users);
    }
    check_columns(client).await?;
    let others = rows_of_others(client, &table).await.map_err(|error| {
        Failure::from(error).context(format!(
            "counting the rows of {table} (GRANT SELECT ON {table} TO {})",
            escape_identifier(&postgres.user)
        ))
    })?;
    let found = match others {
        OthersRows::Counted(0) => return Ok(Outbox::Users),
        OthersRows::Counted(rows) => {
            let most = if rows == COUNTED { "or more " } else { "" };
            format!(
                "has {rows} {most}rows in {table} whose run_id is none that cdc-bench generates"
            )
        }
        OthersRows::Hidden => format!(
            "may have rows in {table} that row security hides from \"{}\"",
            postgres.user
        ),
    };
    Err(Failure::usage(anyhow::anyhow!(
        "database \"{}\" at {} {found}: events would be inserted beside them, whoever reads the table would get them, and they would stay; if that is meant: --yes-load {target}; else name another database (POSTGRES_DB), where a table of our own is made",
        postgres.database,
        postgres.host
    )))
}

/// Whether an outbox is registered, as far as this role may see: a role that only inserts need not read the registry.
async fn is_ours(registry: &ResourceRegistry, table: &str) -> Result<bool, tokio_postgres::Error> {
    match registry.has(ResourceKind::Table, table).await {
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Ok(false),
        outcome => outcome,
    }
}

/// Rows of an outbox that are of no run.
enum OthersRows {
    /// Their number, up to [`COUNTED`].
    Counted(i64),
    /// Row security applies to us: there may be any number.
    Hidden,
}

async fn rows_of_others(client: &Client, table: &str) -> Result<OthersRows, tokio_postgres::Error> {
    let is_hidden = "SELECT row_security_active($1::text)";
    if client.query_one(is_hidden, &[&table]).await?.get(0) {
        return Ok(OthersRows::Hidden);
    }
    let counting = format!(
        "SELECT count(*) FROM (SELECT FROM {table} WHERE (run_id::text ~ $1) IS NOT TRUE LIMIT {COUNTED}) others"
    );
    let row = client.query_one(&counting, &[&OF_A_RUN]).await?;
    Ok(OthersRows::Counted(row.get(0)))
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

#[cfg(test)]
mod tests {
    use cdc_bench_model::timeline::CapturePath;

    use super::*;
    use crate::pipeline::request::RunNames;

    #[test]
    fn rows_of_runs_are_told_from_those_of_an_application() {
        let of_a_run = regex::Regex::new(OF_A_RUN).unwrap();
        let run = RunId::generate();
        for names in [
            RunNames::for_run(&run, 1),
            RunNames::for_run(&run, 3),
            RunNames::for_path(&run, CapturePath::Embedded),
        ] {
            for name in [names.probe, names.warmup, names.measured] {
                assert!(of_a_run.is_match(&name), "{name}");
            }
        }
        for name in [
            "",
            "app",
            "20261124",
            "20261124-021133",
            "20261124-021133-7f3a9c; x",
        ] {
            assert!(!of_a_run.is_match(name), "{name}");
        }
    }
}
