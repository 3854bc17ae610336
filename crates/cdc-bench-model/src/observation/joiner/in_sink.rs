//! Record and sink: by table and key, in the order of the records.

use std::sync::Arc;

use super::super::sink_queue::{Shown, Waiting};
use super::super::{ChangeId, Operation, SinkChange};
use super::ObservationJoiner;
use crate::timeline::Stamp;

impl ObservationJoiner {
    /// A row was written or deleted in the sink.
    pub fn shown(&mut self, change: SinkChange) {
        let row = (change.table, change.key);
        let queue = self.sink.entry(row.clone()).or_default();
        let is_of_a_change = queue.has_waiting();
        let shown = Shown {
            is_delete: change.is_delete,
            at: change.at,
            stored: change.stored,
        };
        let resolved = queue.shown(shown);
        if is_of_a_change {
            self.sink_keys.matched(&row.0);
        } else {
            self.sink_keys.early(&row);
        }
        self.resolve(&resolved, shown);
    }

    /// Some writes in the sink before `until` were not seen.
    pub fn sink_skipped(&mut self, until: Stamp) {
        self.sink_skipped = self.sink_skipped.max(Some(until));
    }

    pub(super) fn expects_sink(&self, id: &ChangeId) -> bool {
        match id.operation {
            Operation::Truncate | Operation::Message => false,
            Operation::Delete if self.config.without_deletions.contains(&id.table) => false,
            _ => self.config.sink_tables.contains(&id.table),
        }
    }

    /// One that is not followed takes its turn among those of its row that are.
    pub(super) fn take_turn(&mut self, id: &ChangeId, since: Stamp) {
        let row = (Arc::clone(&id.table), Arc::clone(&id.key));
        if let Some(queue) = self.sink.get_mut(&row).filter(|queue| queue.has_waiting()) {
            queue.expect(Waiting {
                entry: None,
                since,
                is_delete: id.operation == Operation::Delete,
                not_before: Stamp(i64::MIN),
            });
        }
    }

    pub(super) fn expect_in_sink(&mut self, id: &ChangeId, key: u64, since: Stamp) {
        let not_before = self.entries.get(&key).and_then(|entry| {
            let captured = entry.captured?;
            let bound = self.corrections.postgres_bound;
            Some(self.corrections.postgres.to_ours(captured.tc) - bound)
        });
        let row = (Arc::clone(&id.table), Arc::clone(&id.key));
        self.sink_keys.expected(&row);
        let expected = self.sink.entry(row).or_default().expect(Waiting {
            entry: Some(key),
            since,
            is_delete: id.operation == Operation::Delete,
            not_before: not_before.unwrap_or(Stamp(i64::MIN)),
        });
        if let Some((resolved, shown)) = expected {
            self.sink_keys.matched(&id.table);
            self.resolve(&resolved, shown);
        }
    }

    /// The sink has shown these; all but the last were merged into its write.
    pub(super) fn resolve(&mut self, keys: &[u64], shown: Shown) {
        let merged = keys.len().saturating_sub(1);
        self.counts.coalesced += u64::try_from(merged).unwrap_or(u64::MAX);
        for key in keys {
            self.enter(*key, |entry| entry.show(shown));
            let recorded = self.entries.get(key).and_then(|entry| entry.recorded);
            if let Some(position) = recorded.map(|recorded| recorded.position) {
                let partition = self.partition(position);
                partition.shown = partition.shown.max(Some(position.offset));
            }
            self.complete(*key);
        }
    }
}
