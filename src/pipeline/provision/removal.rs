//! Removes resources, each after those that use it; what a server refuses, or does not answer to, is left and named.

use std::fmt;
use std::time::Duration;

use cdc_bench_model::event::SCHEMA;
use cdc_bench_stack::StepProgress;
use postgres_protocol::escape::escape_identifier;
use tokio_postgres::Client;

use crate::pipeline::failure::Failure;
use crate::pipeline::provision::patience::Patience;
use crate::pipeline::provision::resource_registry::{
    RegistryEntry, ResourceKind, ResourceRegistry, ResourceServer,
};
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::provision::source::drop_slot;

/// Longest wait for a slot to be no longer in use, and once the user has asked to stop.
pub(super) const SLOT_LIMIT: Duration = Duration::from_secs(20);
const SLOT_LIMIT_ONCE_ASKED: Duration = Duration::from_secs(1);

/// The order of removal: a resource is removed before those that it uses.
const ORDER: [ResourceKind; 11] = [
    ResourceKind::Connector,
    ResourceKind::Slot,
    ResourceKind::Group,
    ResourceKind::Topic,
    ResourceKind::CaptureTopic,
    ResourceKind::Publication,
    ResourceKind::Collection,
    ResourceKind::Table,
    ResourceKind::Schema,
    ResourceKind::Run,
    ResourceKind::Capture,
];

/// The removed resources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removal(Vec<(ResourceKind, String)>);

impl Removal {
    /// What the removal of these would remove.
    pub(super) fn planned(entries: &[RegistryEntry]) -> Self {
        let resources = in_order(entries).filter(|entry| !entry.kind.is_owner());
        Self(
            resources
                .map(|entry| (entry.kind, entry.name.clone()))
                .collect(),
        )
    }

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

/// What removes resources.
pub(super) struct RemovalClients<'a> {
    pub(super) postgres: &'a Client,
    pub(super) registry: &'a ResourceRegistry,
    /// All servers, if more than PostgreSQL is needed.
    pub(super) others: Option<&'a ServerClients>,
}

