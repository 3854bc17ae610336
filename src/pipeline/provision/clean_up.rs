//! Removes registered resources from the servers: all of them, or those of one run.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cdc_bench_model::RunId;
use cdc_bench_model::timeline::CapturePath;
use cdc_bench_stack::{GivenEndpoints, StepProgress};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::pipeline::failure::Failure;
use crate::pipeline::provision::captures::left_by_captures;
use crate::pipeline::provision::observations::left_by_observations;
use crate::pipeline::provision::orphans::{self, Standing};
use crate::pipeline::provision::patience::Patience;
use crate::pipeline::provision::removal::{
    Removal, RemovalClients, SLOT_LIMIT, remove, remove_one,
};
use crate::pipeline::provision::resource_registry::{
    RegistryEntry, ResourceKind, ResourceRegistry, ResourceServer,
};
use crate::pipeline::provision::rights::check_registry;
use crate::pipeline::provision::route::Route;
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::provision::source::{check_writable, connect_postgres};

/// Removes the resources of a run that has ended. Tables and documents stay, for `verify`. Once `cancel` is cancelled, no server is waited for
/// longer than a moment. `is_doubtful`: whether a server may not answer; it is asked before anything is begun there.
///
/// # Errors
/// When a server refuses, or does not answer; the remaining resources stay in the registry.
pub async fn remove_run(
    servers: &ServerClients,
    (run, is_doubtful): (&RunId, bool),
    progress: &dyn StepProgress,
    cancel: &CancellationToken,
) -> Result<Removal, Failure> {
    let answer = Patience::for_an_answer(cancel);
    let mut silent = Vec::new();
    if answer.is_short() || is_doubtful {
        silent = without_an_answer(servers, answer).await;
    }
    let entries = if silent.contains(&ResourceServer::Postgres) {
        None
    } else {
        answer.within(servers.registry.entries()).await
    };
    let entries = match entries {
        Some(entries) => {
            let mut entries = entries?;
            entries.retain(|entry| entry.run_id.as_deref() == Some(run.as_str()));
            entries
        }
        None => {
            silent.push(ResourceServer::Postgres);
            servers.registry.made_for(run)
        }
    };
    let clients = RemovalClients::all(servers);
    let patience = Patience::for_work(cancel);
    // The run itself last: a program that is killed meanwhile has left what there is.
    let (owners, resources): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| entry.kind.is_owner());
    let is_silent = silent.contains(&ResourceServer::Postgres);
    let removed = remove(&clients, &resources, silent, patience, progress).await;
    if !is_silent {
        let keeping = patience.within(servers.registry.keep_used()).await;
        keeping.transpose()?;
    }
    let removal = removed?;
    if !is_silent {
        remove(&clients, &owners, Vec::new(), patience, progress).await?;
    }
    Ok(removal)
}

/// The servers that do not answer, asked at once: nothing that needs them is begun then.
async fn without_an_answer(servers: &ServerClients, patience: Patience<'_>) -> Vec<ResourceServer> {
    let version = async {
        match &servers.connect {
            Some(connect) => connect.version().await.map(drop),
            None => Ok(()),
        }
    };
    let (postgres, kafka, connect, store) = tokio::join!(
        patience.within(servers.postgres.simple_query("")),
        patience.within(servers.kafka.topic_names()),
        patience.within(version),
        patience.within(servers.store.ping()),
    );
    // A request of a broker that answers after the wait for it is over can end librdkafka, and the program with it.
    let kafka = kafka.is_some_and(|answer| answer.is_ok());
    let answers = [
        (ResourceServer::Postgres, postgres.is_some()),
        (ResourceServer::Kafka, kafka),
        // It keeps its connectors in Kafka.
        (ResourceServer::Connect, connect.is_some() && kafka),
        (ResourceServer::Store, store.is_some()),
    ];
    let silent = answers.into_iter().filter(|(_, answers)| !answers);
    silent.map(|(server, _)| server).collect()
}

