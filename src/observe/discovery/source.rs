//! The source: its database, the publication, and the tables in it.

use std::collections::BTreeMap;

use cdc_bench_stack::PostgresEndpoint;
use tokio_postgres::Client;

use super::connector::FoundConnector;
use super::table::{KEY_COLUMNS, ObservedTable};
use super::{publication_shape, unpublishable, unpublished};
use crate::debezium::{TableCapture, captures_table};
use crate::observe::request::{CanaryTarget, PipelineRequest};
use crate::pipeline::Failure;
use crate::pipeline::{check_decoding, check_replication, connect_postgres};

/// Debezium's publication, where the connector names none.
const DEFAULT_PUBLICATION: &str = "dbz_publication";

/// Slots, and WAL senders, of an observation.
const SLOTS: i64 = 1;

/// The name of a publication that is to be made, as a plan has it.
const PUBLICATION_TO_MAKE: &str = "cdc_bench_observe_ID";

/// What was found in the source.
pub(super) struct FoundSource {
    pub(super) publication: String,
    pub(super) tables: Vec<ObservedTable>,
    pub(super) left_out: BTreeMap<String, String>,
    pub(super) doubts: Vec<String>,
}

/// The source as we reach it, with the connector's database.
pub(super) fn endpoint(
    given: PostgresEndpoint,
    connector: Option<&FoundConnector>,
) -> PostgresEndpoint {
    let named = connector.and_then(|found| found.config.get("database.dbname"));
    match named.filter(|name| !name.contains("${")) {
        Some(database) => given.with_database(database),
        None => given,
    }
}

/// The publication and its tables.
pub(super) async fn find(
    request: &PipelineRequest,
    connector: Option<&FoundConnector>,
    endpoint: &PostgresEndpoint,
) -> Result<FoundSource, Failure> {
    let client = connect_postgres(endpoint).await.map_err(Failure::from)?;
    check_replication(&client, endpoint)
        .await
        .map_err(Failure::from)?;
    check_decoding(&client, SLOTS)
        .await
        .map_err(Failure::from)?;
    let configured = connector.and_then(|found| found.config.get("publication.name"));
    let publication = if request.make_publication {
        PUBLICATION_TO_MAKE.to_owned()
    } else {
        let named = request.publication.as_ref().or(configured);
        named
            .cloned()
            .unwrap_or_else(|| DEFAULT_PUBLICATION.to_owned())
    };
    let mut asked: Vec<_> = request.tables.iter().map(|name| qualified(name)).collect();
    let canary = match &request.canary {
        Some(CanaryTarget::Table(canary)) => Some(qualified(canary)),
        _ => None,
    };
    if !asked.is_empty() {
        asked.extend(canary.clone());
    }
    let published = if request.make_publication {
        unpublished::candidates(&client, connector, &asked).await?
    } else {
        let advice = "name the one that the connector reads (--publication NAME)";
        published(&client, endpoint, &publication, advice).await?
    };
    let mut found = FoundSource {
        publication,
        tables: Vec::new(),
        left_out: BTreeMap::new(),
        doubts: Vec::new(),
    };
    // Other plugins read no publication.
    let reads_one = |found: &FoundConnector| {
        let plugin = found.config.get("plugin.name");
        plugin.is_some_and(|plugin| plugin == "pgoutput")
    };
    let connectors = connector.filter(|found| reads_one(found)).map(|_| {
        configured
            .filter(|name| !name.contains("${"))
            .map_or(DEFAULT_PUBLICATION, String::as_str)
    });
    let doubts = publication_shape::doubts(&client, &found.publication, connectors).await?;
    found.doubts.extend(doubts);
    if is_standby(&client).await? {
        found.doubts.push(
            "PostgreSQL is a standby here: commit times are of its primary's clock, and the clock that is asked is the standby's".to_owned(),
        );
    }
    // The canary's is looked at by itself.
    for name in asked.iter().filter(|name| canary.as_ref() != Some(name)) {
        if !published.iter().any(|table| *table.name == **name) {
            if let Some(kind) = unpublishable::kind(&client, name).await? {
                return Err(Failure::usage(anyhow::anyhow!(
                    "{name} is {kind} in {endpoint}, and PostgreSQL publishes logged tables alone; name the table whose changes they are (--table SCHEMA.TABLE)"
                )));
            }
            let publication = &found.publication;
            return Err(Failure::usage(anyhow::anyhow!(
                "publication \"{publication}\" of {endpoint} does not have table {name}, so that its changes cannot be read; name another publication (--publication NAME), or add the table: ALTER PUBLICATION \"{publication}\" ADD TABLE {name}"
            )));
        }
    }
    for table in published {
        if !asked.is_empty() && !asked.iter().any(|name| **name == *table.name) {
            let why = "it was not asked for (--table)".to_owned();
            found.left_out.insert(table.name.to_string(), why);
            continue;
        }
        let capture = connector.map_or(TableCapture::Yes, |found| {
            captures_table(&found.config, &table.schema, &table.table)
        });
        match capture {
            TableCapture::Yes => {}
            TableCapture::Unknown(doubt) => found.doubts.push(format!("{}: {doubt}", table.name)),
            TableCapture::No(why) => {
                found.left_out.insert(table.name.to_string(), why);
                continue;
            }
        }
        found.tables.push(table);
    }
    Ok(found)
}

async fn is_standby(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let row = client.query_one("SELECT pg_is_in_recovery()", &[]).await?;
    Ok(row.get(0))
}

/// A table without a schema is in `public`.
pub(super) fn qualified(name: &str) -> String {
    if name.contains('.') {
        name.to_owned()
    } else {
        format!("public.{name}")
    }
}

/// The tables of a publication. `advice`: what to do if there is no such publication.
///
/// # Errors
/// When there is none, or PostgreSQL refuses.
pub(super) async fn published(
    client: &Client,
    endpoint: &PostgresEndpoint,
    publication: &str,
    advice: &str,
) -> Result<Vec<ObservedTable>, Failure> {
    let exists = client
        .query_opt(
            "SELECT FROM pg_publication WHERE pubname = $1",
            &[&publication],
        )
        .await?;
    if exists.is_none() {
        return Err(Failure::usage(anyhow::anyhow!(
            "{endpoint} has no publication \"{publication}\"; {advice}"
        )));
    }
    let question = format!(
        "SELECT p.schemaname::text, p.tablename::text, {KEY_COLUMNS} \
         FROM pg_publication_tables p JOIN pg_namespace n ON n.nspname = p.schemaname \
           JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename \
         WHERE p.pubname = $1 ORDER BY 1, 2"
    );
    let rows = client.query(&question, &[&publication]).await?;
    let tables = rows.iter().map(|row| {
        let (schema, table): (String, String) = (row.get(0), row.get(1));
        ObservedTable {
            name: format!("{schema}.{table}").into(),
            schema,
            table,
            key: row.get(2),
        }
    });
    Ok(tables.collect())
}
