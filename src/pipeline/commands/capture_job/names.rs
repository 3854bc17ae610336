//! Names of what a capture creates in PostgreSQL.

use pgcdc::{InvalidSlotName, SlotName};

/// Prefix of the publication of tables with a replica identity, and of the slot of a capture that names none.
const PREFIX: &str = "cdc_bench_capture_";
/// Prefix, of the same length, of the publication of tables without one.
const INSERTS_PREFIX: &str = "cdc_bench_inserts_";
/// Longest identifier of PostgreSQL, bytes: it cuts longer ones.
const LONGEST: usize = 63;

/// Names of a capture's publications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublicationNames {
    pub(super) whole: String,
    pub(super) inserts: String,
}

/// A slot name that no other capture has.
pub(super) fn random_slot_name() -> Result<SlotName, InvalidSlotName> {
    SlotName::new(&format!(
        "{PREFIX}{:012x}",
        rand::random::<u64>() & 0xffff_ffff_ffff
    ))
}

/// The publications of a slot: the same at every start.
pub(super) fn publication_names(slot: &SlotName) -> PublicationNames {
    let slot = slot.as_str();
    let name = slot.strip_prefix(PREFIX).unwrap_or(slot);
    PublicationNames {
        whole: shortened(PREFIX, name),
        inserts: shortened(INSERTS_PREFIX, name),
    }
}

/// Prefix and name; a name that is too long ends with a hash of all of it.
fn shortened(prefix: &str, name: &str) -> String {
    let room = LONGEST - prefix.len();
    if name.len() <= room {
        return format!("{prefix}{name}");
    }
    // FNV-1a: it must be the same in every version.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // A slot's name is ASCII.
    format!("{prefix}{}_{:012x}", &name[..room - 13], hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(slot: &str) -> PublicationNames {
        publication_names(&SlotName::new(slot).unwrap())
    }

    #[test]
    fn every_slot_has_publications_of_its_own_that_no_server_cuts() {
        assert_eq!(names("mine").whole, "cdc_bench_capture_mine");
        assert_eq!(names("mine").inserts, "cdc_bench_inserts_mine");
        let mut seen = std::collections::BTreeSet::new();
        for length in 1..=63 {
            for last in ["a", "b"] {
                let slot = format!("{}{last}", "s".repeat(length - 1));
                let PublicationNames { whole, inserts } = names(&slot);
                assert!(
                    whole.len() <= 63 && inserts.len() <= 63,
                    "{whole} {inserts}"
                );
                assert!(seen.insert(whole) && seen.insert(inserts), "{slot}");
            }
        }
    }

    #[test]
    fn a_random_name_is_another_each_time() {
        let (first, second) = (random_slot_name().unwrap(), random_slot_name().unwrap());
        assert_ne!(first, second);
        assert_eq!(first.as_str().len(), PREFIX.len() + 12);
        assert_eq!(publication_names(&first).whole, first.as_str());
    }
}
