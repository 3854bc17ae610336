//! What dead runs and captures have made that others need, and that therefore stays.

use cdc_bench_model::event::{SCHEMA, TABLE};
use tokio_postgres::Client;

use crate::pipeline::failure::Failure;
use crate::pipeline::provision::orphans::OwnedResource;
use crate::pipeline::provision::removal::has_records;
use crate::pipeline::provision::resource_registry::ResourceKind;
use crate::pipeline::provision::servers::ServerClients;

/// A resource that stays, and why.
type Staying = (OwnedResource, String);

/// Takes out of the chosen what dead runs have made for every run, where another has need of it: schema, table, publication and
/// collections belong together. As long as one is under way, whose they are must stay known, too.
pub(super) async fn needed_by_others(
    client: &Client,
    servers: Option<&ServerClients>,
    chosen: &mut Vec<OwnedResource>,
    is_one_alive: bool,
) -> Result<Vec<Staying>, Failure> {
    // Rows and documents of all that are cleaned up after, not only of those that made the table.
    let runs = chosen.iter().filter_map(|resource| resource.entry.run());
    let runs: Vec<String> = runs.map(str::to_owned).collect();
    let is_shared = |resource: &mut OwnedResource| resource.entry.made_by.is_some();
    let shared: Vec<_> = chosen.extract_if(.., is_shared).collect();
    if shared.is_empty() {
        return Ok(Vec::new());
    }
    if is_one_alive {
        let is_maker = |resource: &OwnedResource| {
            let name = Some(&resource.entry.name);
            let mut shared = shared.iter();
            resource.entry.kind.is_owner() && shared.any(|made| made.entry.made_by.as_ref() == name)
        };
        chosen.retain(|resource| !is_maker(resource));
        let reason = "a run or capture that is under way may use it".to_owned();
        return Ok(all_for(shared, &reason));
    }
    let mut made = shared.iter();
    if made.any(|made| made.entry.kind == ResourceKind::Table)
        && let Some(other) = row_beside(client, &runs).await?
    {
        let reason =
            format!("{SCHEMA}.{TABLE} has rows of run {other}; \"cdc-bench cleanup\" removes it");
        return Ok(all_for(shared, &reason));
    }
    let mut staying = Vec::new();
    for resource in shared {
        let entry = &resource.entry;
        if let Some(servers) = servers
            && entry.kind == ResourceKind::Collection
            && has_documents_beside(servers, &entry.name, &runs).await?
        {
            let reason = "it has documents of other runs; \"cdc-bench cleanup\" removes it";
            staying.push((resource, reason.to_owned()));
        } else {
            chosen.push(resource);
        }
    }
    Ok(staying)
}

fn all_for(resources: Vec<OwnedResource>, reason: &str) -> Vec<Staying> {
    let all = resources.into_iter();
    all.map(|resource| (resource, reason.to_owned())).collect()
}

/// The `run_id` of a row of the outbox that is of none of these runs; `None` if there is none, or no outbox.
async fn row_beside(client: &Client, runs: &[String]) -> Result<Option<String>, Failure> {
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

async fn has_documents_beside(
    servers: &ServerClients,
    collection: &str,
    runs: &[String],
) -> Result<bool, Failure> {
    let store = servers.store.with_collection(collection);
    Ok(store.has_documents_beside(runs).await?)
}

/// Takes out of the chosen the topics that a dead capture has delivered into.
pub(super) async fn delivered(
    servers: &ServerClients,
    chosen: &mut Vec<OwnedResource>,
) -> Result<Vec<Staying>, Failure> {
    let is_topic = |resource: &mut OwnedResource| resource.entry.kind == ResourceKind::CaptureTopic;
    let topics: Vec<_> = chosen.extract_if(.., is_topic).collect();
    let mut delivered = Vec::new();
    for topic in topics {
        if has_records(servers, &topic.entry.name).await? {
            let reason = format!(
                "{} has delivered records into it: they are yours",
                topic.owner
            );
            delivered.push((topic, reason));
        } else {
            chosen.push(topic);
        }
    }
    Ok(delivered)
}
