//! Removes registered resources from the servers: all of them, or those of one run.

use std::fmt;
use std::time::Duration;

use cdc_bench_model::RunId;
use cdc_bench_model::event::{SCHEMA, TABLE};
use cdc_bench_model::timeline::CapturePath;
use cdc_bench_stack::{GivenEndpoints, StepProgress};
use postgres_protocol::escape::escape_identifier;
use tokio_postgres::Client;

use crate::pipeline::failure::Failure;
use crate::pipeline::provision::captures::left_by_captures;
use crate::pipeline::provision::observations::left_by_observations;
use crate::pipeline::provision::resource_registry::{
    RegistryEntry, ResourceKind, ResourceRegistry,
};
use crate::pipeline::provision::route::Route;
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::provision::source::{check_writable, connect_postgres, drop_slot};

/// Longest wait for a slot to be no longer in use.
const SLOT_LIMIT: Duration = Duration::from_secs(20);

/// The order of removal: a resource is removed before those that it uses.
const ORDER: [ResourceKind; 8] = [
    ResourceKind::Connector,
    ResourceKind::Slot,
    ResourceKind::Group,
    ResourceKind::Topic,
    ResourceKind::Publication,
    ResourceKind::Collection,
    ResourceKind::Table,
    ResourceKind::Schema,
];

/// The removed resources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removal(Vec<(ResourceKind, String)>);

impl Removal {
    /// Each resource, in the order of removal.
    #[must_use]
    pub fn resources(&self) -> &[(ResourceKind, String)] {
        &self.0
    }

    /// The number of each kind, without names.
    #[must_use]
    pub fn summary(&self) -> String {
        let kinds = self.0.chunk_by(|(a, _), (b, _)| a == b);
        let counted: Vec<_> = kinds
            .map(|resources| match resources {
                [(kind, _)] => kind.to_string(),
                [(kind, _), ..] => format!("{} {kind}s", resources.len()),
                [] => String::new(),
            })
            .collect();
        if counted.is_empty() {
            return self.to_string();
        }
        format!("removed {}", counted.join(", "))
    }
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing was left to remove");
        }
        let names: Vec<_> = self
            .0
            .iter()
            .map(|(kind, name)| format!("{kind} {name}"))
            .collect();
        write!(f, "removed {}", names.join(", "))
    }
}

/// Removes the resources of a run. Tables and documents stay, for `verify`.
///
/// # Errors
/// When a server refuses; the remaining resources stay in the registry.
pub async fn remove_run(
    servers: &ServerClients,
    run: &RunId,
    progress: &dyn StepProgress,
) -> Result<Removal, Failure> {
    let mut entries = servers.registry.entries().await?;
    entries.retain(|entry| entry.run_id.as_deref() == Some(run.as_str()));
    remove(&RemovalClients::all(servers), &entries, progress).await
}

/// Removes every registered resource, of `setup` and of interrupted runs, and then the registry itself; and what captures and
/// observations have left. Servers other than PostgreSQL are asked for only where a resource is on them.
///
/// # Errors
/// When there is no server, or one refuses; the remaining resources stay in the registry.
pub async fn remove_everything(
    endpoints: &GivenEndpoints,
    progress: &dyn StepProgress,
) -> Result<Removal, Failure> {
    let postgres = endpoints.postgres()?;
    let client = connect_postgres(&postgres).await?;
    check_writable(&client, &postgres).await?;
    let registry = ResourceRegistry::new(connect_postgres(&postgres).await?);
    let mut entries = registry.entries().await?;
    let captured = left_by_captures(&client).await?;
    entries.extend(captured);
    let observed = left_by_observations(&client).await?;
    entries.extend(observed);
    let others = match entries.iter().find(|entry| !entry.kind.is_in_postgres()) {
        None => None,
        Some(entry) => {
            let (kind, name) = (entry.kind, &entry.name);
            let all = endpoints
                .all()
                .map_err(|error| Failure::from(error).context(format!("removing {kind} {name}")))?;
            Some(ServerClients::connect(&all).await?)
        }
    };
    let clients = RemovalClients {
        postgres: &client,
        registry: &registry,
        others: others.as_ref(),
    };
    let removal = remove(&clients, &entries, progress).await?;
    registry.drop_if_empty().await?;
    Ok(removal)
}

