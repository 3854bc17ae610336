//! PostgreSQL as the sink: the tables of a publication there, each with the table of the source whose rows are in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use cdc_bench_stack::PostgresEndpoint;
use tokio_postgres::Client;

use super::key::SinkKey;
use super::postgres_key::{KeyColumns, columns};
use super::upstream::Upstream;
use crate::observe::discovery::source::published;
use crate::observe::discovery::table::ObservedTable;
use crate::observe::discovery::topics::ObservedTopic;
use crate::observe::discovery::unpublished::{Publisher, VIA_ROOT, list, quoted};
use crate::observe::request::{
    CollectionOf, PipelineRequest, PostgresSinkRequest, SinkPublication,
};
use crate::pipeline::{Failure, check_decoding, check_replication, connect_postgres};

/// The name of a publication that is to be made, as a plan has it.
const PUBLICATION_TO_MAKE: &str = "cdc_bench_observe_ID_sink";

/// A table of the sink that is followed.
#[derive(Debug, Clone, Default)]
pub(in crate::observe) struct SinkTable {
    /// The table of the source whose rows are in it.
    pub(in crate::observe) table: Arc<str>,
    /// Columns of that table's primary key.
    pub(in crate::observe) key: Vec<String>,
    /// Its own columns that are that key.
    pub(in crate::observe) columns: KeyColumns,
    /// The table as SQL has it.
    pub(in crate::observe) quoted: String,
}

/// PostgreSQL as the sink.
pub(in crate::observe) struct PostgresSink {
    pub(in crate::observe) endpoint: PostgresEndpoint,
    pub(in crate::observe) publication: String,
    /// It is to be made, of the tables.
    pub(in crate::observe) is_planned: bool,
    /// By the sink's name of the table, as `schema.table`.
    pub(in crate::observe) tables: BTreeMap<String, SinkTable>,
}

impl PostgresSink {
    /// Its tables as SQL has them.
    pub(in crate::observe) fn quoted_tables(&self) -> Vec<String> {
        let tables = self.tables.values();
        tables.map(|table| table.quoted.clone()).collect()
    }
}

/// The sink's tables.
///
/// # Errors
/// When the server cannot be read, the publication is missing or lacks the tables, or the tables are the source's own.
pub(super) async fn find(
    request: &PipelineRequest,
    sink: &PostgresSinkRequest,
    upstream: &Upstream<'_>,
) -> Result<PostgresSink, Failure> {
    let of_sink = |failure: Failure| failure.context("the sink (--sink postgres)");
    let endpoint = &sink.endpoint;
    let client = connect(endpoint).await.map_err(of_sink)?;
    let publication = match &sink.publication {
        Some(SinkPublication::Named(name)) => name.clone(),
        Some(SinkPublication::ToMake) => PUBLICATION_TO_MAKE.to_owned(),
        None => return Err(unnamed(&client, endpoint).await),
    };
    let is_planned = sink.publication == Some(SinkPublication::ToMake);
    let existing = if is_planned {
        publishable(&client).await.map_err(of_sink)?
    } else {
        let flag = "name one that has the sink's tables (--sink-publication NAME), or let one be made (--make-sink-publication)";
        published(&client, endpoint, &publication, flag).await?
    };
    let tables = by_place(request, &existing, upstream, &client).await?;
    if tables.is_empty() {
        let names: Vec<_> = existing.iter().map(|table| &*table.name).collect();
        let whose = if is_planned {
            format!("{endpoint}, the sink,")
        } else {
            format!("publication \"{publication}\" of the sink at {endpoint}")
        };
        return Err(refused(format!(
            "{whose} has no table named as an observed one; it has {}; say where each goes (--sink-collection TABLE=TARGET)",
            names.join(", ")
        )));
    }
    let own = upstream.tables.iter();
    let own = own.map(|table| &*table.name);
    let own: Vec<_> = own.filter(|name| tables.contains_key(*name)).collect();
    if let [name, ..] = own[..]
        && is_same_database(&client, upstream.source).await?
    {
        return Err(refused(format!(
            "the sink at {endpoint} is the source's own database, and {name} is the observed table itself: what is seen there is its own commits; name the sink's server and database (--sink-postgres URL), or another table (--sink-collection TABLE=TARGET)"
        )));
    }
    if is_planned {
        let asked: Vec<_> = tables.keys().cloned().collect();
        let publisher = Publisher::of(&client, "--sink-publication NAME", &asked).await;
        let publisher = publisher.map_err(of_sink)?;
        let candidates = list(&client, VIA_ROOT).await?;
        let mut wanted = candidates
            .iter()
            .filter(|candidate| tables.contains_key(&*candidate.table.name));
        if let Some(reason) = wanted.find_map(|candidate| publisher.obstacle(candidate)) {
            return Err(of_sink(refused(reason)));
        }
    }
    Ok(PostgresSink {
        endpoint: endpoint.clone(),
        publication,
        is_planned,
        tables,
    })
}

fn refused(why: String) -> Failure {
    Failure::usage(anyhow::anyhow!(why))
}

async fn connect(endpoint: &PostgresEndpoint) -> Result<Client, Failure> {
    let client = connect_postgres(endpoint).await?;
    check_replication(&client, endpoint).await?;
    check_decoding(&client, 1).await?;
    Ok(client)
}

async fn publishable(client: &Client) -> Result<Vec<ObservedTable>, Failure> {
    let candidates = list(client, VIA_ROOT).await?;
    let tables = candidates.into_iter().map(|candidate| candidate.table);
    Ok(tables.collect())
}

