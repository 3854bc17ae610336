//! The sink: where changes are looked for behind Kafka.

mod kafka;
mod key;
mod lines;
mod mongo;
mod postgres;
mod postgres_key;
mod upstream;

use std::collections::HashSet;
use std::sync::Arc;

use cdc_bench_stack::StoreEndpoint;

pub(in crate::observe) use self::kafka::{HEADER, KEY, KafkaSink, SinkTopic};
pub(super) use self::lines::check as check_lines;
pub(in crate::observe) use self::mongo::{MongoSink, SinkCollection};
pub(in crate::observe) use self::postgres::{PostgresSink, SinkTable};
#[cfg(test)]
pub(in crate::observe) use self::postgres_key::KeyColumns;
pub(super) use self::upstream::Upstream;
use super::table::ObservedTable;
use crate::observe::lines_source::LinesSource;
use crate::observe::request::{PipelineRequest, SinkChoice};
use crate::pipeline::Failure;

/// A sink that was found, and can be tapped.
pub(in crate::observe) enum Sink {
    /// MongoDB.
    Mongo(MongoSink),
    /// PostgreSQL.
    Postgres(Box<PostgresSink>),
    /// Topics downstream.
    Kafka(KafkaSink),
    /// What the consumer itself says.
    Lines(LinesSource),
}

impl Sink {
    /// Its server, as the report names it.
    pub(in crate::observe) fn name(&self) -> String {
        match self {
            Self::Mongo(sink) => sink.server.clone(),
            Self::Postgres(sink) => format!("PostgreSQL at {}", sink.endpoint),
            Self::Kafka(sink) => {
                let topics: Vec<_> = sink.topics.iter().map(|topic| &*topic.name).collect();
                format!("Kafka, {}", topics.join(", "))
            }
            Self::Lines(source) => format!("lines of the consumer: {source}"),
        }
    }

    /// Where each table's rows are, a sentence each.
    pub(in crate::observe) fn places(&self) -> Vec<String> {
        match self {
            Self::Mongo(sink) => {
                let collections = sink.collections.iter();
                let place = |(name, of): (&String, &mongo::SinkCollection)| {
                    format!("collection   {name}, rows of {}", of.table)
                };
                collections.map(place).collect()
            }
            Self::Postgres(sink) => {
                let tables = sink.tables.iter();
                let place = |(name, of): (&String, &SinkTable)| {
                    format!("sink table   {name}, rows of {}", of.table)
                };
                tables.map(place).collect()
            }
            Self::Kafka(sink) => {
                let place = |topic: &SinkTopic| {
                    format!("sink topic   {}, rows of {}", topic.name, topic.table)
                };
                sink.topics.iter().map(place).collect()
            }
            Self::Lines(_) => Vec::new(),
        }
    }

