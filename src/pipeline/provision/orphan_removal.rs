//! Removes what commands have left that are dead, and nothing else.

use std::time::Duration;

use cdc_bench_model::RunId;
use cdc_bench_stack::{GivenEndpoints, StepProgress};
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::debezium::KafkaConnectError;
use crate::pipeline::failure::Failure;
use crate::pipeline::provision::orphans::{Found, OwnedResource, Standing, find};
use crate::pipeline::provision::orphans_in_use::{delivered, needed_by_others};
use crate::pipeline::provision::patience::Patience;
use crate::pipeline::provision::removal::{Removal, RemovalClients, remove_all};
use crate::pipeline::provision::resource_registry::{
    RegistryEntry, ResourceKind, ResourceRegistry, ResourceServer,
};
use crate::pipeline::provision::rights::check_registry;
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::provision::session_lock::RETURN_LIMIT;
use crate::pipeline::provision::source::{check_writable, connect_postgres};
use crate::store::MongoStore;

/// Between two looks at the locks: a session that has just lost its connection comes back in that time.
const SECOND_LOOK: Duration = Duration::from_secs(2);
/// A connector that was registered so short a time ago may still be on its way into Kafka Connect.
const YOUNG: Duration = Duration::from_secs(60);
/// Longest wait for one that is.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(10);

/// Which of the dead are cleaned up after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Orphans {
    /// All of them.
    All,
    /// This run, or capture, also where it is not known whether it lives.
    Of(RunId),
}

/// A resource that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftResource {
    /// Its kind.
    pub kind: ResourceKind,
    /// Its name.
    pub name: String,
    /// Why it stays.
    pub reason: String,
}

/// What was done.
#[derive(Debug, Default)]
pub struct OrphanRemoval {
    /// The removed resources, or, of a dry run, those that would be.
    pub removed: Vec<(ResourceKind, String)>,
    /// Those that stay.
    pub left: Vec<LeftResource>,
    /// What could not be removed, and why.
    pub failure: Option<Failure>,
}

impl OrphanRemoval {
    fn leave(&mut self, resource: &OwnedResource, reason: String) {
        self.left.push(LeftResource {
            kind: resource.entry.kind,
            name: resource.entry.name.clone(),
            reason,
        });
    }
}

/// Removes what dead runs and captures have left, or only says what that is. Servers other than PostgreSQL are asked for only where
/// a resource is on them.
///
/// # Errors
/// When nothing could be looked at, or when the run that is named lives.
pub async fn remove_orphans(
    endpoints: &GivenEndpoints,
    orphans: &Orphans,
    is_dry_run: bool,
    progress: &dyn StepProgress,
    cancel: &CancellationToken,
) -> Result<OrphanRemoval, Failure> {
    let postgres = endpoints.postgres()?;
    let client = connect_postgres(&postgres).await?;
    check_writable(&client, &postgres).await?;
    check_registry(&client).await?;
    let found = find_twice(&client, orphans, progress).await?;
    let mut removal = OrphanRemoval::default();
    let (mut chosen, others): (Vec<_>, Vec<_>) = found
        .resources
        .into_iter()
        .partition(|resource| is_chosen(orphans, resource));
    let resources = others.iter().filter(|other| !other.entry.kind.is_owner());
    for other in resources {
        if let Some(reason) = why_left(other) {
            removal.leave(other, reason);
        }
    }
    if chosen.is_empty() {
        if *orphans == Orphans::All && !is_dry_run {
            remove_probes(endpoints).await;
        }
        return Ok(removal);
    }
    let registry = ResourceRegistry::new(connect_postgres(&postgres).await?);
    let servers = match chosen.iter().find(|resource| is_elsewhere(&resource.entry)) {
        None => None,
        Some(OwnedResource { entry, .. }) => {
            let needed = format!("removing {} {}", entry.kind, entry.name);
            let all = endpoints.all();
            let all = all.map_err(|error| Failure::from(error).context(needed))?;
            Some(ServerClients::connect(&all).await?)
        }
    };
    let needed = needed_by_others(&client, servers.as_ref(), &mut chosen, found.is_one_alive);
    let needed = needed.await?;
    let delivered = match &servers {
        Some(servers) => delivered(servers, &mut chosen).await?,
        None => Vec::new(),
    };
    for (resource, reason) in needed.iter().chain(&delivered) {
        removal.leave(resource, reason.clone());
    }
    let entries: Vec<_> = chosen.iter().map(|found| found.entry.clone()).collect();
    if is_dry_run {
        removal.removed = Removal::planned(&entries).resources().to_vec();
        return Ok(removal);
    }
    // What is left because another is under way is looked at again when that has ended.
    if !found.is_one_alive {
        let entries = needed.iter().map(|(resource, _)| &resource.entry);
        let kept: Vec<_> = entries
            .map(|entry| (entry.kind, entry.name.clone()))
            .collect();
        registry.keep(&kept).await?;
    }
    for (OwnedResource { entry, .. }, _) in &delivered {
        registry.forget(entry.kind, &entry.name).await?;
    }
    if let Some(servers) = &servers {
        wait_for_young_connectors(servers, &chosen, progress).await?;
    }
    let clients = RemovalClients {
        postgres: &client,
        registry: &registry,
        others: servers.as_ref(),
    };
    let patience = Patience::for_work(cancel);
    let (removed, failure) = remove_all(&clients, &entries, Vec::new(), patience, progress).await;
    removal.removed = removed.resources().to_vec();
    removal.failure = failure;
    if removal.failure.is_none() {
        registry.drop_if_empty().await?;
    }
    Ok(removal)
}

