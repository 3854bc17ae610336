//! What captures leave in PostgreSQL on purpose, or because they were killed. They write nothing into the registry, which would
//! be a table among those that are captured: a comment on the publication says whose it is, and which slot came with it.

use pgcdc::SlotName;
use tokio_postgres::Client;

use super::resource_registry::{RegistryEntry, ResourceKind};
use super::session_lock::{HELD, OF_CAPTURE, is_held};

/// Comment on the publication of a capture that creates its slot too. The slot's name follows.
const WITH_SLOT: &str = "made by cdc-bench capture with slot ";
/// Comment on the publication of a capture with a slot that was there. Its name follows.
const FOR_SLOT: &str = "made by cdc-bench capture for slot ";

/// The comment on a capture's publications.
pub(crate) fn publication_comment(slot: &SlotName, is_new_slot: bool) -> String {
    let beginning = if is_new_slot { WITH_SLOT } else { FOR_SLOT };
    format!("{beginning}{slot}")
}

/// What has become of a capture's slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SlotUse {
    /// A capture holds its lock, or the slot is a temporary one, which is there as long as its capture.
    Held,
    /// It is there for the next capture.
    Kept,
    /// It is not there, and no capture is about to create it.
    Gone,
}

/// A publication of a capture, or the slot that came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CapturedResource {
    pub(super) entry: RegistryEntry,
    /// The capture's slot.
    pub(super) slot: String,
    pub(super) used: SlotUse,
}

/// The publications that captures have created in this database, and the slots that they have created.
///
/// # Errors
/// When the database refuses.
pub(super) async fn resources_of_captures(
    client: &Client,
) -> Result<Vec<CapturedResource>, tokio_postgres::Error> {
    let question = format!(
        "WITH {HELD}, made AS (SELECT p.pubname::text, starts_with(d.description, $1) AS is_with_slot, \
             substr(d.description, length(CASE WHEN starts_with(d.description, $1) THEN $1 ELSE $2 END) + 1) AS slot \
           FROM pg_publication p JOIN pg_description d ON d.objoid = p.oid AND d.classoid = 'pg_publication'::regclass \
           WHERE starts_with(d.description, $1) OR starts_with(d.description, $2)) \
         SELECT made.pubname, made.slot, made.is_with_slot, s.temporary, {lives} \
         FROM made LEFT JOIN pg_replication_slots s ON s.slot_name::text = made.slot AND s.database = current_database() ORDER BY made.pubname",
        lives = is_held("$3", "made.slot"),
    );
    let rows = client
        .query(&question, &[&WITH_SLOT, &FOR_SLOT, &OF_CAPTURE])
        .await?;
    let mut resources = Vec::new();
    for row in rows {
        let (slot, is_temporary): (String, Option<bool>) = (row.get(1), row.get(3));
        let used = match is_temporary {
            _ if row.get(4) => SlotUse::Held,
            Some(true) => SlotUse::Held,
            Some(false) => SlotUse::Kept,
            None => SlotUse::Gone,
        };
        let is_with_slot: bool = row.get(2);
        let made_slot = is_with_slot && is_temporary.is_some();
        let found = std::iter::once((ResourceKind::Publication, row.get(0)))
            .chain(made_slot.then(|| (ResourceKind::Slot, slot.clone())));
        for (kind, name) in found {
            let resource = CapturedResource {
                entry: RegistryEntry::lasting(kind, name),
                slot: slot.clone(),
                used,
            };
            // A slot may have two publications.
            if !resources.contains(&resource) {
                resources.push(resource);
            }
        }
    }
    Ok(resources)
}

/// The same, whatever has become of their captures.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn left_by_captures(
    client: &Client,
) -> Result<Vec<RegistryEntry>, tokio_postgres::Error> {
    let resources = resources_of_captures(client).await?;
    Ok(resources.into_iter().map(|found| found.entry).collect())
}
