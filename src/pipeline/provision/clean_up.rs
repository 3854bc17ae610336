//! Removes registered resources from the servers: all of them, or those of one run.

use std::fmt;
use std::time::Duration;

use cdc_bench_model::RunId;
use cdc_bench_model::event::{SCHEMA, TABLE};
use cdc_bench_model::timeline::CapturePath;
use cdc_bench_stack::StepProgress;
use postgres_protocol::escape::escape_identifier;

use crate::pipeline::failure::Failure;
use crate::pipeline::provision::resource_registry::ResourceKind;
use crate::pipeline::provision::route::Route;
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::provision::source::drop_slot;

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
    remove(servers, progress, |run_id| run_id == Some(run.as_str())).await
}

/// Removes every registered resource, of `setup` and of interrupted runs, and then the registry itself.
///
/// # Errors
/// When a server refuses; the remaining resources stay in the registry.
pub async fn remove_everything(
    servers: &ServerClients,
    progress: &dyn StepProgress,
) -> Result<Removal, Failure> {
    let removal = remove(servers, progress, |_| true).await?;
    servers.registry.drop_if_empty().await?;
    Ok(removal)
}

/// Removes connector and slot of a trial before the next one begins: a slot that is not read retains WAL, and a connector that
/// is not needed uses processor time.
pub(crate) async fn remove_capture(servers: &ServerClients, route: &Route) -> Result<(), Failure> {
    let connector = route.connector.as_ref().filter(|_| route.connector_is_ours);
    if let Some(connector) = connector {
        remove_one(servers, ResourceKind::Connector, &connector.name).await?;
        servers
            .registry
            .forget(ResourceKind::Connector, &connector.name)
            .await?;
    }
    let is_ours = connector.is_some() || route.path != CapturePath::Debezium;
    if let Some(slot) = route.slot.as_ref().filter(|_| is_ours) {
        remove_one(servers, ResourceKind::Slot, slot).await?;
        servers.registry.forget(ResourceKind::Slot, slot).await?;
    }
    Ok(())
}

async fn remove(
    servers: &ServerClients,
    progress: &dyn StepProgress,
    is_selected: impl Fn(Option<&str>) -> bool,
) -> Result<Removal, Failure> {
    let entries = servers.registry.entries().await?;
    let mut removal = Removal::default();
    for kind in ORDER {
        for entry in entries
            .iter()
            .filter(|entry| entry.kind == kind && is_selected(entry.run_id.as_deref()))
        {
            progress.update("clean-up", &format!("{kind} {}", entry.name));
            remove_one(servers, kind, &entry.name)
                .await
                .map_err(|failure| failure.context(format!("removing {kind} {}", entry.name)))?;
            servers.registry.forget(kind, &entry.name).await?;
            removal.0.push((kind, entry.name.clone()));
        }
    }
    Ok(removal)
}

async fn remove_one(
    servers: &ServerClients,
    kind: ResourceKind,
    name: &str,
) -> Result<(), Failure> {
    match kind {
        ResourceKind::Connector => match &servers.connect {
            Some(connect) => connect.delete_with_offsets(name).await?,
            None => {
                return Err(Failure::server(anyhow::anyhow!(
                    "CONNECT_URL is not given, and the connector is on Kafka Connect"
                )));
            }
        },
        ResourceKind::Slot => drop_slot(&servers.postgres, name, SLOT_LIMIT).await?,
        ResourceKind::Group => servers.kafka.delete_group(name).await?,
        ResourceKind::Topic => servers.kafka.delete_topic(name).await?,
        ResourceKind::Publication => {
            servers
                .postgres
                .batch_execute(&format!(
                    "DROP PUBLICATION IF EXISTS {}",
                    escape_identifier(name)
                ))
                .await?
        }
        ResourceKind::Collection => {
            let store = servers.store.with_collection(name);
            store.drop_collection().await?;
        }
        ResourceKind::Table => {
            servers
                .postgres
                .batch_execute(&format!("DROP TABLE IF EXISTS {SCHEMA}.{TABLE}"))
                .await?
        }
        // Without CASCADE: objects of others in it keep it.
        ResourceKind::Schema => {
            servers
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
