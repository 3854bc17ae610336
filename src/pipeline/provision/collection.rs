//! Creates collections of the read model.

use cdc_bench_model::RunId;

use crate::pipeline::failure::Failure;
use crate::pipeline::provision::resource_registry::ResourceKind;
use crate::pipeline::provision::servers::ServerClients;
use crate::store::MongoStore;

/// Creates the collection and its indexes if they do not exist, and registers it. One that exists is left as it is.
pub(crate) async fn ensure_collection(
    servers: &ServerClients,
    store: &MongoStore,
    made_by: Option<&RunId>,
) -> Result<(), Failure> {
    let name = store.collection();
    let kind = ResourceKind::Collection;
    servers.registry.uses(kind, name);
    if store.collection_exists().await? {
        return Ok(());
    }
    let fresh = servers.registry.record_lasting(kind, name, made_by).await?;
    let made = store.ensure_indexes().await?;
    if fresh && !made {
        // Somebody has made it in between: not ours to remove.
        servers.registry.forget(kind, name).await?;
    }
    Ok(())
}
