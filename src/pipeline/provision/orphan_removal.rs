//! Removes what commands have left that are dead, and nothing else.

use std::time::Duration;

use cdc_bench_model::RunId;
use cdc_bench_model::event::{SCHEMA, TABLE};
use cdc_bench_stack::{GivenEndpoints, StepProgress};
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::debezium::KafkaConnectError;
use crate::pipeline::failure::Failure;
use crate::pipeline::provision::orphans::{Found, OwnedResource, Standing, find};
use crate::pipeline::provision::patience::Patience;
use crate::pipeline::provision::removal::{Removal, RemovalClients, has_records, remove_all};
use crate::pipeline::provision::resource_registry::{
    RegistryEntry, ResourceKind, ResourceRegistry, ResourceServer,
};
use crate::pipeline::provision::servers::ServerClients;
use crate::pipeline::provision::session_lock::RETURN_LIMIT;
use crate::pipeline::provision::source::{check_writable, connect_postgres};

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
    let mut found = find(&client).await?;
    refuse_living(orphans, &found)?;
    if found
        .resources
        .iter()
        .any(|found| is_chosen(orphans, found))
    {
        // A server that was away has let go of every lock: those who live take theirs again.
        let pause = RETURN_LIMIT.saturating_sub(found.up_for).max(SECOND_LOOK);
        progress.update(
            "clean-up",
            &format!("waiting {} s for a sign of life", pause.as_secs()),
        );
        sleep(pause).await;
        found = find(&client).await?;
        refuse_living(orphans, &found)?;
    }
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
    let kept = keep_shared(
        (&client, servers.as_ref()),
        &mut chosen,
        found.is_one_alive,
        &mut removal,
    )
    .await?;
    if let Some(servers) = &servers {
        keep_delivered(servers, &chosen, &mut removal).await?;
    }
    let entries: Vec<_> = chosen.iter().map(|found| found.entry.clone()).collect();
    if is_dry_run {
        removal.removed = Removal::planned(&entries).resources().to_vec();
        return Ok(removal);
    }
    registry.keep(&kept).await?;
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

/// Takes out of the chosen what dead runs have made for every run, where another has need of it: table and publication belong
/// together, and so do the documents of a table's rows. Returns what is to stay from now on.
async fn keep_shared(
    (client, servers): (&Client, Option<&ServerClients>),
    chosen: &mut Vec<OwnedResource>,
    is_one_alive: bool,
    removal: &mut OrphanRemoval,
) -> Result<Vec<(ResourceKind, String)>, Failure> {
    let shared = |resource: &OwnedResource| resource.entry.made_by.is_some();
    let makers = chosen.iter().filter(|resource| shared(resource));
    let mut makers: Vec<_> = makers
        .filter_map(|resource| resource.entry.made_by.clone())
        .collect();
    makers.dedup();
    if makers.is_empty() {
        return Ok(Vec::new());
    }
    // Rows and documents of all that are cleaned up after, not only of those that made the table.
    let runs: Vec<_> = chosen
        .iter()
        .filter_map(|resource| resource.entry.run().map(str::to_owned))
        .collect();
    let mut reason = None;
    if is_one_alive {
        reason = Some("a run or capture that is under way may use it".to_owned());
    } else if let Some(other) = rows_beside(client, &runs).await? {
        reason = Some(format!(
            "{SCHEMA}.{TABLE} has rows of run {other}; \"cdc-bench cleanup\" removes it"
        ));
    }
    let mut kept = Vec::new();
    let mut staying = Vec::new();
    for resource in chosen.extract_if(.., |resource| shared(resource)) {
        let (kind, name) = (resource.entry.kind, resource.entry.name.clone());
        let why = match (&reason, servers) {
            (Some(reason), _) => Some(reason.clone()),
            (None, Some(servers)) if kind == ResourceKind::Collection => {
                let store = servers.store.with_collection(&name);
                let has_others = store.has_documents_beside(&runs).await?;
                has_others.then(|| {
                    "it has documents of other runs; \"cdc-bench cleanup\" removes it".to_owned()
                })
            }
            (None, _) => None,
        };
        match why {
            Some(why) => {
                removal.leave(&resource, why);
                // What is left because others live is looked at again when they have ended.
                if !is_one_alive {
                    kept.push((kind, name));
                }
            }
            None => staying.push(resource),
        }
    }
    chosen.extend(staying);
    if is_one_alive {
        // Whose they are must be known then.
        chosen.retain(|resource| {
            !(resource.entry.kind.is_owner() && makers.contains(&resource.entry.name))
        });
    }
    Ok(kept)
}

/// A `run_id` in the outbox that is of none of these runs; `None` if there is none, or no outbox.
async fn rows_beside(client: &Client, runs: &[String]) -> Result<Option<String>, Failure> {
    let exists = format!("SELECT to_regclass('{SCHEMA}.{TABLE}') IS NOT NULL");
    if !client.query_one(&exists, &[]).await?.get::<_, bool>(0) {
        return Ok(None);
    }
    // What is appended to a run's id follows a hyphen.
    let question = format!(
        "SELECT run_id::text FROM {SCHEMA}.{TABLE} WHERE NOT EXISTS \
           (SELECT FROM unnest($1::text[]) AS run WHERE run_id::text = run OR starts_with(run_id::text, run || '-')) LIMIT 1"
    );
    let row = client.query_opt(&question, &[&runs]).await?;
    Ok(row.map(|row| row.get(0)))
}

/// Leaves topics that a dead capture has delivered into.
async fn keep_delivered(
    servers: &ServerClients,
    chosen: &[OwnedResource],
    removal: &mut OrphanRemoval,
) -> Result<(), Failure> {
    let topics = chosen
        .iter()
        .filter(|resource| resource.entry.kind == ResourceKind::CaptureTopic);
    for topic in topics {
        if has_records(servers, &topic.entry.name).await? {
            let reason = format!(
                "{} has delivered records into it: they are yours",
                topic.owner
            );
            removal.leave(topic, reason);
        }
    }
    Ok(())
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
