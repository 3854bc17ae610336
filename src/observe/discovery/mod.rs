//! Finds the pipeline: its connector, tables, topics, group and sink. It asks, and makes nothing.

mod canary;
mod connector;
mod group;
mod publication_shape;
mod sink;
mod source;
mod source_lines;
mod table;
mod topics;
mod unpublishable;
mod unpublished;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cdc_bench_stack::{ConnectEndpoint, GivenEndpoints, PostgresEndpoint, RegistryEndpoint};
use pgcdc_debezium::Decimals;
use rdkafka::ClientConfig;

pub(super) use self::canary::FoundCanary;
use self::connector::{FoundConnector, find_connector};
#[cfg(test)]
pub(super) use self::sink::KeyColumns;
use self::sink::Upstream;
pub(super) use self::sink::{
    HEADER, KEY, KafkaSink, MongoSink, PostgresSink, Sink, SinkCollection, SinkTable,
};
pub(super) use self::table::ObservedTable;
pub(super) use self::topics::ObservedTopic;
pub(super) use self::unpublished::{PlannedPublication, VIA_ROOT, quoted};
use super::lines_source::LinesSource;
use super::records::RecordSettings;
use super::request::PipelineRequest;
use crate::broker::Admin;
use crate::pipeline::Failure;

/// A pipeline as it was found.
pub struct Pipeline {
    /// The connector's name; `None` where Connect's address is not known.
    pub(super) connector: Option<String>,
    /// Where it is.
    pub(super) connect: Option<ConnectEndpoint>,
    /// Its configuration, which may hold secrets.
    pub(super) connector_config: Option<BTreeMap<String, String>>,
    /// Why it does not work at the moment, if it does not.
    pub(super) idle: Option<String>,
    /// The source, with the connector's database.
    pub(super) postgres: PostgresEndpoint,
    pub(super) publication: String,
    /// It is to be made, of the tables.
    pub(super) planned_publication: Option<PlannedPublication>,
    /// The connector's replication slot.
    pub(super) slot: Option<String>,
    pub(super) tables: Vec<ObservedTable>,
    /// Published tables that are not observed, and why.
    pub(super) left_out: BTreeMap<String, String>,
    pub(super) topics: Vec<ObservedTopic>,
    /// Changes of our own that are to be sent.
    pub(super) canary: Option<FoundCanary>,
    /// The group whose offsets are polled.
    pub(super) group: Option<String>,
    pub(super) sink: Option<Sink>,
    /// Where the application says when it sent its statements.
    pub(super) source_lines: Option<LinesSource>,
    pub(super) kafka: ClientConfig,
    pub(super) records: RecordSettings,
    pub(super) decimals: Decimals,
    /// Operations that the connector skips, by Debezium's letters.
    pub(super) skipped: String,
    /// Whether all servers are reached by loopback, and so have our clock.
    pub(super) shares_clock: bool,
    /// The schema registry's address in the connector's configuration, as Connect reaches it.
    registry: Option<String>,
    /// What is not certain.
    pub(super) doubts: Vec<String>,
}

impl Pipeline {
    /// The address of the schema registry, as far as the connector's configuration says it.
    #[must_use]
    pub fn registry(&self) -> Option<&str> {
        self.registry.as_deref()
    }

    /// The pipeline with the registry that its records' schemas are of.
    ///
    /// # Errors
    /// When no client can be made of the endpoint's settings.
    pub fn with_registry(self, endpoint: RegistryEndpoint) -> Result<Self, Failure> {
        let records = self.records.with_registry(endpoint);
        Ok(Self {
            records: records.map_err(Failure::usage)?,
            ..self
        })
    }

    /// The observed tables by the topics that their records are in.
    pub(super) fn table_of_topics(&self) -> HashMap<usize, Arc<str>> {
        let topics = self.topics.iter().enumerate();
        topics
            .filter_map(|(index, topic)| match &topic.tables[..] {
                [table] => Some((index, Arc::clone(table))),
                _ => None,
            })
            .collect()
    }
}

/// Finds the pipeline of these servers.
///
/// # Errors
/// When a server is missing or refuses, when there are several connectors or groups and none is named, or when what was named is
/// not there.
pub async fn discover(
    request: &PipelineRequest,
    given: &GivenEndpoints,
) -> Result<Pipeline, Failure> {
    let found = find_connector(request, given.connect.as_ref()).await?;
    let nothing = BTreeMap::new();
    let config = found.as_ref().map_or(&nothing, |found| &found.config);
    let endpoint = source::endpoint(given.postgres()?, found.as_ref());
    let kafka_endpoint = given.kafka()?;
    let kafka = kafka_endpoint.client_config();
    let (source, admin) = tokio::join!(
        source::find(request, found.as_ref(), &endpoint),
        Admin::connect(&kafka)
    );
    let (mut source, admin) = (source?, admin?);
    let mut topics = topics::find(request, found.as_ref(), &mut source, &admin).await?;
    let group = group::find(request, &topics, &admin).await?;
    let upstream = Upstream {
        source: &endpoint,
        tables: &source.tables,
        topics: &topics,
        admin: &admin,
    };
    let sink = sink::find(request, given.store.as_ref(), &upstream).await?;
    let source_lines = source_lines::find(request, &admin).await?;
    let mut doubts = std::mem::take(&mut source.doubts);
    doubts.extend(sink.iter().flat_map(Sink::doubts));
    let known = canary::Found {
        connector: found.as_ref(),
        endpoint: &endpoint,
        source: &source,
        group: group.as_deref(),
        sink: sink.as_ref(),
        admin: &admin,
    };
    let canary = canary::find(request, &known, &mut topics).await?;
    let shares_clock = given
        .all()
        .is_ok_and(|endpoints| endpoints.are_on_loopback());
    let get = |key: &str| config.get(key).map(String::as_str);
    Ok(Pipeline {
        slot: found
            .as_ref()
            .map(|_| get("slot.name").unwrap_or("debezium").to_owned()),
        idle: found.as_ref().and_then(|found| found.idle.clone()),
        postgres: endpoint,
        publication: source.publication,
        planned_publication: request
            .make_publication
            .then(|| unpublished::planned(found.as_ref())),
        tables: source.tables,
        left_out: source.left_out,
        topics,
        canary,
        group,
        sink,
        source_lines,
        kafka,
        records: RecordSettings::of_connector(config),
        decimals: match get("decimal.handling.mode") {
            Some("double") => Decimals::Double,
            Some("string") => Decimals::Text,
            _ => Decimals::Precise,
        },
        // Debezium's default.
        skipped: get("skipped.operations").unwrap_or("t").to_owned(),
        shares_clock,
        registry: RecordSettings::registry_of_connector(config).map(str::to_owned),
        doubts,
        connect: given.connect.clone(),
        connector_config: found.as_ref().map(|found| found.config.clone()),
        connector: found.map(|found: FoundConnector| found.name),
    })
}
