//! Puts together what the taps report of each change.
//!
//! WAL and record meet by table, LSN and key; several rows of one WAL record (`COPY`) have one LSN. A record without an LSN is of
//! the oldest change of its key that has no record yet. Record and sink meet by table and key, in the order of the records.

mod causality;
mod consumed;
mod early_reports;
mod entry;
mod overdue;
mod reached;
mod sink_keys;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use self::causality::CausalBounds;
use self::early_reports::EarlyReports;
use self::entry::{Captured, Entry, Recorded};
use self::reached::Reached;
pub use self::sink_keys::OtherKeys;
use self::sink_keys::SinkKeys;
use super::committed::CommittedOffsets;
use super::missing::MissingChange;
use super::recent::RecentChanges;
use super::sampling::Sample;
use super::sink_queue::{SinkQueue, Waiting};
use super::{
    CapturedChange, ChangeId, ObservationCounts, ObservedStamps, Operation, RecordPosition,
    RecordedChange, SinkChange,
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
    entries: HashMap<u64, Entry>,
    next_entry: u64,
    by_lsn: HashMap<(Arc<str>, u64), Vec<u64>>,
    /// Changes in the WAL without a record, by their number there.
    unrecorded: BTreeMap<u64, u64>,
    captured: u64,
    partitions: HashMap<(usize, i32), PartitionSeen>,
    /// Changes that wait for the group or the sink, by their record.
    unshown: BTreeMap<RecordPosition, u64>,
    /// Records without a change of the WAL, by when they came.
    uncaptured: BTreeMap<(Stamp, u64), u64>,
    sink: HashMap<(Arc<str>, Arc<str>), SinkQueue>,
    sink_keys: SinkKeys,
    /// What the consumer has reported of records that our reader does not have yet.
    early: EarlyReports,
    /// The offset of the sink's own clock.
    sink_clock: OffsetLine,
    /// Whether that clock counts microseconds.
    has_microseconds: bool,
    /// Whether records have come without an LSN.
    by_row: bool,
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
            sample: Sample::ALL,
            entries: HashMap::new(),
            next_entry: 0,
            by_lsn: HashMap::new(),
            unrecorded: BTreeMap::new(),
            captured: 0,
            partitions: HashMap::new(),
            unshown: BTreeMap::new(),
            uncaptured: BTreeMap::new(),
            sink: HashMap::new(),
            sink_keys: SinkKeys::default(),
            early: EarlyReports::default(),
            sink_clock: OffsetLine::default(),
            has_microseconds: false,
            by_row: false,
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

    /// What the changes since the last call say of the offset of Connect's clock, and of the broker's.
    pub fn take_clock_bounds(&mut self) -> (Option<ClockOffset>, Option<ClockOffset>) {
        self.causality.take()
    }

    /// The counters; `in_flight` is of now: changes of the WAL that lack a stamp.
    #[must_use]
    pub fn counts(&self) -> ObservationCounts {
        let captured = self
            .entries
            .values()
            .filter(|entry| entry.captured.is_some());
        ObservationCounts {
            in_flight: u64::try_from(captured.count()).unwrap_or(u64::MAX),
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
        let waiting = self.partner(&change.id, |entry| entry.captured.is_none());
        match waiting.or_else(|| self.earlier_record(&change.id)) {
            Some(key) => {
                self.enter(key, |entry| entry.captured = Some(captured));
                self.recorded_in_order(key);
                self.complete(key);
            }
            None => {
                let key = self.insert(Entry::new(change.id));
                self.enter(key, |entry| entry.captured = Some(captured));
                self.unrecorded.insert(number, key);
            }
        }
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
        self.by_row |= id.lsn.is_none();
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

    /// Our reader of a topic starts at this offset.
    pub fn starts(&mut self, position: RecordPosition) {
        let partition = self.partition(position);
        partition.next = partition.next.max(position.offset);
    }

    /// A row was written or deleted in the sink.
    pub fn shown(&mut self, change: SinkChange) {
        let row = (change.table, change.key);
        let queue = self.sink.entry(row.clone()).or_default();
        let is_of_a_change = queue.has_waiting();
        let resolved = queue.shown(change.is_delete, change.at);
        if is_of_a_change {
            self.sink_keys.matched();
        } else {
            self.sink_keys.early(row);
        }
        self.resolve(&resolved, change.at);
    }

    /// Whether a change is in the sample. One without an LSN is followed if its change in the WAL is.
    fn follows(&self, id: &ChangeId) -> bool {
        match id.lsn {
            Some(lsn) => self.sample.takes(lsn),
            None => {
                self.sample.is_all() || self.partner(id, |entry| entry.recorded.is_none()).is_some()
            }
        }
    }

    fn expects_sink(&self, id: &ChangeId) -> bool {
        !matches!(id.operation, Operation::Truncate | Operation::Message)
            && self.config.sink_tables.contains(&id.table)
    }

    /// The entry of the same change that lacks something: by its LSN, of several with the same LSN by its key, else the first.
    fn partner(&self, id: &ChangeId, lacks: impl Fn(&Entry) -> bool) -> Option<u64> {
        let Some(lsn) = id.lsn else {
            let of_row = |key: &&u64| {
                let entry = &self.entries[*key];
                entry.is_of_row(id) && lacks(entry)
            };
            return self.unrecorded.values().find(of_row).copied();
        };
        let entries = self.by_lsn.get(&(Arc::clone(&id.table), lsn))?;
        let lacking = || entries.iter().filter(|key| lacks(&self.entries[*key]));
        let same = |key: &&u64| {
            let known = &self.entries[*key].id;
            known.key == id.key && known.operation == id.operation
        };
        // A key may be written in another form than ours, where there is no choice anyway.
        let only = || (entries.len() == 1).then(|| lacking().next()).flatten();
        lacking().find(same).or_else(only).copied()
    }

    /// The first record of the same row that came without an LSN and before its change.
    fn earlier_record(&self, id: &ChangeId) -> Option<u64> {
        if !self.by_row {
            return None;
        }
        let is_it = |key: &&u64| {
            let entry = &self.entries[*key];
            entry.id.lsn.is_none() && entry.is_of_row(id)
        };
        self.uncaptured.values().find(is_it).copied()
    }

    fn is_duplicate(&self, id: &ChangeId) -> bool {
        let in_flight = self.partner(id, |entry| entry.recorded.is_some());
        self.recent.contains(id) || (id.lsn.is_some() && in_flight.is_some())
    }

    fn insert(&mut self, entry: Entry) -> u64 {
        let key = self.next_entry;
        self.next_entry += 1;
        if let Some(lsn) = entry.id.lsn {
            let place = (Arc::clone(&entry.id.table), lsn);
            self.by_lsn.entry(place).or_default().push(key);
        }
        self.entries.insert(key, entry);
        if self.entries.len() > self.config.limit {
            self.shrink();
        }
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
            self.unrecorded.remove(&captured.number);
            self.uncaptured.remove(&(recorded.t3, key));
            let partition = self.partition(recorded.position);
            partition.frontier = partition.frontier.max(Some(captured.number));
        }
    }

    /// One that is not followed takes its turn among those of its row that are.
    fn take_turn(&mut self, id: &ChangeId, since: Stamp) {
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

    fn expect_in_sink(&mut self, id: &ChangeId, key: u64, since: Stamp) {
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
        if let Some((resolved, at)) = expected {
            self.sink_keys.matched();
            self.resolve(&resolved, at);
        }
    }

    /// The sink has shown these; all but the last were merged into its write.
    fn resolve(&mut self, keys: &[u64], at: Stamp) {
        let merged = keys.len().saturating_sub(1);
        self.counts.coalesced += u64::try_from(merged).unwrap_or(u64::MAX);
        for key in keys {
            self.enter(*key, |entry| entry.t5 = Some(at));
            let recorded = self.entries.get(key).and_then(|entry| entry.recorded);
            if let Some(position) = recorded.map(|recorded| recorded.position) {
                let partition = self.partition(position);
                partition.shown = partition.shown.max(Some(position.offset));
            }
            self.complete(*key);
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
            !self.config.has_group || entry.tg.is_some()
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
            self.unrecorded.remove(&captured.number);
        }
        if let Some(recorded) = entry.recorded {
            self.unshown.remove(&recorded.position);
            self.uncaptured.remove(&(recorded.t3, key));
        }
        Some(entry)
    }

    /// Follows half as many from now on.
    fn shrink(&mut self) {
        self.sample = self.sample.halved();
        let left = self.entries.iter().filter(|(_, entry)| {
            let lsn = entry.id.lsn;
            lsn.is_some_and(|lsn| !self.sample.takes(lsn))
        });
        let left: Vec<_> = left.map(|(key, _)| *key).collect();
        for key in left {
            self.remove(key);
        }
    }
}
