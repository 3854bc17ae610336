//! Collections of the read model.

use crate::pipeline::failure::Failure;
use crate::pipeline::provision::resource_registry::ResourceKind;
use crate::pipeline::provision::servers::Servers;
use crate::store::MongoStore;

/// Makes the collection and its indexes, and keeps in the registry that we did.
pub(crate) async fn ensure_collection(
    servers: &Servers,
    store: &MongoStore,
) -> Result<(), Failure> {
    let name = store.collection();
    let fresh = servers
        .registry
        .record(ResourceKind::Collection, name, None)
        .await?;
    let made = store.ensure_indexes().await?;
    if fresh && !made {
        // It was there before us: it is not ours to remove.
        servers
            .registry
            .forget(ResourceKind::Collection, name)
            .await?;
    }
    Ok(())
}
