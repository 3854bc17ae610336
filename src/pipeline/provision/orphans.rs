//! What is registered, or carries our mark, and whose it is: of a run, a capture or an observation that lives, of one that is
//! dead, or of nobody because it is to stay. A run or capture is dead when its lock is free; nothing is told by an age.

use std::time::Duration;

use tokio_postgres::{Client, Row};

use super::captures::{CapturedResource, SlotUse, resources_of_captures};
use super::observations::left_by_observations;
use super::resource_registry::{RegistryEntry, ResourceKind, entry, is_undefined};
use super::session_lock::{HELD, OF_RUN, is_held};

/// Whether the command that a resource is of lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It ended without a clean-up.
    Dead,
    /// It is under way.
    Alive,
    /// It has no lock: a pooler let it hold none, or an earlier version has made the entry.
    Unknown,
    /// It is nobody's: made to stay, for this reason.
    Stays(String),
}

/// A resource, whose it is, and whether that one lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnedResource {
    pub(crate) entry: RegistryEntry,
    /// The command that it is of, such as `run 20261124-021133-7f3a9c`; empty if it is nobody's.
    pub(crate) owner: String,
    pub(crate) standing: Standing,
    /// How long ago it was registered, where it is in the registry.
    pub(crate) age: Option<Duration>,
}

/// The resources of a source database and of the servers around it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    pub(crate) resources: Vec<OwnedResource>,
    /// Whether any run or capture lives.
    pub(crate) is_one_alive: bool,
    /// How long PostgreSQL has been up.
    pub(crate) up_for: Duration,
}

/// Looks at the registry and at the marks. Whoever may not read the registry gets an error.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn find(client: &Client) -> Result<Found, tokio_postgres::Error> {
    let question = format!(
        "WITH {HELD} SELECT extract(epoch FROM now() - pg_postmaster_start_time())::float8, \
           EXISTS (SELECT FROM held WHERE classid = (hashtext($1)::int8 & 4294967295)::oid)"
    );
    let row = client.query_one(&question, &[&OF_RUN]).await?;
    let mut resources = registered(client).await?;
    for captured in resources_of_captures(client).await? {
        let found = of_capture(captured);
        let is_it = |known: &OwnedResource| {
            known.entry.kind == found.entry.kind && known.entry.name == found.entry.name
        };
        if !resources.iter().any(is_it) {
            resources.push(found);
        }
    }
    let observed = left_by_observations(client).await?.into_iter();
    resources.extend(observed.map(|entry| OwnedResource {
        entry,
        owner: "an observation".to_owned(),
        standing: Standing::Dead,
        age: None,
    }));
    Ok(Found {
        resources,
        is_one_alive: row.get(1),
        up_for: seconds(row.get(0)),
    })
}

async fn registered(client: &Client) -> Result<Vec<OwnedResource>, tokio_postgres::Error> {
    let lives = is_held("$1", "coalesce(entry.run_id, entry.made_by)");
    // A registry of an earlier version has no column made_by.
    let question = format!(
        "WITH {HELD}, entry AS (SELECT kind, name, run_id, to_jsonb(registered) ->> 'made_by' AS made_by, made_at FROM cdc_bench.ledger registered) \
         SELECT kind, name, run_id, made_by, extract(epoch FROM now() - made_at)::float8, {lives}, \
           (SELECT owner.kind FROM entry owner WHERE owner.kind IN ('run', 'capture') AND owner.name = coalesce(entry.run_id, entry.made_by)) \
         FROM entry ORDER BY made_at"
    );
    let rows = match client.query(&question, &[&OF_RUN]).await {
        Err(error) if is_undefined(&error) => Vec::new(),
        outcome => outcome?,
    };
    Ok(rows.iter().filter_map(owned).collect())
}

/// A row of the registry.
fn owned(row: &Row) -> Option<OwnedResource> {
    let entry = entry(row)?;
    let (lives, owner): (bool, Option<String>) = (row.get(5), row.get(6));
    let run = entry.run();
    let standing = match (run, &owner) {
        (None, _) => Standing::Stays(
            "set up to stay, or used by a run that has ended; \"cdc-bench cleanup\" removes it"
                .to_owned(),
        ),
        // A pooler may keep a lock that its taker has no part in any more.
        (Some(_), None) => Standing::Unknown,
        (Some(_), Some(_)) if lives => Standing::Alive,
        (Some(_), Some(_)) => Standing::Dead,
    };
    let named = |run: &str| format!("{} {run}", owner.as_deref().unwrap_or("run"));
    Some(OwnedResource {
        owner: run.map(named).unwrap_or_default(),
        standing,
        age: Some(seconds(row.get(4))),
        entry,
    })
}

fn of_capture(captured: CapturedResource) -> OwnedResource {
    let CapturedResource { entry, slot, used } = captured;
    let standing = match used {
        SlotUse::Held => Standing::Alive,
        SlotUse::Kept => Standing::Stays(format!(
            "the next capture with slot {slot} goes on with it; \"cdc-bench cleanup\" removes it"
        )),
        SlotUse::Gone => Standing::Dead,
    };
    let kind = ResourceKind::Capture;
    OwnedResource {
        owner: format!("{kind} with slot {slot}"),
        entry,
        standing,
        age: None,
    }
}

fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number).unwrap_or_default()
}