/// Looks twice if somebody seems to be dead: a server that was away has let go of every lock, and those who live take theirs again.
async fn find_twice(
    client: &Client,
    orphans: &Orphans,
    progress: &dyn StepProgress,
) -> Result<Found, Failure> {
    let found = find(client).await?;
    refuse_living(orphans, &found)?;
    let mut resources = found.resources.iter();
    if !resources.any(|resource| is_chosen(orphans, resource)) {
        return Ok(found);
    }
    let pause = RETURN_LIMIT.saturating_sub(found.up_for).max(SECOND_LOOK);
    let detail = format!("waiting {} s for a sign of life", pause.as_secs());
    progress.update("clean-up", &detail);
    sleep(pause).await;
    let found = find(client).await?;
    refuse_living(orphans, &found)?;
    Ok(found)
}

/// Removes what a command has left in the store that was killed while it tried whether it may write: that is in no registry, and the
/// next try removes it.
async fn remove_probes(endpoints: &GivenEndpoints) {
    let trying = async {
        let store = MongoStore::connect(&endpoints.store()?).await?;
        Ok::<_, Failure>(store.check_writable().await?)
    };
    if let Err(failure) = trying.await {
        tracing::debug!(%failure, "the store was not looked at");
    }
}

fn is_elsewhere(entry: &RegistryEntry) -> bool {
    entry.kind.server() != ResourceServer::Postgres
}

fn is_chosen(orphans: &Orphans, resource: &OwnedResource) -> bool {
    match orphans {
        Orphans::All => resource.standing == Standing::Dead,
        Orphans::Of(run) => {
            resource.entry.run() == Some(run.as_str())
                && matches!(resource.standing, Standing::Dead | Standing::Unknown)
        }
    }
}

fn refuse_living(orphans: &Orphans, found: &Found) -> Result<(), Failure> {
    let Orphans::Of(run) = orphans else {
        return Ok(());
    };
    let mut of_run = found.resources.iter();
    let lives = |resource: &&OwnedResource| {
        resource.entry.run() == Some(run.as_str()) && resource.standing == Standing::Alive
    };
    match of_run.find(lives) {
        None => Ok(()),
        Some(resource) => Err(Failure::usage(anyhow::anyhow!(
            "{} is under way, and removes what it has made at its end: stop it with Ctrl-C, or wait",
            resource.owner
        ))),
    }
}

/// Why a resource that was not chosen stays; `None` for that of a dead one that was not asked for.
fn why_left(resource: &OwnedResource) -> Option<String> {
    let owner = &resource.owner;
    match &resource.standing {
        Standing::Dead => None,
        Standing::Alive => Some(format!("{owner} is under way")),
        Standing::Unknown => {
            let run = resource.entry.run().unwrap_or_default();
            Some(format!(
                "whether {owner} is under way cannot be told; if it is not: \"cdc-bench cleanup --run {run}\""
            ))
        }
        Standing::Stays(reason) => Some(reason.clone()),
    }
}

/// Waits until a connector is there that was registered a moment ago: its program may have been killed while Connect was at work.
async fn wait_for_young_connectors(
    servers: &ServerClients,
    chosen: &[OwnedResource],
    progress: &dyn StepProgress,
) -> Result<(), Failure> {
    let Some(connect) = &servers.connect else {
        return Ok(());
    };
    let young = chosen.iter().filter(|resource| {
        resource.entry.kind == ResourceKind::Connector
            && resource.age.is_some_and(|age| age < YOUNG)
    });
    for OwnedResource { entry, .. } in young {
        let began = Instant::now();
        while began.elapsed() < ARRIVAL_LIMIT {
            match connect.config(&entry.name).await {
                Err(KafkaConnectError::NoConnector { .. }) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => break,
            }
            let detail = format!("looking whether connector {} is on its way", entry.name);
            progress.update("clean-up", &detail);
            sleep(Duration::from_millis(500)).await;
        }
    }
    Ok(())
}
