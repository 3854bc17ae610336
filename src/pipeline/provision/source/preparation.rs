//! Creates tables, publication and slot of the source, where they are missing.

use cdc_bench_model::RunId;
use cdc_bench_model::event::{SCHEMA, TABLE};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::checks::{SourceNeeds, check_columns, check_source};
use super::error::{SourceError, refused};
use super::publication::check_publication;
use crate::pipeline::failure::Failure;
use crate::pipeline::provision::resource_registry::{
    ResourceKind, ResourceRegistry, create_if_missing,
};

const OUTBOX_SQL: &str = include_str!("../../../../sql/outbox.sql");

/// The publication of the outbox.
pub const PUBLICATION: &str = "cdc_bench";

/// The prepared source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PreparedSource {
    /// Publication of the outbox.
    pub(crate) publication: String,
}

/// Checks the source, and creates what is missing. Each resource is registered first. Can be repeated.
///
/// # Errors
/// What prevents it, with advice.
pub(crate) async fn prepare_source(
    client: &Client,
    registry: &ResourceRegistry,
    needs: &SourceNeeds,
) -> Result<PreparedSource, Failure> {
    check_source(client, needs).await?;
    // A publication of our name may be somebody's, and is never altered.
    check_publication(client, PUBLICATION)
        .await
        .map_err(|error| match error {
            SourceError::Publication { .. } => Failure::usage(error),
            error => error.into(),
        })?;
    // Tables outlive a run, so that `verify` can read them: `cleanup` removes them. Concurrent runs share the publication, so no
    // single run may remove it.
    let maker = needs.run_id.as_ref();
    registry.uses(ResourceKind::Schema, SCHEMA);
    if !exists(client, "SELECT to_regnamespace($1) IS NOT NULL", SCHEMA).await? {
        let kind = ResourceKind::Schema;
        registry.record_lasting(kind, SCHEMA, maker).await?;
    }
    let table = format!("{SCHEMA}.{TABLE}");
    let is_there = exists(client, "SELECT to_regclass($1) IS NOT NULL", &table).await?;
    registry.uses(ResourceKind::Table, &table);
    if !is_there {
        let kind = ResourceKind::Table;
        registry.record_lasting(kind, &table, maker).await?;
    }
    // A table of the user's gets no index of ours.
    if !is_there || registry.has(ResourceKind::Table, &table).await? {
        create_if_missing(client, OUTBOX_SQL)
            .await
            .map_err(refused(&format!("make {table}")))?;
    }
    check_columns(client).await?;
    prepare_publication(client, registry, (PUBLICATION, TABLE), maker).await?;
    if let Some(slot) = &needs.permanent_slot
        && !exists(
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

/// Creates the publication of one table, if it is missing. Of that table alone, and not of those that inherit from it.
pub(super) async fn prepare_publication(
    client: &Client,
    registry: &ResourceRegistry,
    (name, table): (&str, &str),
    maker: Option<&RunId>,
) -> Result<(), Failure> {
    let kind = ResourceKind::Publication;
    registry.uses(kind, name);
    if publication_exists(client, name).await? {
        return Ok(());
    }
    registry.record_lasting(kind, name, maker).await?;
    let make = format!(
        "CREATE PUBLICATION {name} FOR TABLE ONLY {SCHEMA}.{table} WITH (publish = 'insert, update, delete, truncate')"
    );
    match client.batch_execute(&make).await {
        Err(error) if error.code() == Some(&SqlState::DUPLICATE_OBJECT) => {}
        outcome => outcome.map_err(refused("make the publication"))?,
    }
    Ok(())
}

pub(super) async fn publication_exists(client: &Client, name: &str) -> Result<bool, SourceError> {
    let question = "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1)";
    exists(client, question, name).await
}

/// Whether the server has an object of this name.
pub(super) async fn exists(
    client: &Client,
    question: &str,
    name: &str,
) -> Result<bool, SourceError> {
    let row = client
        .query_one(question, &[&name])
        .await
        .map_err(refused("read its catalogues"))?;
    Ok(row.get(0))
}
