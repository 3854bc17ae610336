//! What captures leave in PostgreSQL on purpose, or because they were killed. They write nothing into the registry, which would
//! be a table among those that are captured: a comment on the publication says whose it is, and which slot came with it.

use pgcdc::SlotName;
use tokio_postgres::Client;

use super::resource_registry::{RegistryEntry, ResourceKind};

/// Comment on the publication of a capture that creates its slot too. The slot's name follows.
const WITH_SLOT: &str = "made by cdc-bench capture with slot ";
/// Comment on the publication of a capture with a slot that was there. Its name follows.
const FOR_SLOT: &str = "made by cdc-bench capture for slot ";

/// The comment on a capture's publications.
pub(crate) fn publication_comment(slot: &SlotName, is_new_slot: bool) -> String {
    let beginning = if is_new_slot { WITH_SLOT } else { FOR_SLOT };
    format!("{beginning}{slot}")
}

/// The publications that captures have created in this database, and the slots that they have created.
///
/// # Errors
/// When the database refuses.
pub(crate) async fn left_by_captures(
    client: &Client,
) -> Result<Vec<RegistryEntry>, tokio_postgres::Error> {
    let question = "SELECT p.pubname::text, \
           (SELECT s.slot_name::text FROM pg_replication_slots s WHERE s.database = current_database() AND d.description = $1 || s.slot_name) \
         FROM pg_publication p JOIN pg_description d ON d.objoid = p.oid AND d.classoid = 'pg_publication'::regclass \
         WHERE starts_with(d.description, $1) OR starts_with(d.description, $2) ORDER BY p.pubname";
    let mut entries = Vec::new();
    for row in client.query(question, &[&WITH_SLOT, &FOR_SLOT]).await? {
        let slot: Option<String> = row.get(1);
        let found = std::iter::once((ResourceKind::Publication, row.get(0)))
            .chain(slot.map(|slot| (ResourceKind::Slot, slot)));
        for (kind, name) in found {
            let entry = RegistryEntry {
                kind,
                name,
                run_id: None,
            };
            // A slot may have two publications.
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        }
    }
    Ok(entries)
}
