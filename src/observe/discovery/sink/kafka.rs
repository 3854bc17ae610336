//! Topics downstream as the sink: what a Kafka Streams or Flink job, or a mirror, makes of the pipeline's topics.

use std::sync::Arc;

use super::key::SinkKey;
use super::upstream::Upstream;
use crate::observe::discovery::table::ObservedTable;
use crate::observe::request::{PipelineRequest, TopicOf};
use crate::pipeline::Failure;

/// The parts of a record that a path begins with.
pub(in crate::observe) const KEY: &str = "key";
pub(in crate::observe) const VALUE: &str = "value";
pub(in crate::observe) const HEADER: &str = "header";

/// A topic that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::observe) struct SinkTopic {
    pub(in crate::observe) name: String,
    pub(in crate::observe) table: Arc<str>,
    /// The column of the table's key, where it is a single one: a record's key may be its value alone.
    pub(in crate::observe) key_column: Option<String>,
    /// Where the key is, if it is not the record's.
    pub(in crate::observe) key: Option<SinkKey>,
    /// Whether records have the broker's time; `None` where the broker does not say.
    pub(in crate::observe) log_append_time: Option<bool>,
}

impl SinkTopic {
    /// Whether a part of the key is in the value.
    pub(in crate::observe) fn has_key_in_value(&self) -> bool {
        let mut paths = self.key.iter().flat_map(SinkKey::paths);
        paths.any(|path| path[0] == VALUE)
    }
}

/// Topics downstream as the sink.
pub(in crate::observe) struct KafkaSink {
    pub(in crate::observe) topics: Vec<SinkTopic>,
}

/// The topics that are said to be downstream.
///
/// # Errors
/// When none is, one does not exist, may not be read, is the pipeline's own, or is that of two tables.
pub(super) async fn find(
    request: &PipelineRequest,
    asked: &[TopicOf],
    upstream: &Upstream<'_>,
) -> Result<KafkaSink, Failure> {
    if asked.is_empty() {
        return Err(refused(
            "--sink kafka needs the topics downstream: --sink-topic TABLE=TOPIC (repeatable), or --sink-topic TOPIC where one table is observed".to_owned(),
        ));
    }
    if let Some(mapped) = request.collections.first() {
        return Err(refused(format!(
            "--sink-collection {}={} is of a database; of topics downstream, --sink-topic says whose rows are where",
            mapped.table, mapped.collection
        )));
    }
    let mut topics: Vec<SinkTopic> = Vec::new();
    for TopicOf { table, topic } in asked {
        let table = observed(table.as_deref(), topic, upstream.tables)?;
        if let Some(other) = topics.iter().find(|other| other.name == *topic) {
            return Err(refused(format!(
                "topic \"{topic}\" would have the rows of {} and of {}, which cannot be told apart there; observe one of them (--table)",
                other.table, table.name
            )));
        }
        if upstream.topics.iter().any(|own| own.name == *topic) {
            return Err(refused(format!(
                "topic \"{topic}\" (--sink-topic) is the connector's own, where changes are before they are consumed; name the one that is written downstream"
            )));
        }
        let Some(state) = upstream.admin.topic(topic).await? else {
            return Err(refused(format!(
                "topic \"{topic}\" (--sink-topic) does not exist, or this user may not describe it; name another, or allow DESCRIBE and READ on it"
            )));
        };
        let admin = upstream.admin;
        if let Some(missing) = admin
            .missing_right_to_read(topic, "cdc-bench-observe")
            .await?
        {
            return Err(refused(format!(
                "Kafka's user {}; allow it: {}",
                missing.what, missing.command
            )));
        }
        topics.push(SinkTopic {
            name: topic.clone(),
            table: Arc::clone(&table.name),
            key_column: table.only_key_column(),
            key: key_of(request, table)?,
            log_append_time: state.log_append_time,
        });
    }
    Ok(KafkaSink { topics })
}

/// Where the key of a table is in its records.
fn key_of(request: &PipelineRequest, table: &ObservedTable) -> Result<Option<SinkKey>, Failure> {
    let key = SinkKey::of(request, table)?;
    let mut paths = key.iter().flat_map(SinkKey::paths);
    let wrong = paths.find(|path| match &*path[0] {
        KEY | VALUE => false,
        HEADER => path.len() == 1,
        _ => true,
    });
    let wrong = wrong.map(|path| path.join("."));
    drop(paths);
    match wrong {
        None => Ok(key),
        Some(path) => Err(refused(format!(
            "--sink-key {path} does not say which part of a record it is in: {KEY}.{path}, {VALUE}.{path}, or {HEADER}.{path} for the header of that name"
        ))),
    }
}

fn refused(why: String) -> Failure {
    Failure::usage(anyhow::anyhow!(why))
}

/// The observed table of this name, or the only one.
fn observed<'a>(
    name: Option<&str>,
    topic: &str,
    tables: &'a [ObservedTable],
) -> Result<&'a ObservedTable, Failure> {
    let names = || {
        let names: Vec<_> = tables.iter().map(|table| &*table.name).collect();
        names.join(", ")
    };
    match (name, tables) {
        (None, [only]) => Ok(only),
        (None, _) => Err(refused(format!(
            "--sink-topic {topic} does not say whose rows are in it, and several tables are observed: {}; say it (--sink-topic TABLE={topic})",
            names()
        ))),
        (Some(name), _) => {
            let mut tables = tables.iter();
            tables.find(|table| table.is_named(name)).ok_or_else(|| {
                refused(format!(
                    "--sink-topic names table {name}, which is not observed; those that are: {}",
                    names()
                ))
            })
        }
    }
}
