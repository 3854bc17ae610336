//! WAL and record: which entry is of the same change.

use std::sync::Arc;

use super::super::ChangeId;
use super::ObservationJoiner;
use super::entry::Entry;
use super::fit::fit;

impl ObservationJoiner {
    /// Whether a change is in the sample. One without an LSN is followed if its change in the WAL is.
    pub(super) fn follows(&self, id: &ChangeId) -> bool {
        match id.lsn {
            Some(lsn) => self.sample.takes(lsn),
            None => {
                self.sample.is_all() || self.partner(id, |entry| entry.recorded.is_none()).is_some()
            }
        }
    }

    /// The entry of the same change that lacks something: by its LSN, of several with the same LSN the one that fits best; without
    /// an LSN the first of its row.
    pub(super) fn partner(&self, id: &ChangeId, lacks: impl Fn(&Entry) -> bool) -> Option<u64> {
        let Some(lsn) = id.lsn else {
            let first = self.unrecorded.first_of_row(id)?;
            return Some(first).filter(|key| self.entries.get(key).is_some_and(&lacks));
        };
        let entries = self.by_lsn.get(&(Arc::clone(&id.table), lsn))?;
        let lacking = entries.iter().filter(|key| lacks(&self.entries[*key]));
        let fitting = lacking.filter_map(|key| Some((fit(&self.entries[key].id, id)?, *key)));
        // Of those that fit equally the first.
        fitting.min_by_key(|(fit, _)| *fit).map(|(_, key)| key)
    }

    /// The first record of the same row that came without an LSN and before its change.
    pub(super) fn earlier_record(&self, id: &ChangeId) -> Option<u64> {
        if !self.by_row {
            return None;
        }
        let is_it = |key: &&u64| {
            let entry = &self.entries[*key];
            entry.id.lsn.is_none() && entry.is_of_row(id)
        };
        self.uncaptured.values().find(is_it).copied()
    }

    pub(super) fn is_duplicate(&self, id: &ChangeId) -> bool {
        let in_flight = self.partner(id, |entry| {
            entry.recorded.is_some() && entry.id.key == id.key
        });
        self.recent.contains(id) || (id.lsn.is_some() && in_flight.is_some())
    }
}
