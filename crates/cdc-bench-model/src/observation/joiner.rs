//! Puts together what the taps report of each change.
//!
//! WAL and record meet by table, LSN and key; several rows of one WAL record (`COPY`) have one LSN. A record without an LSN is of
//! the oldest change of its key that has no record yet. Record and sink meet by table and key, in the order of the records.

mod causality;
mod consumed;
mod early_reports;
mod entry;
mod fit;
mod in_sink;
mod matching;
mod overdue;
mod reached;
mod sampled;
mod sink_keys;
#[cfg(test)]
mod tests;
mod unrecorded;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use self::causality::CausalBounds;
use self::early_reports::EarlyReports;
use self::entry::{Captured, Entry, Recorded};
use self::reached::Reached;
pub use self::sink_keys::OtherKeys;
use self::sink_keys::SinkKeys;
use self::unrecorded::Unrecorded;
use super::committed::CommittedOffsets;
use super::missing::MissingChange;
use super::recent::RecentChanges;
use super::sampling::Sample;
use super::sink_queue::SinkQueue;
use super::{
    CapturedChange, ChangeId, ObservationCounts, ObservedStamps, Operation, RecordPosition,
    RecordedChange,
};
use crate::timeline::{ClockOffset, Corrections, Nanos, OffsetLine, Stamp};

/// What is tapped, and what bounds the joiner.
#[derive(Debug, Clone)]
pub struct JoinerConfig {
    /// Most changes in flight. Beyond it a smaller sample is followed.
    pub limit: usize,
    /// How long what comes after a change waits for it before it is missing: taps are not equally quick.
    pub grace: Nanos,
    /// Partitions of each tapped topic.
    pub partitions: Vec<i32>,
    /// Whether a group's committed offsets are polled.
    pub has_group: bool,
    /// Tables that the sink is tapped for.
    pub sink_tables: HashSet<Arc<str>>,
    /// Those of them whose deletions the sink does not show.
    pub without_deletions: HashSet<Arc<str>>,
    /// Whether a consumer reports its records one by one, by their positions, in place of rows by their keys.
    pub reports_records: bool,
}

/// A change with its stamps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedChange {
    /// Which change.
    pub id: ChangeId,
    /// Where its record is.
    pub position: RecordPosition,
    /// Its stamps.
    pub stamps: ObservedStamps,
    /// How many changes it stands for, where a sample is followed.
    pub weight: u64,
}

/// A partition of a tapped topic, as far as it was seen.
#[derive(Debug, Clone, Default)]
struct PartitionSeen {
    /// The offset after the last record seen.
    next: i64,
    /// Number in the WAL of the last change whose record is in it.
    frontier: Option<u64>,
    /// Everything that was appended before this time was seen.
    complete_until: Option<Stamp>,
    committed: CommittedOffsets,
    /// Offset of the last record that the sink has shown.
    shown: Option<i64>,
}

/// Joins changes. It holds those in flight, and no more than its limit.
#[derive(Debug)]
pub struct ObservationJoiner {
    config: JoinerConfig,
    corrections: Corrections,
    causality: CausalBounds,
    sample: Sample,
    /// Greatest LSN that a tap has shown.
    latest_lsn: u64,
    /// Since when the sample could be larger.
    roomy_since: Option<Stamp>,
    entries: HashMap<u64, Entry>,
    next_entry: u64,
    by_lsn: HashMap<(Arc<str>, u64), Vec<u64>>,
    unrecorded: Unrecorded,
    captured: u64,
    /// Of the changes held, those that the WAL has shown.
    in_flight: u64,
    partitions: HashMap<(usize, i32), PartitionSeen>,
    /// Changes that wait for the group or the sink, by their record.
    unshown: BTreeMap<RecordPosition, u64>,
    /// Records without a change of the WAL, by when they came.
    uncaptured: BTreeMap<(Stamp, u64), u64>,
    sink: HashMap<(Arc<str>, Arc<str>), SinkQueue>,
    /// Unreadable records that no change without a record has been taken for yet.
    unread: u64,
    /// Everything that was committed before it, on PostgreSQL's clock, has been captured: changes come in the order of their commits.
    captured_until: Option<Stamp>,
    sink_keys: SinkKeys,
    /// Writes in the sink before it may not have been seen.
    sink_skipped: Option<Stamp>,
    /// What the consumer has reported of records that our reader does not have yet.
    early: EarlyReports,
    /// The offset of the sink's own clock.
    sink_clock: OffsetLine,
    /// Whether that clock counts microseconds.
    has_microseconds: bool,
    /// Whether records have come without an LSN.
    by_row: bool,
    /// Tables whose records have an LSN, and from which LSN on their changes are sampled by it; by their rows before.
    sampled_by_lsn_from: HashMap<Arc<str>, u64>,
    /// How far every partition had come at each judgement of late.
    reached: VecDeque<Reached>,
    recent: RecentChanges,
    counts: ObservationCounts,
    completed: Vec<ObservedChange>,
    missing: Vec<MissingChange>,
}

