//! The sink: where changes are looked for behind Kafka.

mod lines;
mod mongo;
mod postgres;

use std::collections::HashSet;
use std::sync::Arc;

use cdc_bench_stack::{PostgresEndpoint, StoreEndpoint};

pub(in crate::observe) use self::mongo::MongoSink;
pub(in crate::observe) use self::postgres::{PostgresSink, SinkTable};
use super::table::ObservedTable;
use super::topics::ObservedTopic;
use crate::broker::Admin;
use crate::observe::lines_source::LinesSource;
use crate::observe::request::{PipelineRequest, SinkChoice};
use crate::pipeline::Failure;

/// A sink that was found, and can be tapped.
pub(in crate::observe) enum Sink {
    /// MongoDB.
    Mongo(MongoSink),
    /// PostgreSQL.
    Postgres(PostgresSink),
    /// What the consumer itself says.
    Lines(LinesSource),
}

impl Sink {
    /// Its server, as the report names it.
    pub(in crate::observe) fn name(&self) -> String {
        match self {
            Self::Mongo(sink) => sink.server.clone(),
            Self::Postgres(sink) => format!("PostgreSQL at {}", sink.endpoint),
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
            Self::Lines(_) => observed
                .iter()
                .map(|table| Arc::clone(&table.name))
                .collect(),
        }
    }
}

/// What the sink has its changes from.
pub(super) struct Upstream<'a> {
    pub(super) source: &'a PostgresEndpoint,
    pub(super) tables: &'a [ObservedTable],
    pub(super) topics: &'a [ObservedTopic],
    pub(super) admin: &'a Admin,
}

/// The sink, if there is one to look at.
pub(super) async fn find(
    request: &PipelineRequest,
    endpoint: Option<&StoreEndpoint>,
    upstream: &Upstream<'_>,
) -> Result<Option<Sink>, Failure> {
    match &request.sink {
        SinkChoice::None => Ok(None),
        SinkChoice::Found | SinkChoice::MongoDb => {
            let found = mongo::find(request, endpoint, upstream.tables).await?;
            Ok(found.map(Sink::Mongo))
        }
        SinkChoice::Postgres(sink) => {
            let found = postgres::find(request, sink, upstream).await?;
            Ok(Some(Sink::Postgres(found)))
        }
        SinkChoice::Lines(source) => {
            lines::check(source, upstream.admin).await?;
            Ok(Some(Sink::Lines(source.clone())))
        }
    }
}