/// What removes resources.
struct RemovalClients<'a> {
    postgres: &'a Client,
    registry: &'a ResourceRegistry,
    /// All servers, if more than PostgreSQL is needed.
    others: Option<&'a ServerClients>,
}

impl<'a> RemovalClients<'a> {
    fn all(servers: &'a ServerClients) -> Self {
        Self {
            postgres: &servers.postgres,
            registry: &servers.registry,
            others: Some(servers),
        }
    }

    fn others(&self) -> Result<&'a ServerClients, Failure> {
        self.others.ok_or_else(|| {
            Failure::server(anyhow::anyhow!(
                "it is not in PostgreSQL, and no other server is given"
            ))
        })
    }
}

/// Removes connector and slot of a trial before the next one begins: a slot that is not read retains WAL, and a connector that
/// is not needed uses processor time.
pub(crate) async fn remove_capture(servers: &ServerClients, route: &Route) -> Result<(), Failure> {
    let connector = route.connector.as_ref().filter(|_| route.connector_is_ours);
    if let Some(connector) = connector {
        remove_one(
            &RemovalClients::all(servers),
            ResourceKind::Connector,
            &connector.name,
        )
        .await?;
        servers
            .registry
            .forget(ResourceKind::Connector, &connector.name)
            .await?;
    }
    let is_ours = connector.is_some() || route.path != CapturePath::Debezium;
    if let Some(slot) = route.slot.as_ref().filter(|_| is_ours) {
        remove_one(&RemovalClients::all(servers), ResourceKind::Slot, slot).await?;
        servers.registry.forget(ResourceKind::Slot, slot).await?;
    }
    Ok(())
}

async fn remove(
    clients: &RemovalClients<'_>,
    entries: &[RegistryEntry],
    progress: &dyn StepProgress,
) -> Result<Removal, Failure> {
    let mut removal = Removal::default();
    for kind in ORDER {
        for entry in entries.iter().filter(|entry| entry.kind == kind) {
            progress.update("clean-up", &format!("{kind} {}", entry.name));
            remove_one(clients, kind, &entry.name)
                .await
                .map_err(|failure| failure.context(format!("removing {kind} {}", entry.name)))?;
            // One that a capture has left is not in it.
            clients.registry.forget(kind, &entry.name).await?;
            removal.0.push((kind, entry.name.clone()));
        }
    }
    Ok(removal)
}

async fn remove_one(
    clients: &RemovalClients<'_>,
    kind: ResourceKind,
    name: &str,
) -> Result<(), Failure> {
    match kind {
        ResourceKind::Connector => match &clients.others()?.connect {
            Some(connect) => connect.delete_with_offsets(name).await?,
            None => {
                return Err(Failure::server(anyhow::anyhow!(
                    "CONNECT_URL is not given, and the connector is on Kafka Connect"
                )));
            }
        },
        ResourceKind::Slot => drop_slot(clients.postgres, name, SLOT_LIMIT).await?,
        ResourceKind::Group => clients.others()?.kafka.delete_group(name).await?,
        ResourceKind::Topic => clients.others()?.kafka.delete_topic(name).await?,
        ResourceKind::Publication => {
            clients
                .postgres
                .batch_execute(&format!(
                    "DROP PUBLICATION IF EXISTS {}",
                    escape_identifier(name)
                ))
                .await?
        }
        ResourceKind::Collection => {
            let store = clients.others()?.store.with_collection(name);
            store.drop_collection().await?;
        }
        ResourceKind::Table => {
            clients
                .postgres
                .batch_execute(&format!("DROP TABLE IF EXISTS {SCHEMA}.{TABLE}"))
                .await?
        }
        // Without CASCADE: objects of others in it keep it.
        ResourceKind::Schema => {
            clients
                .postgres
                .batch_execute(&format!("DROP SCHEMA IF EXISTS {SCHEMA}"))
                .await?
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_removed_is_counted_by_its_kind() {
        assert_eq!(Removal::default().summary(), "nothing was left to remove");
        let things = [
            (ResourceKind::Slot, "a"),
            (ResourceKind::Topic, "b"),
            (ResourceKind::Topic, "c"),
        ];
        let removal = Removal(things.map(|(kind, name)| (kind, name.to_owned())).into());
        assert_eq!(removal.summary(), "removed slot, 2 topics");
        assert_eq!(removal.to_string(), "removed slot a, topic b, topic c");
    }
}