impl ObservationJoiner {
    /// Without changes yet.
    #[must_use]
    pub fn new(config: JoinerConfig) -> Self {
        Self {
            config,
            corrections: Corrections::default(),
            causality: CausalBounds::default(),
            sample: Sample::default(),
            latest_lsn: 0,
            roomy_since: None,
            entries: HashMap::new(),
            next_entry: 0,
            by_lsn: HashMap::new(),
            unrecorded: Unrecorded::default(),
            captured: 0,
            in_flight: 0,
            partitions: HashMap::new(),
            unshown: BTreeMap::new(),
            uncaptured: BTreeMap::new(),
            sink: HashMap::new(),
            unread: 0,
            captured_until: None,
            sink_keys: SinkKeys::default(),
            sink_skipped: None,
            early: EarlyReports::default(),
            sink_clock: OffsetLine::default(),
            has_microseconds: false,
            by_row: false,
            sampled_by_lsn_from: HashMap::new(),
            reached: VecDeque::new(),
            recent: RecentChanges::default(),
            counts: ObservationCounts::default(),
            completed: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// Corrects stamps by these from now on.
    pub fn correct(&mut self, corrections: Corrections) {
        self.corrections = corrections;
    }

    /// A commit's time on our clock, and how far that may be off.
    #[must_use]
    pub fn committed_at(&self, tc: Stamp) -> (Stamp, Nanos) {
        let corrections = &self.corrections;
        (corrections.postgres.to_ours(tc), corrections.postgres_bound)
    }

    /// Whether a change of the WAL is in the sample.
    #[must_use]
    pub fn is_followed(&self, change: &CapturedChange) -> bool {
        self.follows(&change.id)
    }

    /// What the changes since the last call say of the offset of Connect's clock, and of the broker's.
    pub fn take_clock_bounds(&mut self) -> (Option<ClockOffset>, Option<ClockOffset>) {
        self.causality.take()
    }

    /// When the oldest change of the WAL was committed whose record is not in Kafka yet; of the sample.
    #[must_use]
    pub fn oldest_unrecorded(&self) -> Option<Stamp> {
        let first = self.unrecorded.first()?;
        let captured = self.entries.get(&first)?.captured?;
        Some(self.corrections.postgres.to_ours(captured.tc))
    }

    /// The counters; `in_flight` is of now: changes of the WAL that lack a stamp.
    #[must_use]
    pub fn counts(&self) -> ObservationCounts {
        ObservationCounts {
            in_flight: self.in_flight,
            ..self.counts
        }
    }

    /// Changes held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.entries.len()
    }

    /// The counters, for what only the taps see.
    pub fn counts_mut(&mut self) -> &mut ObservationCounts {
        &mut self.counts
    }

    /// Whether every change is followed, or a sample.
    #[must_use]
    pub fn follows_all(&self) -> bool {
        self.sample.is_all()
    }

    /// The changes completed since the last call.
    pub fn take_completed(&mut self) -> Vec<ObservedChange> {
        std::mem::take(&mut self.completed)
    }

    /// The changes found missing since the last call.
    pub fn take_missing(&mut self) -> Vec<MissingChange> {
        std::mem::take(&mut self.missing)
    }

    /// Says, once, that the sink has other keys than the changes.
    pub fn take_other_keys(&mut self) -> Option<OtherKeys> {
        self.sink_keys.take_other()
    }

    /// A change of an observed table in the WAL.
    pub fn captured(&mut self, change: CapturedChange) {
        self.counts.captured += 1;
        self.latest_lsn = self.latest_lsn.max(change.id.lsn.unwrap_or(0));
        self.captured_until = self.captured_until.max(Some(change.tc));
        let number = self.captured;
        self.captured += 1;
        if !self.follows(&change.id) {
            return;
        }
        let captured = Captured {
            tc: change.tc,
            t1: change.t1,
            number,
        };
        self.in_flight += 1;
        let waiting = self.partner(&change.id, |entry| entry.captured.is_none());
        match waiting.or_else(|| self.earlier_record(&change.id)) {
            Some(key) => {
                self.enter(key, |entry| entry.captured = Some(captured));
                self.recorded_in_order(key);
                self.complete(key);
            }
            None => {
                let mut entry = Entry::new(change.id.clone());
                entry.captured = Some(captured);
                let key = self.insert(entry);
                self.unrecorded.insert(number, key, &change.id);
            }
        }
        self.keep_within_limit();
    }

    /// A record with a change, whether of an observed table or of a snapshot or not, has been seen: for the partition's progress.
    pub fn seen(&mut self, position: RecordPosition) {
        self.pass(position);
        // Of no change, whatever its consumer says of it.
        self.early.take(position);
    }

    fn pass(&mut self, position: RecordPosition) {
        let partition = self.partition(position);
        partition.next = partition.next.max(position.offset + 1);
    }

    /// A record has been seen that could not be read.
    pub fn unreadable(&mut self, position: RecordPosition) {
        self.seen(position);
        self.counts.unreadable += 1;
        self.unread += 1;
    }

    /// A record with a change.
    pub fn recorded(&mut self, change: RecordedChange) {
        self.pass(change.position);
        let report = self.early.take(change.position);
        if change.id.operation == Operation::Read {
            self.counts.filtered.snapshot_reads += 1;
            return;
        }
        self.counts.in_kafka += 1;
        let RecordedChange { id, position, .. } = change;
        self.latest_lsn = self.latest_lsn.max(id.lsn.unwrap_or(0));
        self.note_form(&id);
        let expects_sink = self.expects_sink(&id);
        if !self.follows(&id) {
            if expects_sink && !self.config.reports_records {
                self.take_turn(&id, change.t3);
            }
            return;
        }
        let recorded = Recorded {
            position,
            td: change.td,
            t2: change.t2,
            stamped_by: change.stamped_by,
            t3: change.t3,
        };
        let key = match self.partner(&id, |entry| entry.recorded.is_none()) {
            Some(key) => key,
            None if self.is_duplicate(&id) => {
                self.counts.duplicates += 1;
                return;
            }
            None => {
                let key = self.insert(Entry::new(id.clone()));
                self.uncaptured.insert((change.t3, key), key);
                key
            }
        };
        let tg = self.partition(position).committed.passed(position.offset);
        self.enter(key, |entry| {
            entry.recorded = Some(recorded);
            entry.tg = tg;
        });
        self.recorded_in_order(key);
        // The form that the sink has, too, and a duplicate.
        self.enter(key, |entry| entry.id.key = Arc::clone(&id.key));
        if self.config.has_group || expects_sink {
            self.unshown.insert(position, key);
        }
        if let Some(report) = report.filter(|_| expects_sink) {
            self.take_report(key, &report);
        }
        if expects_sink && !self.config.reports_records {
            self.expect_in_sink(&id, key, change.t3);
        }
        self.complete(key);
        self.keep_within_limit();
    }

    /// The group has committed everything before `next`, at some time that is taken for `at`.
    pub fn committed(&mut self, topic: usize, partition: i32, next: i64, at: Stamp) {
        let first = RecordPosition {
            topic,
            partition,
            offset: i64::MIN,
        };
        let end = RecordPosition {
            offset: next,
            ..first
        };
        self.partition(first).committed.add(next, at);
        let passed: Vec<_> = self
            .unshown
            .range(first..end)
            .map(|(_, key)| *key)
            .collect();
        for key in passed {
            self.enter(key, |entry| entry.tg = entry.tg.or(Some(at)));
            self.complete(key);
        }
    }

    /// At `at`, the partition's end was `end`.
    pub fn ends(&mut self, topic: usize, partition: i32, end: i64, at: Stamp) {
        let seen = self.partitions.entry((topic, partition)).or_default();
        if seen.next >= end {
            seen.complete_until = Some(at);
        }
    }

    /// Our reader of a topic has had everything before this position.
    pub fn read_up_to(&mut self, position: RecordPosition) {
        let partition = self.partition(position);
        partition.next = partition.next.max(position.offset);
    }

    fn insert(&mut self, entry: Entry) -> u64 {
        let key = self.next_entry;
        self.next_entry += 1;
        if let Some(lsn) = entry.id.lsn {
            let place = (Arc::clone(&entry.id.table), lsn);
            self.by_lsn.entry(place).or_default().push(key);
        }
        self.entries.insert(key, entry);
        key
    }

    fn enter(&mut self, key: u64, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.get_mut(&key) {
            change(entry);
        }
    }

    /// Once WAL and record have met: how far the record's partition has come.
    fn recorded_in_order(&mut self, key: u64) {
        let Some(entry) = self.entries.get(&key) else {
            return;
        };
        if let (Some(captured), Some(recorded)) = (entry.captured, entry.recorded) {
            let id = entry.id.clone();
            self.unrecorded.remove(captured.number, &id);
            self.uncaptured.remove(&(recorded.t3, key));
            let partition = self.partition(recorded.position);
            partition.frontier = partition.frontier.max(Some(captured.number));
        }
    }

    fn partition(&mut self, position: RecordPosition) -> &mut PartitionSeen {
        let place = (position.topic, position.partition);
        self.partitions.entry(place).or_default()
    }

    /// Lets a change go that has all its stamps.
    fn complete(&mut self, key: u64) {
        let Some(entry) = self.entries.get(&key) else {
            return;
        };
        let is_over = if self.expects_sink(&entry.id) {
            entry.is_shown()
        } else {
            // A message is for nobody in particular: it ends in Kafka.
            let is_message = entry.id.operation == Operation::Message;
            is_message || !self.config.has_group || entry.tg.is_some()
        };
        if !is_over {
            return;
        }
        let Some((position, stamps)) = entry.stamps(&self.corrections, &self.sink_clock) else {
            return;
        };
        if let Some(entry) = self.remove(key) {
            self.causality.observe(&entry, &self.corrections);
            self.counts.completed += 1;
            self.recent.add(&entry.id);
            self.completed.push(ObservedChange {
                weight: self.weight(&entry.id),
                id: entry.id,
                position,
                stamps,
            });
        }
    }

    fn remove(&mut self, key: u64) -> Option<Entry> {
        let entry = self.entries.remove(&key)?;
        if let Some(lsn) = entry.id.lsn {
            let place = (Arc::clone(&entry.id.table), lsn);
            if let Some(same) = self.by_lsn.get_mut(&place) {
                same.retain(|other| *other != key);
                if same.is_empty() {
                    self.by_lsn.remove(&place);
                }
            }
        }
        if let Some(captured) = entry.captured {
            self.in_flight -= 1;
            self.unrecorded.remove(captured.number, &entry.id);
        }
        if let Some(recorded) = entry.recorded {
            self.unshown.remove(&recorded.position);
            self.uncaptured.remove(&(recorded.t3, key));
        }
        Some(entry)
    }
}