/// How much of what is registered goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CleanUpScope {
    /// All of it, and nothing as long as a run or capture that lives has need of it.
    WhenIdle,
    /// All of it, whoever uses it.
    Everything,
    /// Nothing: what would go is only said.
    DryRun,
}

/// The lock of a command that was killed is free once the server has noticed; what still holds one then lives.
const DEATH_LIMIT: Duration = Duration::from_secs(3);
const DEATH_POLL: Duration = Duration::from_millis(100);

/// Removes every registered resource, of `setup` and of interrupted runs, and then the registry itself; and what captures and
/// observations have left. Servers other than PostgreSQL are asked for only where a resource is on them.
///
/// # Errors
/// When there is no server, or one refuses, the remaining resources stay in the registry. When a run or capture lives and is to be spared.
pub async fn remove_everything(
    endpoints: &GivenEndpoints,
    scope: CleanUpScope,
    progress: &dyn StepProgress,
    cancel: &CancellationToken,
) -> Result<Removal, Failure> {
    let postgres = endpoints.postgres()?;
    let client = connect_postgres(&postgres).await?;
    check_writable(&client, &postgres).await?;
    check_registry(&client).await?;
    if scope == CleanUpScope::WhenIdle {
        check_idle(&client).await?;
    }
    let registry = ResourceRegistry::new(connect_postgres(&postgres).await?);
    let mut entries = registry.entries().await?;
    let captured = left_by_captures(&client).await?;
    let observed = left_by_observations(&client).await?;
    for found in captured.into_iter().chain(observed) {
        let is_it = |entry: &RegistryEntry| entry.kind == found.kind && entry.name == found.name;
        if !entries.iter().any(is_it) {
            entries.push(found);
        }
    }
    if scope == CleanUpScope::DryRun {
        return Ok(Removal::planned(&entries));
    }
    let others = match entries
        .iter()
        .find(|entry| entry.kind.server() != ResourceServer::Postgres)
    {
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
    let patience = Patience::for_work(cancel);
    let removal = remove(&clients, &entries, Vec::new(), patience, progress).await?;
    registry.drop_if_empty().await?;
    Ok(removal)
}

/// Fails if a run or capture lives whose resources would go.
async fn check_idle(client: &Client) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        let found = orphans::find(client).await?;
        let alive = found.resources.into_iter();
        let alive = alive.filter(|resource| resource.standing == Standing::Alive);
        let owners: BTreeSet<_> = alive.map(|resource| resource.owner).collect();
        if owners.is_empty() {
            return Ok(());
        }
        if began.elapsed() > DEATH_LIMIT {
            let owners: Vec<_> = owners.into_iter().collect();
            return Err(Failure::usage(anyhow::anyhow!(
                "under way here: {}; a clean-up takes away what they use, so nothing is removed: wait for their end, remove only what dead \
                 ones have left (\"cdc-bench cleanup --orphans\"), or take everything away (\"cdc-bench cleanup --all\")",
                owners.join(", ")
            )));
        }
        tokio::time::sleep(DEATH_POLL).await;
    }
}

/// Removes connectors and slots of a trial before the next one begins: a slot that is not read retains WAL, and a connector that
/// is not needed uses processor time.
pub(crate) async fn remove_capture(servers: &ServerClients, route: &Route) -> Result<(), Failure> {
    let clients = RemovalClients::all(servers);
    for source in &route.sources {
        let connector = source.connector.as_ref();
        let connector = connector.filter(|_| source.connector_is_ours);
        let slot_is_ours = connector.is_some() || route.path != CapturePath::Debezium;
        let connector = connector.map(|ours| (ResourceKind::Connector, &ours.name));
        let slot = source.slot.as_ref().filter(|_| slot_is_ours);
        let slot = slot.map(|slot| (ResourceKind::Slot, slot));
        for (kind, name) in connector.into_iter().chain(slot) {
            remove_one(&clients, kind, name, SLOT_LIMIT).await?;
            servers.registry.forget(kind, name).await?;
        }
    }
    Ok(())
}
