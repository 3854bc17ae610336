//! The changes of the WAL that have no record yet, in the WAL's order.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::super::ChangeId;

/// Table and key.
type Row = (Arc<str>, Arc<str>);

/// Entries by the number of their change in the WAL, and the numbers by row: a record without an LSN is of the first of its row.
#[derive(Debug, Default)]
pub(super) struct Unrecorded {
    entries: BTreeMap<u64, u64>,
    rows: HashMap<Row, BTreeSet<u64>>,
}

fn row(id: &ChangeId) -> Row {
    (Arc::clone(&id.table), Arc::clone(&id.key))
}

impl Unrecorded {
    pub(super) fn insert(&mut self, number: u64, entry: u64, id: &ChangeId) {
        self.entries.insert(number, entry);
        self.rows.entry(row(id)).or_default().insert(number);
    }

    pub(super) fn remove(&mut self, number: u64, id: &ChangeId) {
        if self.entries.remove(&number).is_none() {
            return;
        }
        let row = row(id);
        if let Some(numbers) = self.rows.get_mut(&row) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.rows.remove(&row);
            }
        }
    }

    /// The entry of the first change.
    pub(super) fn first(&self) -> Option<u64> {
        self.entries.values().next().copied()
    }

    /// The entry of the row's first change.
    pub(super) fn first_of_row(&self, id: &ChangeId) -> Option<u64> {
        let first = self.rows.get(&row(id))?.first()?;
        self.entries.get(first).copied()
    }

    /// Entries of changes before this number.
    pub(super) fn before(&self, number: u64) -> Vec<u64> {
        let before = self.entries.range(..number);
        before.map(|(_, entry)| *entry).collect()
    }
}