/// That no publication was named, and which ones there are.
async fn unnamed(client: &Client, endpoint: &PostgresEndpoint) -> Failure {
    let question = "SELECT pubname::text FROM pg_publication ORDER BY 1";
    let rows = match client.query(question, &[]).await {
        Ok(rows) => rows,
        Err(error) => return error.into(),
    };
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let there = if names.is_empty() {
        "it has none".to_owned()
    } else {
        format!("it has {}", names.join(", "))
    };
    refused(format!(
        "the sink at {endpoint} is read by a publication, and none is named: {there}; name the one that has the sink's tables (--sink-publication NAME), or let one be made and removed at the end (--make-sink-publication)"
    ))
}

/// Whether both sessions are in one database of one server.
async fn is_same_database(sink: &Client, source: &PostgresEndpoint) -> Result<bool, Failure> {
    let question = "SELECT pg_postmaster_start_time()::text, current_database()::text";
    let of = async |client: &Client| -> Result<(String, String), tokio_postgres::Error> {
        let row = client.query_one(question, &[]).await?;
        Ok((row.get(0), row.get(1)))
    };
    let source = connect_postgres(source).await?;
    Ok(of(sink).await? == of(&source).await?)
}

async fn by_place(
    request: &PipelineRequest,
    existing: &[ObservedTable],
    upstream: &Upstream<'_>,
    client: &Client,
) -> Result<BTreeMap<String, SinkTable>, Failure> {
    let mut places: BTreeMap<String, SinkTable> = BTreeMap::new();
    for table in upstream.tables {
        let mapped = request.collection_of(table);
        let names = mapped.map_or_else(
            || default_names(table, upstream.topics),
            |mapped| vec![mapped.collection.clone()],
        );
        let place = match (place(&names, existing)?, mapped) {
            (Some(place), _) => place,
            (None, None) => continue,
            (None, Some(CollectionOf { collection, .. })) => {
                return Err(refused(format!(
                    "the sink has no table {collection} (--sink-collection) that is published; add it there (ALTER PUBLICATION ... ADD TABLE {collection}), or name another"
                )));
            }
        };
        let said = SinkKey::of(request, table)?;
        let known = SinkTable {
            columns: columns(client, place, table, said.as_ref()).await?,
            table: Arc::clone(&table.name),
            key: table.key.clone(),
            quoted: quoted(place),
        };
        if let Some(other) = places.insert(place.name.to_string(), known) {
            return Err(refused(format!(
                "table {} of the sink would have the rows of {} and of {}, which cannot be told apart there; say where each goes (--sink-collection TABLE=TARGET), or observe one of them (--table)",
                place.name, other.table, table.name
            )));
        }
    }
    request.check_collections(upstream.tables)?;
    Ok(places)
}

/// Names that sinks give the table of a table: its own, with its schema or without, and that of its topic, whose dots a JDBC sink
/// makes underscores.
fn default_names(table: &ObservedTable, topics: &[ObservedTopic]) -> Vec<String> {
    let mut names = vec![
        table.table.clone(),
        format!("{}_{}", table.schema, table.table),
    ];
    let topics = topics
        .iter()
        .filter(|topic| topic.tables == [Arc::clone(&table.name)]);
    for topic in topics {
        names.push(topic.name.replace('.', "_"));
        names.push(topic.name.clone());
    }
    names
}

/// The table of the first of these names that there is. Case is not looked at: a name that is not quoted is in small letters.
fn place<'a>(
    names: &[String],
    existing: &'a [ObservedTable],
) -> Result<Option<&'a ObservedTable>, Failure> {
    for name in names {
        let is_it = |table: &&ObservedTable| {
            table.table.eq_ignore_ascii_case(name) || table.name.eq_ignore_ascii_case(name)
        };
        let exactly = existing
            .iter()
            .find(|table| *table.table == **name || *table.name == **name);
        let found: Vec<_> = existing.iter().filter(is_it).collect();
        match (found[..].len(), exactly, &found[..]) {
            (0, ..) => {}
            (1, _, [only]) => return Ok(Some(only)),
            (_, Some(exact), _) if *exact.name == **name => return Ok(Some(exact)),
            (_, _, several) => {
                let several: Vec<_> = several.iter().map(|table| &*table.name).collect();
                return Err(refused(format!(
                    "the sink has several tables {name}: {}; say which one (--sink-collection TABLE=SCHEMA.TARGET)",
                    several.join(", ")
                )));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(schema: &str, table: &str) -> ObservedTable {
        ObservedTable {
            schema: schema.to_owned(),
            table: table.to_owned(),
            name: format!("{schema}.{table}").into(),
            key: vec!["id".to_owned()],
        }
    }

    #[test]
    fn a_table_is_found_by_its_name_or_by_that_of_its_topic() {
        let observed = table("public", "orders");
        let topic = ObservedTopic {
            name: "Shop.public.orders".to_owned(),
            partitions: 3,
            log_append_time: None,
            tables: vec![Arc::clone(&observed.name)],
        };
        let names = default_names(&observed, &[topic]);
        for (name, is_found) in [
            ("orders", true),
            ("public_orders", true),
            ("shop_public_orders", true),
            ("Shop.public.orders", true),
            ("reorders", false),
            ("public_order", false),
        ] {
            let existing = [table("read", name)];
            assert_eq!(
                place(&names, &existing).unwrap().is_some(),
                is_found,
                "{name}"
            );
        }
    }

    #[test]
    fn of_several_tables_of_a_name_one_is_to_be_named() {
        let existing = [table("a", "orders"), table("b", "orders")];
        let named = |name: &str| place(&[name.to_owned()], &existing);
        assert!(
            named("orders")
                .unwrap_err()
                .to_string()
                .contains("a.orders, b.orders")
        );
        assert_eq!(*named("b.orders").unwrap().unwrap().name, *"b.orders");
    }
}
