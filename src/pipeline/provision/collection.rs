//! Creates collections of the read model.

use crate::pipeline::failure::Failure;
use crate::pipeline::provision::resource_registry::ResourceKind;
use crate::pipeline::provision::servers::ServerClients;
use crate::store::MongoStore;

/// Creates the collection and its indexes if they do not exist, and registers it.
pub(crate) async fn ensure_collection(
    servers: &ServerClients,
    store: &MongoStore,
) -> Result<(), Failure> {
    let name = store.collection();
    let fresh = servers
        .registry
        .record(ResourceKind::Collection, name, None)
        .await?;
    let made = store.ensure_indexes().await?;
    if fresh && !made {
        // It existed before: not ours to remove.
        servers
            .registry
            .forget(ResourceKind::Collection, name)
            .await?;
    }
    Ok(())
}
