//! The canary's table, or its messages' topic: whether the pipeline carries it, and whether we may send.

use std::collections::BTreeMap;
use std::sync::Arc;

use cdc_bench_stack::PostgresEndpoint;
use tokio_postgres::Client;

use super::connector::FoundConnector;
use super::sink::Sink;
use super::source::{FoundSource, qualified};
use super::topics::ObservedTopic;
use super::unpublishable;
use super::unpublished::quoted;
use crate::broker::Admin;
use crate::debezium::is_listed;
use crate::observe::canary::MESSAGE_PREFIX;
use crate::observe::request::{CanaryTarget, PipelineRequest};
use crate::pipeline::{Failure, check_writable, connect_postgres};

/// Where the messages of the canary are, in place of a table.
const MESSAGE: &str = "message";

/// A canary that can be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::observe) enum FoundCanary {
    /// Rows of a table.
    Table {
        /// `schema.table`.
        name: Arc<str>,
        /// The same for SQL.
        quoted: String,
        /// Whether its rows can be removed again.
        may_delete: bool,
    },
    /// Messages of the WAL.
    Message,
}

impl FoundCanary {
    /// What stands for its table in changes.
    pub(in crate::observe) fn table(&self) -> Arc<str> {
        match self {
            Self::Table { name, .. } => Arc::clone(name),
            Self::Message => MESSAGE.into(),
        }
    }
}

/// What is known of the pipeline.
pub(super) struct Found<'a> {
    pub(super) connector: Option<&'a FoundConnector>,
    pub(super) endpoint: &'a PostgresEndpoint,
    pub(super) source: &'a FoundSource,
    pub(super) group: Option<&'a str>,
    pub(super) sink: Option<&'a Sink>,
    pub(super) admin: &'a Admin,
}

fn refused<T>(text: String) -> Result<T, Failure> {
    Err(Failure::usage(anyhow::anyhow!(text)))
}

/// The canary that was asked for. The topic of its messages joins the others.
pub(super) async fn find(
    request: &PipelineRequest,
    found: &Found<'_>,
    topics: &mut Vec<ObservedTopic>,
) -> Result<Option<FoundCanary>, Failure> {
    let Some(target) = &request.canary else {
        return Ok(None);
    };
    let client = connect_postgres(found.endpoint).await?;
    check_writable(&client, found.endpoint)
        .await
        .map_err(Failure::from)?;
    match target {
        CanaryTarget::Table(table) => {
            let name = qualified(table);
            let canary = find_table(&client, &name, found.source).await?;
            is_read(&name, found, topics).await?;
            Ok(Some(canary))
        }
        CanaryTarget::Message => {
            let nothing = BTreeMap::new();
            let config = found.connector.map_or(&nothing, |found| &found.config);
            check_messages(&client, config).await?;
            let topic = match config.get("topic.prefix") {
                Some(prefix) => format!("{prefix}.{MESSAGE}"),
                None => match topics.iter().find(|known| known.name.ends_with(".message")) {
                    Some(known) => known.name.clone(),
                    None => {
                        return refused(
                            "the topic of the canary's messages is not known: set CONNECT_URL, or name it (--topic PREFIX.message)".to_owned(),
                        );
                    }
                },
            };
            if !topics.iter().any(|known| known.name == topic) {
                topics.push(message_topic(&topic, found.admin).await?);
            }
            Ok(Some(FoundCanary::Message))
        }
    }
}

