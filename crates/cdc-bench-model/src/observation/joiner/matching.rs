//! WAL and record: which entry is of the same change.

use std::sync::Arc;

use super::super::ChangeId;
use super::ObservationJoiner;
use super::entry::Entry;
use super::fit::fit;

/// What decides whether a change is followed.
enum SampledBy {
    Lsn(u64),
    /// Its records have no LSN, or none was seen yet that has one.
    Row,
}

impl ObservationJoiner {
    /// Whether a change is in the sample.
    pub(super) fn follows(&self, id: &ChangeId) -> bool {
        // By its row: the other tap may have the key in another form.
        self.is_sampled(id) || (id.lsn.is_some() && self.partner(id, |_| true).is_some())
    }

    /// Whether a change with this very id is in the sample.
    pub(super) fn is_sampled(&self, id: &ChangeId) -> bool {
        match self.sampled_by(id) {
            SampledBy::Lsn(lsn) => self.sample.takes(lsn),
            SampledBy::Row => self.sample.takes_row_of(id),
        }
    }

    /// How many changes one of the sample stands for.
    pub(super) fn weight(&self, id: &ChangeId) -> u64 {
        match self.sampled_by(id) {
            SampledBy::Lsn(lsn) => self.sample.weight(lsn),
            SampledBy::Row => self.sample.weight_of_rows(),
        }
    }

    fn sampled_by(&self, id: &ChangeId) -> SampledBy {
        let from = self.sampled_by_lsn_from.get(&id.table);
        match (id.lsn, from) {
            (Some(lsn), Some(from)) if lsn >= *from => SampledBy::Lsn(lsn),
            _ => SampledBy::Row,
        }
    }

    /// A record of this table has an LSN, or has none.
    pub(super) fn note_form(&mut self, id: &ChangeId) {
        if id.lsn.is_none() {
            self.by_row = true;
        } else if !self.sampled_by_lsn_from.contains_key(&id.table) {
            // What was left out by its row stays so.
            let from = match self.sample.is_all() {
                true => 0,
                false => self.latest_lsn + 1,
            };
            let table = Arc::clone(&id.table);
            self.sampled_by_lsn_from.insert(table, from);
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
