//! The tables of a sharded outbox beside the outbox itself, each with a publication of its own.

use cdc_bench_model::RunId;
use cdc_bench_model::event::{SCHEMA, Shard, Shards, TABLE};
use tokio_postgres::Client;

use super::error::refused;
use super::preparation::{
    PUBLICATION, PreparedSource, exists, prepare_publication, publication_exists,
};
use crate::pipeline::failure::Failure;
use crate::pipeline::provision::resource_registry::{
    ResourceKind, ResourceRegistry, create_if_missing,
};

const TABLE_EXISTS: &str = "SELECT to_regclass($1) IS NOT NULL";

/// Looks whether the names of all shards but the first are free, or those of tables and publications of ours. Nothing is made.
///
/// # Errors
/// When one of them is somebody's, or the server refuses.
pub(crate) async fn check_shards(
    client: &Client,
    registry: &ResourceRegistry,
    shards: Shards,
) -> Result<(), Failure> {
    for shard in shards.iter().skip(1) {
        let table = format!("{SCHEMA}.{}", shard.table());
        if exists(client, TABLE_EXISTS, &table).await?
            && !registry.has(ResourceKind::Table, &table).await?
        {
            return Err(taken(&format!("table {table}")));
        }
        let publication = shard.named(PUBLICATION, '_');
        if publication_exists(client, &publication).await?
            && !registry
                .has(ResourceKind::Publication, &publication)
                .await?
        {
            return Err(taken(&format!("publication \"{publication}\"")));
        }
    }
    Ok(())
}

/// Creates table and publication of each shard but the first, which is the source as it was prepared, where they are missing. The
/// publications of all shards, in order.
///
/// A table inherits from the outbox, so that whoever reads the outbox reads the rows of all shards. The WAL has each as a table of its
/// own, and a publication of the outbox alone does not publish them.
///
/// # Errors
/// When a publication publishes several of them, or the server refuses.
pub(crate) async fn prepare_shards(
    client: &Client,
    registry: &ResourceRegistry,
    (first, shards): (PreparedSource, Shards),
    maker: Option<&RunId>,
) -> Result<Vec<String>, Failure> {
    let mut publications = vec![first.publication];
    for shard in shards.iter().skip(1) {
        prepare_table(client, registry, shard, maker).await?;
        let publication = shard.named(PUBLICATION, '_');
        prepare_publication(client, registry, (&publication, &shard.table()), maker).await?;
        publications.push(publication);
    }
    if shards.are_several() {
        check_apart(client, shards).await?;
    }
    Ok(publications)
}

async fn prepare_table(
    client: &Client,
    registry: &ResourceRegistry,
    shard: Shard,
    maker: Option<&RunId>,
) -> Result<(), Failure> {
    let kind = ResourceKind::Table;
    let (table, name) = (shard.table(), format!("{SCHEMA}.{}", shard.table()));
    if !exists(client, TABLE_EXISTS, &name).await? {
        registry.record_lasting(kind, &name, maker).await?;
    }
    registry.uses(kind, &name);
    let make = format!(
        "CREATE TABLE IF NOT EXISTS {name} (PRIMARY KEY (id)) INHERITS ({SCHEMA}.{TABLE}); \
         CREATE INDEX IF NOT EXISTS {table}_run ON {name} (run_id, id)"
    );
    let made = create_if_missing(client, &make).await;
    made.map_err(refused(&format!(
        "make {name}, which inherits from {SCHEMA}.{TABLE}, as only its owner may let it (connect as that role, or leave --shards out)"
    )))?;
    Ok(())
}

/// A publication of all tables would give each slot the events of every shard.
async fn check_apart(client: &Client, shards: Shards) -> Result<(), Failure> {
    let tables: Vec<_> = shards.iter().skip(1).map(Shard::table).collect();
    let question = "SELECT EXISTS (SELECT FROM pg_publication_tables \
        WHERE pubname = $1 AND schemaname = $2 AND tablename = ANY($3))";
    let row = client
        .query_one(question, &[&PUBLICATION, &SCHEMA, &tables])
        .await;
    if row.map_err(refused("read its catalogues"))?.get(0) {
        return Err(Failure::usage(anyhow::anyhow!(
            "publication \"{PUBLICATION}\" publishes the tables of several shards, so that one slot would carry what --shards spreads; it is left as it is: have its owner make it FOR TABLE ONLY {SCHEMA}.{TABLE}, or use another database (POSTGRES_DB)"
        )));
    }
    Ok(())
}

fn taken(what: &str) -> Failure {
    Failure::usage(anyhow::anyhow!(
        "{what} exists, and cdc-bench has not made it; it is left as it is, and --shards needs its name: rename it, ask for fewer shards, or use another database (POSTGRES_DB)"
    ))
}
