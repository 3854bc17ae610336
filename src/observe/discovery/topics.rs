//! The topics that the tables' records are in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::connector::FoundConnector;
use super::source::FoundSource;
use crate::broker::Admin;
use crate::debezium::{TableTopic, event_router_topics, table_topic};
use crate::observe::request::PipelineRequest;
use crate::pipeline::Failure;

/// Topics that are asked about at a time.
const AT_A_TIME: usize = 8;

/// A topic that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::observe) struct ObservedTopic {
    pub(in crate::observe) name: String,
    pub(in crate::observe) partitions: i32,
    /// Whether records have the broker's time; `None` where the broker does not say.
    pub(in crate::observe) log_append_time: Option<bool>,
    /// Tables whose records are known to go there.
    pub(in crate::observe) tables: Vec<Arc<str>>,
}

/// The topics. A table whose topic does not exist is left out: a topic is made with its first record.
pub(super) async fn find(
    request: &PipelineRequest,
    connector: Option<&FoundConnector>,
    source: &mut FoundSource,
    admin: &Admin,
) -> Result<Vec<ObservedTopic>, Failure> {
    let existing = admin.topic_names().await?;
    let wanted = if request.topics.is_empty() {
        by_routing(connector, source, &existing)?
    } else {
        let alone = match &source.tables[..] {
            [table] => vec![Arc::clone(&table.name)],
            _ => Vec::new(),
        };
        let topics = request.topics.iter();
        topics.map(|topic| (topic.clone(), alone.clone())).collect()
    };
    let mut topics = Vec::new();
    for (name, tables) in wanted {
        let state = if existing.contains(&name) {
            admin.topic(&name).await?
        } else {
            None
        };
        match state {
            Some(state) => topics.push(ObservedTopic {
                name,
                partitions: state.partitions,
                log_append_time: state.log_append_time,
                tables,
            }),
            None if !request.topics.is_empty() => {
                return Err(Failure::usage(anyhow::anyhow!(
                    "topic \"{name}\" does not exist, or this user may not describe it; name another (--topic NAME), or allow DESCRIBE and READ on it"
                )));
            }
            None => {
                for table in tables {
                    let why =
                        format!("its topic {name} does not exist yet, or may not be described");
                    source.left_out.insert(table.to_string(), why);
                }
            }
        }
    }
    check_rights(&topics, admin).await?;
    let left_out: BTreeSet<_> = source.left_out.keys().cloned().collect();
    source
        .tables
        .retain(|table| !left_out.contains(&*table.name));
    if source.tables.is_empty() || topics.is_empty() {
        let why = source.left_out.iter();
        let why: Vec<_> = why.map(|(table, why)| format!("{table}: {why}")).collect();
        let why = if why.is_empty() {
            format!("publication \"{}\" has no tables", source.publication)
        } else {
            why.join("; ")
        };
        return Err(Failure::usage(anyhow::anyhow!(
            "there is nothing to observe: {why}; name tables and topics (--table, --topic), or wait for a first change"
        )));
    }
    Ok(topics)
}

/// That all topics may be read: the right to describe them does not suffice.
async fn check_rights(topics: &[ObservedTopic], admin: &Admin) -> Result<(), Failure> {
    let asked = topics
        .iter()
        .map(|topic| admin.missing_right_to_read(&topic.name, "cdc-bench-observe"));
    let asked = stream::iter(asked).buffered(AT_A_TIME);
    let missing: Vec<_> = asked.try_collect().await?;
    let missing: Vec<_> = missing.into_iter().flatten().collect();
    let Some(first) = missing.first() else {
        return Ok(());
    };
    Err(Failure::usage(anyhow::anyhow!(
        "Kafka's user {}{}; allow it: {}",
        first.what,
        match missing.len() {
            1 => String::new(),
            more => format!(", and {} others", more - 1),
        },
        first.command
    )))
}

fn by_routing(
    connector: Option<&FoundConnector>,
    source: &mut FoundSource,
    existing: &BTreeSet<String>,
) -> Result<BTreeMap<String, Vec<Arc<str>>>, Failure> {
    let mut wanted: BTreeMap<String, Vec<Arc<str>>> = BTreeMap::new();
    let Some(connector) = connector else {
        return Ok(wanted);
    };
    let mut by_row: Option<(String, Vec<Arc<str>>)> = None;
    for table in &source.tables {
        let topic = match table_topic(&connector.config, &table.schema, &table.table) {
            TableTopic::Known(topic) => topic,
            TableTopic::Doubtful(topic, doubt) => {
                source
                    .doubts
                    .push(format!("topic of {}: {doubt}", table.name));
                topic
            }
            TableTopic::ByRow(how) => {
                let (_, tables) = by_row.get_or_insert_with(|| (how, Vec::new()));
                tables.push(Arc::clone(&table.name));
                continue;
            }
        };
        let tables = wanted.entry(topic).or_default();
        tables.push(Arc::clone(&table.name));
    }
    let Some((how, tables)) = by_row else {
        return Ok(wanted);
    };
    let topics = event_router_topics(&connector.config, existing);
    if topics.is_empty() {
        return Err(Failure::usage(anyhow::anyhow!(
            "the topics of connector \"{}\" depend on its rows ({how}); say which to read (--topic NAME, repeatable)",
            connector.name
        )));
    }
    source.doubts.push(format!(
        "topics of {}: {how}; those that exist now are read ({}), and changes whose records go elsewhere are missing",
        tables.join(", "),
        topics.join(", ")
    ));
    wanted.extend(topics.into_iter().map(|topic| (topic, tables.clone())));
    Ok(wanted)
}