    /// How it would be tapped, and with which rights.
    pub(in crate::observe) fn tap(&self) -> &'static str {
        match self {
            Self::Mongo(_) => {
                "a change stream on the database; needs changeStream and find on its collections"
            }
            Self::Postgres(_) => {
                "a temporary slot on its publication, gone with its connection; needs REPLICATION there, one of max_replication_slots and one of max_wal_senders"
            }
            Self::Kafka(_) => {
                "all partitions of its topics from their ends, assigned, read_committed; needs READ and DESCRIBE on them"
            }
            Self::Lines(source) => match source {
                LinesSource::StandardInput => "read to its end, which ends the observation",
                LinesSource::File(_) => "read from its end on, also when it is rotated",
                LinesSource::Socket(_) => {
                    "made for this user alone (mode 0600), and removed at the end"
                }
                LinesSource::Topic(_) => {
                    "all partitions from their ends, assigned; needs READ and DESCRIBE on it"
                }
            },
        }
    }

    /// The tables whose deletions it does not show by their keys.
    pub(in crate::observe) fn without_deletions(&self) -> HashSet<Arc<str>> {
        match self {
            Self::Mongo(sink) => {
                let collections = sink.collections.values();
                let without = collections.filter(|known| !known.has_key_in_deletions());
                without.map(|known| Arc::clone(&known.table)).collect()
            }
            Self::Postgres(sink) => {
                let tables = sink.tables.values();
                let without = tables.filter(|known| !known.columns.are_in_deletions);
                without.map(|known| Arc::clone(&known.table)).collect()
            }
            Self::Kafka(sink) => {
                let topics = sink.topics.iter();
                let without = topics.filter(|topic| topic.has_key_in_value());
                without.map(|topic| Arc::clone(&topic.table)).collect()
            }
            Self::Lines(_) => HashSet::new(),
        }
    }

    /// What is not seen in it, a sentence each.
    pub(super) fn doubts(&self) -> Vec<String> {
        let why = match self {
            Self::Mongo(_) => "a deletion in a change stream has _id alone",
            Self::Postgres(_) => {
                "a deletion in the WAL has the columns of the replica identity alone (ALTER TABLE ... REPLICA IDENTITY FULL adds the others)"
            }
            Self::Kafka(_) => "a tombstone has no value",
            Self::Lines(_) => return Vec::new(),
        };
        let mut without: Vec<_> = self.without_deletions().into_iter().collect();
        without.sort_unstable();
        let doubt = |table: &Arc<str>| {
            format!(
                "deletions of {table} cannot be found in the sink by --sink-key: {why}; they end with the group's commit"
            )
        };
        without.iter().map(doubt).collect()
    }

    /// The tables whose changes are looked for, of those observed.
    pub(in crate::observe) fn tables(&self, observed: &[ObservedTable]) -> HashSet<Arc<str>> {
        match self {
            Self::Mongo(sink) => {
                let known = sink.collections.values();
                known.map(|known| Arc::clone(&known.table)).collect()
            }
            Self::Postgres(sink) => {
                let known = sink.tables.values();
                known.map(|known| Arc::clone(&known.table)).collect()
            }
            Self::Kafka(sink) => {
                let topics = sink.topics.iter();
                topics.map(|topic| Arc::clone(&topic.table)).collect()
            }
            Self::Lines(_) => observed
                .iter()
                .map(|table| Arc::clone(&table.name))
                .collect(),
        }
    }
}

/// That keys are said of observed tables alone, and of a sink that has rows.
fn check_keys(request: &PipelineRequest, tables: &[ObservedTable]) -> Result<(), Failure> {
    let has_rows = !matches!(request.sink, SinkChoice::Lines(_) | SinkChoice::None);
    if !has_rows && !request.sink_keys.is_empty() {
        return Err(Failure::usage(anyhow::anyhow!(
            "--sink-key says where the key is in the rows of a sink, and none is looked into; leave it out, or say which sink (--sink)"
        )));
    }
    key::check(request, tables)
}

/// The sink, if there is one to look at.
pub(super) async fn find(
    request: &PipelineRequest,
    endpoint: Option<&StoreEndpoint>,
    upstream: &Upstream<'_>,
) -> Result<Option<Sink>, Failure> {
    check_keys(request, upstream.tables)?;
    match &request.sink {
        SinkChoice::None => Ok(None),
        SinkChoice::Found | SinkChoice::MongoDb => {
            let found = mongo::find(request, endpoint, upstream.tables).await?;
            Ok(found.map(Sink::Mongo))
        }
        SinkChoice::Postgres(sink) => {
            let found = postgres::find(request, sink, upstream).await?;
            Ok(Some(Sink::Postgres(Box::new(found))))
        }
        SinkChoice::Kafka(topics) => {
            let found = kafka::find(request, topics, upstream).await?;
            Ok(Some(Sink::Kafka(found)))
        }
        SinkChoice::Lines(source) => {
            lines::check(source, "--lines", upstream.admin).await?;
            Ok(Some(Sink::Lines(source.clone())))
        }
    }
}
