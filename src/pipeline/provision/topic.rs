//! Creates topics of our own.

use cdc_bench_model::RunId;

use crate::pipeline::failure::Failure;
use crate::pipeline::provision::resource_registry::ResourceKind;
use crate::pipeline::provision::servers::ServerClients;

/// A topic that there is to be.
#[derive(Debug, Clone, Copy)]
pub struct WantedTopic<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its partitions; `None`: as many as it has, or one.
    pub partitions: Option<i32>,
}

/// Creates the topic if it does not exist, and registers it.
pub(crate) async fn ensure_topic(
    servers: &ServerClients,
    topic: WantedTopic<'_>,
    run: Option<&RunId>,
) -> Result<(), Failure> {
    let (name, partitions) = (topic.name, topic.partitions.unwrap_or(1));
    let (registry, kind) = (&servers.registry, ResourceKind::Topic);
    if check_partitions(servers, topic).await? {
        return Ok(registry.inherit(kind, name, run).await?);
    }
    registry.record(kind, name, run).await?;
    match servers.kafka.create_topic(name, partitions).await {
        Ok(true) => Ok(()),
        made => {
            // Refused, or created by someone else: not ours to remove.
            registry.forget(kind, name).await?;
            made.map(drop).map_err(Failure::from)
        }
    }
}

/// Whether there is a topic of this name.
///
/// # Errors
/// When it has another number of partitions than is asked for.
pub(crate) async fn check_partitions(
    servers: &ServerClients,
    topic: WantedTopic<'_>,
) -> Result<bool, Failure> {
    let Some(found) = servers.kafka.topic(topic.name).await? else {
        return Ok(false);
    };
    match topic.partitions {
        Some(wanted) if wanted != found.partitions => Err(Failure::usage(anyhow::anyhow!(
            "topic \"{}\" has another number of partitions ({}) than is asked for ({wanted}), and is left as it is: with more of them an aggregate's later events would be in another partition than its earlier ones; leave --partitions out, or choose a topic that does not exist (KAFKA_TOPIC)",
            topic.name,
            found.partitions
        ))),
        _ => Ok(true),
    }
}
