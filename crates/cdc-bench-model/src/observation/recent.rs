//! Changes that left the joiner a short while ago: one of them that comes again is a duplicate.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use super::ChangeId;

/// How many are remembered.
const CAPACITY: usize = 131_072;

/// Hashes of the changes that left last.
#[derive(Debug, Default)]
pub(super) struct RecentChanges {
    hasher: RandomState,
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl RecentChanges {
    /// Remembers one that has an LSN: without it, the next change of a row looks the same.
    pub(super) fn add(&mut self, id: &ChangeId) {
        if id.lsn.is_none() {
            return;
        }
        let hash = self.hasher.hash_one(id);
        if !self.known.insert(hash) {
            return;
        }
        self.order.push_back(hash);
        if self.order.len() > CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Whether it is one of them.
    pub(super) fn contains(&self, id: &ChangeId) -> bool {
        id.lsn.is_some() && self.known.contains(&self.hasher.hash_one(id))
    }
}
