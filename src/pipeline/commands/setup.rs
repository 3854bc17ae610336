//! `setup`: creates what a pipeline needs on servers that are up already; it stays until `cleanup`.

use std::fmt;

use cdc_bench_model::event::{SCHEMA, TABLE};
use cdc_bench_stack::StepProgress;
use pgcdc::{ReaderError, SlotName};
use tokio_util::sync::CancellationToken;

use crate::pipeline::failure::Failure;
use crate::pipeline::provision::collection::ensure_collection;
use crate::pipeline::provision::existing_connector::find_feeding;
use crate::pipeline::provision::names::permanent_names;
use crate::pipeline::provision::planned_connector::PlannedConnector;
use crate::pipeline::provision::rights::check_registry;
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::provision::source::{
    CONNECTOR_CONNECTIONS, PUBLICATION, SourceNeeds, check_replication, check_writable,
    existing_slots, prepare_source,
};
use crate::pipeline::provision::topic::{WantedTopic, check_partitions, ensure_topic};
use crate::pipeline::request::ConnectorRequest;
use crate::store::COLLECTION;

/// The slot for a reader of ours.
const READER_SLOT: &str = "cdc_bench_reader";

/// The result of `setup`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SetUp {
    /// The outbox table.
    pub table: String,
    /// Its publication.
    pub publication: String,
    /// The slot for a reader of ours. It retains WAL until it is read, or dropped by `cleanup`.
    pub slot: String,
    /// The topic.
    pub topic: String,
    /// Its partitions.
    pub partitions: i32,
    /// Whether the topic has `LogAppendTime`.
    pub log_append_time: bool,
    /// The connector that feeds the topic; `None` if Connect's address is unknown.
    pub connector: Option<String>,
    /// Whether that connector existed before and is not ours.
    pub connector_is_foreign: bool,
    /// The collection, with its indexes.
    pub collection: String,
}

impl fmt::Display for SetUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table        {}", self.table)?;
        writeln!(f, "publication  {}", self.publication)?;
        writeln!(
            f,
            "slot         {} (holds back WAL until it is read, or dropped by \"cdc-bench cleanup\")",
            self.slot
        )?;
        let kind = if self.log_append_time {
            "LogAppendTime"
        } else {
            "CreateTime: kafka_delivery and consumer_lag will rest on Connect's clock"
        };
        let partitions = match self.partitions {
            1 => String::new(),
            many => format!("{many} partitions, "),
        };
        writeln!(f, "topic        {} ({partitions}{kind})", self.topic)?;
        match &self.connector {
            Some(name) if self.connector_is_foreign => {
                writeln!(f, "connector    {name} (was there already, left as it is)")?;
            }
            Some(name) => writeln!(f, "connector    {name} (RUNNING)")?,
            None => writeln!(f, "connector    none: CONNECT_URL is not given")?,
        }
        writeln!(f, "collection   {}", self.collection)
    }
}

/// Creates what is missing. The step `set-up` has begun.
///
/// # Errors
/// The first refusal by a server; what was created until then is registered, for `cleanup`.
pub async fn set_up(
    servers: &ServerClients,
    to_be: WantedTopic<'_>,
    capture: &ConnectorRequest,
    is_kept: bool,
    progress: &dyn StepProgress,
    cancel: &CancellationToken,
) -> Result<SetUp, Failure> {
    let (step, topic) = ("set-up", to_be.name);
    progress.update(step, "looking for what is there");
    check_writable(&servers.postgres, &servers.endpoints.postgres).await?;
    check_registry(&servers.postgres).await?;
    check_partitions(servers, to_be).await?;
    let feeding = find_feeding(servers, topic, is_kept).await?;
    let planned = match (&feeding, permanent_names(topic)) {
        _ if servers.connect.is_none() => None,
        (None, Err(failure)) => return Err(failure),
        (Some((found, _)), Ok(ours)) if found.name != ours.connector => None,
        (Some(_), Err(_)) => None,
        (_, Ok(ours)) => {
            let asked = (capture, to_be.partitions);
            Some(PlannedConnector::plan(servers, ours, PUBLICATION, asked).await?)
        }
    };
    progress.update(step, "tables, publication, slot");
    let slot = SlotName::new(READER_SLOT).map_err(ReaderError::from)?;
    let wanted: Vec<&str> = std::iter::once(READER_SLOT)
        .chain(planned.as_ref().map(PlannedConnector::slot))
        .collect();
    let there = existing_slots(&servers.postgres, &wanted).await?;
    let needs = SourceNeeds {
        run_id: None,
        slots: i64::try_from(wanted.len()).unwrap_or(0) - there,
        connections: if planned.is_some() {
            CONNECTOR_CONNECTIONS
        } else {
            0
        },
        permanent_slot: Some(slot),
    };
    check_replication(&servers.postgres, &servers.endpoints.postgres).await?;
    prepare_source(&servers.postgres, &servers.registry, &needs).await?;
    progress.update(step, "store indexes");
    ensure_collection(servers, &servers.store, None).await?;
    progress.update(step, &format!("topic {topic}"));
    ensure_topic(servers, to_be, None).await?;
    let state = servers.kafka.topic(topic).await?;
    let foreign = planned.is_none() && feeding.is_some();
    let connector = match planned {
        Some(planned) => {
            progress.update(step, "connector, until it is RUNNING");
            Some(planned.register(servers, None, cancel).await?.name)
        }
        None => feeding.map(|(found, why)| format!("{}: {why}", found.name)),
    };
    // What runs have made that were killed is set up now.
    servers.registry.keep_used().await?;
    progress.end(step, "done");
    Ok(SetUp {
        table: format!("{SCHEMA}.{TABLE}"),
        publication: PUBLICATION.to_owned(),
        slot: READER_SLOT.to_owned(),
        topic: topic.to_owned(),
        partitions: state.as_ref().map_or(0, |state| state.partitions),
        log_append_time: state
            .and_then(|state| state.log_append_time)
            .unwrap_or(false),
        connector,
        connector_is_foreign: foreign,
        collection: format!("{}.{COLLECTION}", servers.endpoints.store.database),
    })
}
