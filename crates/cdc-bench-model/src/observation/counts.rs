//! Changes counted at each tap.

use serde::{Deserialize, Serialize};

/// Changes at each tap, and what became of them. All of them, whether in the sample or not, unless it says otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservationCounts {
    /// Changes of the observed tables in the WAL.
    pub captured: u64,
    /// Records with a change in the topics.
    pub in_kafka: u64,
    /// Changes with all their stamps; of the sample.
    pub completed: u64,
    /// Of them, those that the sink showed by a later write of the same row.
    pub coalesced: u64,
    /// Updates that the group has passed and for which the sink showed no write: they changed nothing there, or were lost. Changes of a
    /// row that was deleted again before the sink showed any of them. And changes whose write may have come while the sink's tap was cut.
    pub not_shown: u64,
    /// Changes that have not come when everything after them has; of the sample.
    pub missing: u64,
    /// Records of a change that had come before.
    pub duplicates: u64,
    /// Changes that were still under way at the end; of the sample.
    pub in_flight: u64,
    /// Records of changes from before the observation, or from a time when the WAL was not read.
    pub not_covered: u64,
    /// Writes in the sink that belong to no change seen.
    pub sink_only: u64,
    /// Records of a sink that could not be read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sink_unreadable: u64,
    /// Records that could not be read.
    pub unreadable: u64,
    /// Changes without a record, which may be among those that could not be read: never more than these; of the sample.
    #[serde(default)]
    pub unread: u64,
    /// Spans below zero by more than the clocks' error.
    pub negative_hops: u64,
    /// What was filtered on purpose, and is not missing.
    pub filtered: Filtered,
    /// Lines of the consumer's own, where it writes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<LineCounts>,
}

/// Lines in which a consumer reports what it did with its records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineCounts {
    /// Those that could be read and are of an observed topic.
    pub read: u64,
    /// Of them, those with an error: the record was not written.
    pub errors: u64,
    /// Lines that could not be read.
    pub unreadable: u64,
    /// Lines of topics that are not observed.
    pub other_topics: u64,
    /// Lines of records that our reader did not have, and which were too many to keep.
    pub not_kept: u64,
}

/// What is not followed on purpose, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filtered {
    /// Changes of published tables that are not observed: the connector leaves them out, or they were not asked for.
    pub other_tables: u64,
    /// Operations that the connector skips.
    pub skipped_operations: u64,
    /// Records of rows that a snapshot has read.
    pub snapshot_reads: u64,
    /// Records that follow a delete, without a value.
    pub tombstones: u64,
    /// Heartbeats.
    pub heartbeats: u64,
    /// Beginnings and ends of transactions.
    pub transactions: u64,
    /// Schema changes.
    pub schema_changes: u64,
    /// Messages of `pg_logical_emit_message()`.
    pub messages: u64,
    /// Records that are no change, and of no kind that is known here.
    pub others: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl ObservationCounts {
    /// What was counted after `before`; `in_flight` is of now.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let less = u64::saturating_sub;
        Self {
            captured: less(self.captured, before.captured),
            in_kafka: less(self.in_kafka, before.in_kafka),
            completed: less(self.completed, before.completed),
            coalesced: less(self.coalesced, before.coalesced),
            not_shown: less(self.not_shown, before.not_shown),
            missing: less(self.missing, before.missing),
            duplicates: less(self.duplicates, before.duplicates),
            in_flight: self.in_flight,
            not_covered: less(self.not_covered, before.not_covered),
            sink_only: less(self.sink_only, before.sink_only),
            sink_unreadable: less(self.sink_unreadable, before.sink_unreadable),
            unreadable: less(self.unreadable, before.unreadable),
            unread: less(self.unread, before.unread),
            negative_hops: less(self.negative_hops, before.negative_hops),
            filtered: self.filtered.since(&before.filtered),
            lines: self
                .lines
                .map(|lines| lines.since(&before.lines.unwrap_or_default())),
        }
    }
}

impl LineCounts {
    /// What was counted after `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let less = u64::saturating_sub;
        Self {
            read: less(self.read, before.read),
            errors: less(self.errors, before.errors),
            unreadable: less(self.unreadable, before.unreadable),
            other_topics: less(self.other_topics, before.other_topics),
            not_kept: less(self.not_kept, before.not_kept),
        }
    }
}

impl Filtered {
    /// What was counted after `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let less = u64::saturating_sub;
        Self {
            other_tables: less(self.other_tables, before.other_tables),
            skipped_operations: less(self.skipped_operations, before.skipped_operations),
            snapshot_reads: less(self.snapshot_reads, before.snapshot_reads),
            tombstones: less(self.tombstones, before.tombstones),
            heartbeats: less(self.heartbeats, before.heartbeats),
            transactions: less(self.transactions, before.transactions),
            schema_changes: less(self.schema_changes, before.schema_changes),
            messages: less(self.messages, before.messages),
            others: less(self.others, before.others),
        }
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.other_tables
            + self.skipped_operations
            + self.snapshot_reads
            + self.tombstones
            + self.heartbeats
            + self.transactions
            + self.schema_changes
            + self.messages
            + self.others
    }
}
