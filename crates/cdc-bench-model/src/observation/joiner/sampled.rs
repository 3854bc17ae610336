//! The limit of the changes in flight, kept by following a sample.

use super::super::ChangeId;
use super::ObservationJoiner;
use crate::timeline::{Nanos, Stamp};

/// The sample grows where this share of the limit would have done,
const ROOM: usize = 8;
/// for so long.
const ROOMY: Nanos = Nanos::from_millis(10_000);

impl ObservationJoiner {
    /// Follows half as many where there are too many, of those in flight as well.
    pub(super) fn keep_within_limit(&mut self) {
        if self.entries.len() <= self.config.limit {
            return;
        }
        self.sample.shrink();
        self.roomy_since = None;
        let entries = self.entries.iter();
        let left = entries.filter(|(_, entry)| !self.is_sampled(&entry.id));
        let left: Vec<_> = left.map(|(key, _)| *key).collect();
        for key in left {
            if let Some(entry) = self.remove(key) {
                self.unfollow(entry.id, key);
            }
        }
    }

    /// Lets a change that is not followed any more keep its turn in the sink.
    pub(super) fn unfollow(&mut self, id: ChangeId, key: u64) {
        if let Some(queue) = self.sink.get_mut(&(id.table, id.key)) {
            queue.unfollow(key);
        }
    }

    /// Follows twice as many of the changes to come, once there has been room for some time.
    pub(super) fn grow(&mut self, now: Stamp) {
        if self.sample.is_all_of_the_latest() || self.entries.len() > self.config.limit / ROOM {
            self.roomy_since = None;
            return;
        }
        if now - *self.roomy_since.get_or_insert(now) >= ROOMY {
            self.sample.grow(self.latest_lsn + 1);
            self.roomy_since = None;
        }
    }
}