async fn find_table(
    client: &Client,
    name: &str,
    source: &FoundSource,
) -> Result<FoundCanary, Failure> {
    let Some(table) = source.tables.iter().find(|table| *table.name == *name) else {
        if let Some(kind) = unpublishable::kind(client, name).await? {
            return refused(format!(
                "canary {name} is {kind}, and PostgreSQL publishes logged tables alone; make the table (sql/canary.sql), under a name that is free"
            ));
        }
        let publication = &source.publication;
        return refused(match source.left_out.get(name) {
            Some(why) => format!(
                "canary {name} cannot be followed: {why}; a topic is made with its first record, so insert a row yourself (sql/canary.sql), and start again"
            ),
            None => format!(
                "canary {name} is not in publication \"{publication}\"; make the table (sql/canary.sql), and ALTER PUBLICATION \"{publication}\" ADD TABLE {name}"
            ),
        });
    };
    let quoted = quoted(table);
    if table.key != ["id"] {
        return refused(format!(
            "canary {name} needs a column \"id\" of type text as its primary key (sql/canary.sql)"
        ));
    }
    let columns = "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute \
        WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped \
          AND (attname = 'id' OR (attnotnull AND NOT atthasdef AND attidentity = '' AND attgenerated = ''))";
    for row in client.query(columns, &[&quoted]).await? {
        let (column, kind): (String, String) = (row.get(0), row.get(1));
        if column != "id" {
            return refused(format!(
                "canary {name} has a column \"{column}\" that needs a value; a row of the canary has an id alone (sql/canary.sql)"
            ));
        }
        if !["text", "character varying"].contains(&&*kind) {
            return refused(format!(
                "canary {name} has an \"id\" of type {kind}, which must be text (sql/canary.sql)"
            ));
        }
    }
    let rights = "SELECT has_table_privilege($1::text, 'INSERT'), \
        has_table_privilege($1::text, 'DELETE') AND has_table_privilege($1::text, 'SELECT'), current_user::text";
    let row = client.query_one(rights, &[&quoted]).await?;
    if !row.get::<_, bool>(0) {
        let role: String = row.get(2);
        return refused(format!(
            "role \"{role}\" may not insert into canary {name}: GRANT INSERT, SELECT, DELETE ON {quoted} TO \"{role}\" (the last two remove the rows again)"
        ));
    }
    Ok(FoundCanary::Table {
        name: Arc::clone(&table.name),
        quoted,
        may_delete: row.get(1),
    })
}

/// Checks that the canary's way has an end: the sink has its rows, or the group reads its topic, or neither is looked at.
async fn is_read(name: &str, found: &Found<'_>, topics: &[ObservedTopic]) -> Result<(), Failure> {
    let Some(group) = found.group else {
        return Ok(());
    };
    let in_sink = |sink: &Sink| sink.tables(&found.source.tables).contains(name);
    if found.sink.is_some_and(in_sink) {
        return Ok(());
    }
    let of_table = |topic: &&ObservedTopic| topic.tables.iter().any(|table| **table == *name);
    let Some(topic) = topics.iter().find(of_table) else {
        return Ok(());
    };
    let wanted = [(topic.name.clone(), topic.partitions)];
    let readers = found.admin.reading_groups(&wanted).await?;
    if readers.iter().any(|reader| reader.name == *group) {
        return Ok(());
    }
    refused(format!(
        "canary {name} would have no end: group \"{group}\" has committed nothing of its topic {}; let the consumer read it, or poll no group (--no-group)",
        topic.name
    ))
}

async fn check_messages(client: &Client, config: &BTreeMap<String, String>) -> Result<(), Failure> {
    let version = "SELECT current_setting('server_version_num')::int4 >= 140000";
    if !client.query_one(version, &[]).await?.get::<_, bool>(0) {
        return refused(
            "--canary message needs PostgreSQL 14: before it, pgoutput passes no messages on; use a table (--canary TABLE)".to_owned(),
        );
    }
    for (key, includes) in [
        ("message.prefix.include.list", true),
        ("message.prefix.exclude.list", false),
    ] {
        let Some(list) = config.get(key).filter(|list| !list.trim().is_empty()) else {
            continue;
        };
        if is_listed(list, MESSAGE_PREFIX).is_some_and(|listed| listed != includes) {
            return refused(format!(
                "the connector passes no messages with the prefix {MESSAGE_PREFIX} on: its {key} is {list}; use a table (--canary TABLE), or let it pass"
            ));
        }
    }
    Ok(())
}

async fn message_topic(name: &str, admin: &Admin) -> Result<ObservedTopic, Failure> {
    let state = if admin.topic_names().await?.contains(name) {
        admin.topic(name).await?
    } else {
        None
    };
    match state {
        Some(state) => Ok(ObservedTopic {
            name: name.to_owned(),
            partitions: state.partitions,
            log_append_time: state.log_append_time,
            tables: Vec::new(),
        }),
        None => refused(format!(
            "the topic of the canary's messages, {name}, does not exist yet, or may not be described; it is made with the first: SELECT pg_logical_emit_message(true, '{MESSAGE_PREFIX}', 'first')"
        )),
    }
}