impl<'a> RemovalClients<'a> {
    pub(super) fn all(servers: &'a ServerClients) -> Self {
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

/// Each after those that use it. The tables of shards inherit from the outbox, whose name theirs begin with.
fn in_order(entries: &[RegistryEntry]) -> impl Iterator<Item = &RegistryEntry> {
    ORDER.into_iter().flat_map(move |kind| {
        let of_kind = entries.iter().filter(|entry| entry.kind == kind);
        let mut of_kind: Vec<_> = of_kind.collect();
        if kind == ResourceKind::Table {
            of_kind.sort_by(|a, b| b.name.cmp(&a.name));
        }
        of_kind
    })
}

/// Removes these as far as the servers let it. `silent`: servers that are known not to answer.
pub(super) async fn remove(
    clients: &RemovalClients<'_>,
    entries: &[RegistryEntry],
    silent: Vec<ResourceServer>,
    patience: Patience<'_>,
    progress: &dyn StepProgress,
) -> Result<Removal, Failure> {
    let (removal, failure) = remove_all(clients, entries, silent, patience, progress).await;
    match failure {
        None => Ok(removal),
        Some(failure) => {
            tracing::info!(%removal, "clean-up");
            Err(failure)
        }
    }
}

/// The same, with what was removed although something was not.
pub(super) async fn remove_all(
    clients: &RemovalClients<'_>,
    entries: &[RegistryEntry],
    mut silent: Vec<ResourceServer>,
    patience: Patience<'_>,
    progress: &dyn StepProgress,
) -> (Removal, Option<Failure>) {
    let mut removal = Removal::default();
    let mut refused: Vec<Failure> = Vec::new();
    let mut unanswered: Vec<&RegistryEntry> = Vec::new();
    for entry in in_order(entries) {
        let (kind, name) = (entry.kind, &entry.name);
        if silent.contains(&kind.server()) {
            unanswered.push(entry);
            continue;
        }
        // Whose they are is known as long as one of them is there.
        if kind.is_owner() && !(refused.is_empty() && unanswered.is_empty()) {
            continue;
        }
        progress.update("clean-up", &format!("{kind} {name}"));
        let slot_limit = if patience.is_short() {
            SLOT_LIMIT_ONCE_ASKED
        } else {
            SLOT_LIMIT
        };
        let removing = remove_one(clients, kind, name, slot_limit);
        let patience_with_it = match kind {
            ResourceKind::Collection => patience.for_large_work(),
            _ => patience,
        };
        match patience_with_it.within(removing).await {
            Some(Ok(is_removed)) => {
                if is_removed && !kind.is_owner() {
                    removal.0.push((kind, name.clone()));
                }
            }
            Some(Err(failure)) => {
                refused.push(failure.context(format!("removing {kind} {name}")));
                continue;
            }
            None => {
                silent.push(kind.server());
                unanswered.push(entry);
                continue;
            }
        }
        if !silent.contains(&ResourceServer::Postgres) {
            // One that a capture has left is not in it.
            match patience.within(clients.registry.forget(kind, name)).await {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    let doing = format!("forgetting {kind} {name}, which is removed");
                    refused.push(Failure::from(error).context(doing));
                }
                None => silent.push(ResourceServer::Postgres),
            }
        }
    }
    (removal, not_removed(refused, &unanswered))
}

/// What was not removed, and why.
fn not_removed(mut refused: Vec<Failure>, unanswered: &[&RegistryEntry]) -> Option<Failure> {
    if let ([_], []) = (&refused[..], unanswered) {
        return refused.pop();
    }
    let mut reasons: Vec<_> = refused.iter().map(Failure::to_string).collect();
    for entries in unanswered.chunk_by(|a, b| a.kind.server() == b.kind.server()) {
        let names = entries.iter();
        let names: Vec<_> = names.map(|e| format!("{} {}", e.kind, e.name)).collect();
        reasons.push(format!(
            "{} did not answer in time: {} not removed",
            entries[0].kind.server(),
            names.join(", ")
        ));
    }
    (!reasons.is_empty()).then(|| Failure::server(anyhow::anyhow!(reasons.join("; "))))
}

/// Removes a resource, if it is there. False: it stays by intent.
pub(super) async fn remove_one(
    clients: &RemovalClients<'_>,
    kind: ResourceKind,
    name: &str,
    slot_limit: Duration,
) -> Result<bool, Failure> {
    match kind {
        ResourceKind::Connector => match &clients.others()?.connect {
            Some(connect) => connect.delete_with_offsets(name).await?,
            None => {
                return Err(Failure::server(anyhow::anyhow!(
                    "CONNECT_URL is not given, and the connector is on Kafka Connect"
                )));
            }
        },
        ResourceKind::Slot => drop_slot(clients.postgres, name, slot_limit).await?,
        ResourceKind::Group => clients.others()?.kafka.delete_group(name).await?,
        ResourceKind::Topic => clients.others()?.kafka.delete_topic(name).await?,
        ResourceKind::CaptureTopic => return delete_unless_written(clients.others()?, name).await,
        ResourceKind::Run | ResourceKind::Capture => {}
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
            let table: Vec<_> = name.split('.').map(escape_identifier).collect();
            clients
                .postgres
                .batch_execute(&format!("DROP TABLE IF EXISTS {}", table.join(".")))
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
    Ok(true)
}

/// Deletes a topic that has no record. False: what a capture has delivered into it is the user's.
async fn delete_unless_written(servers: &ServerClients, topic: &str) -> Result<bool, Failure> {
    if has_records(servers, topic).await? {
        tracing::info!(topic, "records were delivered into it: it stays");
        return Ok(false);
    }
    servers.kafka.delete_topic(topic).await?;
    Ok(true)
}

/// Whether a topic has had records; false if it is not there.
pub(super) async fn has_records(servers: &ServerClients, topic: &str) -> Result<bool, Failure> {
    let Some(state) = servers.kafka.topic(topic).await? else {
        return Ok(false);
    };
    let ends = servers.kafka.end_offsets(topic, state.partitions).await?;
    Ok(ends.values().any(|end| *end > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_shards_go_before_the_outbox_that_they_inherit_from() {
        let entry = |(kind, name): (ResourceKind, &str)| RegistryEntry::lasting(kind, name.into());
        let entries = [
            (ResourceKind::Schema, "activity"),
            (ResourceKind::Table, "activity.event_outbox"),
            (ResourceKind::Table, "activity.event_outbox_10"),
            (ResourceKind::Table, "activity.event_outbox_2"),
            (ResourceKind::Publication, "cdc_bench"),
        ]
        .map(entry);
        let order: Vec<_> = in_order(&entries).map(|entry| &*entry.name).collect();
        assert_eq!(order[0], "cdc_bench");
        assert_eq!(order[3..], ["activity.event_outbox", "activity"]);
    }

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
