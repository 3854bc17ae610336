//! Creates topics of our own.

use cdc_bench_model::RunId;

use crate::pipeline::failure::Failure;
use crate::pipeline::provision::resource_registry::ResourceKind;
use crate::pipeline::provision::servers::ServerClients;

/// Creates the topic if it does not exist, and registers it.
pub(crate) async fn ensure_topic(
    servers: &ServerClients,
    topic: &str,
    run: Option<&RunId>,
) -> Result<(), Failure> {
    let kind = ResourceKind::Topic;
    if servers.kafka.topic(topic).await?.is_some() {
        return Ok(servers.registry.inherit(kind, topic, run).await?);
    }
    servers.registry.record(kind, topic, run).await?;
    match servers.kafka.create_topic(topic).await {
        Ok(true) => Ok(()),
        made => {
            // Refused, or created by someone else: not ours to remove.
            servers.registry.forget(kind, topic).await?;
            made.map(drop).map_err(Failure::from)
        }
    }
}
