//! What the taps' own sightings say of transactions and of the group's offsets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cdc_bench_model::observation::diagnosis::{
    BIG, GroupEvidence, ObservedEvidence, PartitionEvidence, TransactionEvidence,
};
use cdc_bench_model::observation::{CapturedChange, ObservedChange};
use cdc_bench_model::timeline::Stamp;

use super::positions::PositionTally;
use crate::broker::{OffsetPoll, PartitionOffset};

/// Intervals between commits that are kept; later ones take the places of the earliest.
const INTERVALS: usize = 4_096;

/// Tallies of an observation.
#[derive(Debug, Default)]
pub(in crate::observe) struct Tallies {
    transactions: TransactionTally,
    positions: PositionTally,
    partitions: BTreeMap<(usize, i32), PartitionTally>,
    intervals: Vec<Duration>,
    commits: usize,
    shared: Arc<SharedTallies>,
}

/// Those that others count, or look at meanwhile.
#[derive(Debug, Default)]
pub(in crate::observe) struct SharedTallies {
    /// How often a committed offset has advanced.
    pub(super) advances: AtomicU64,
    /// Requests to the servers.
    pub(in crate::observe) requests: AtomicU64,
    /// Bytes read from the topics.
    pub(in crate::observe) topic_bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct TransactionTally {
    seen: TransactionEvidence,
    /// The transaction under way: its commit, its changes, when the first of them was captured.
    open: Option<(Stamp, u64, Stamp)>,
}

impl TransactionTally {
    /// Changes are captured one transaction after the other; two that committed in the same microsecond are taken for one.
    fn captured(&mut self, change: &CapturedChange) {
        let seen = &mut self.seen;
        seen.changes += 1;
        let (count, first) = match self.open {
            Some((tc, count, first)) if tc == change.tc => (count + 1, first),
            _ => {
                seen.transactions += 1;
                (1, change.t1)
            }
        };
        self.open = Some((change.tc, count, first));
        if count == BIG + 1 {
            seen.changes_in_big += count;
        } else if count > BIG {
            seen.changes_in_big += 1;
        }
        if count > seen.largest {
            seen.largest = count;
            let took = (change.t1 - first).0;
            seen.largest_took = Duration::from_nanos(u64::try_from(took).unwrap_or(0));
        }
    }
}

#[derive(Debug, Default)]
struct PartitionTally {
    first_end: Option<i64>,
    end: i64,
    committed: Option<(i64, Stamp)>,
    lag_last: u64,
    lag_most: u64,
}

impl PartitionTally {
    /// The tally of what comes next.
    fn goes_on(&self) -> Self {
        Self {
            first_end: Some(self.end),
            end: self.end,
            committed: self.committed,
            lag_last: self.lag_last,
            lag_most: self.lag_last,
        }
    }
}

impl Tallies {
    pub(in crate::observe) fn shared(&self) -> Arc<SharedTallies> {
        Arc::clone(&self.shared)
    }

    /// What was counted until now; the count begins anew.
    pub(in crate::observe) fn take(&mut self) -> Self {
        let taken = |counter: &AtomicU64| AtomicU64::new(counter.swap(0, Ordering::Relaxed));
        let shared = SharedTallies {
            advances: taken(&self.shared.advances),
            requests: taken(&self.shared.requests),
            topic_bytes: taken(&self.shared.topic_bytes),
        };
        let begun = self.partitions.iter();
        let begun = begun
            .map(|(place, seen)| (*place, seen.goes_on()))
            .collect();
        Self {
            transactions: std::mem::take(&mut self.transactions),
            positions: std::mem::take(&mut self.positions),
            partitions: std::mem::replace(&mut self.partitions, begun),
            intervals: std::mem::take(&mut self.intervals),
            commits: std::mem::take(&mut self.commits),
            shared: Arc::new(shared),
        }
    }

    /// A change in the WAL.
    pub(in crate::observe) fn captured(&mut self, change: &CapturedChange) {
        self.transactions.captured(change);
        self.positions.captured(change);
    }

    /// A change was followed to its end.
    pub(in crate::observe) fn completed(&mut self, change: &ObservedChange) {
        self.positions.completed(change);
    }

    /// Offsets of the group, and ends of the partitions.
    pub(in crate::observe) fn offsets(&mut self, poll: &OffsetPoll) {
        let asked = u64::from(poll.asked.is_some());
        let ends = u64::try_from(poll.ends.len()).unwrap_or(u64::MAX);
        self.shared
            .requests
            .fetch_add(asked.saturating_add(ends), Ordering::Relaxed);
        if let Some((at, _)) = poll.asked {
            for found in &poll.committed {
                self.committed(found, at);
            }
        }
        for found in &poll.ends {
            let partition = self.partition(found);
            partition.first_end.get_or_insert(found.offset);
            partition.end = found.offset;
            if let Some((committed, _)) = partition.committed {
                partition.lag_last = u64::try_from(found.offset - committed).unwrap_or(0);
                partition.lag_most = partition.lag_most.max(partition.lag_last);
            }
        }
    }

    fn committed(&mut self, found: &PartitionOffset, at: Stamp) {
        let partition = self.partition(found);
        let before = partition.committed;
        if before.is_some_and(|(offset, _)| offset >= found.offset) {
            return;
        }
        partition.committed = Some((found.offset, at));
        let Some((_, since)) = before else {
            return;
        };
        self.shared.advances.fetch_add(1, Ordering::Relaxed);
        let interval = Duration::from_nanos(u64::try_from((at - since).0).unwrap_or(0));
        if self.intervals.len() < INTERVALS {
            self.intervals.push(interval);
        } else {
            self.intervals[self.commits % INTERVALS] = interval;
        }
        self.commits += 1;
    }

    fn partition(&mut self, found: &PartitionOffset) -> &mut PartitionTally {
        let place = (found.topic, found.partition);
        self.partitions.entry(place).or_default()
    }

    /// Adds the tallies to what was collected. `topics`: their names.
    pub(in crate::observe) fn add_to(mut self, evidence: &mut ObservedEvidence, topics: &[String]) {
        evidence.transactions = self.transactions.seen;
        evidence.transactions.debezium = self.positions.spans();
        let Some(group) = &mut evidence.group else {
            return;
        };
        // An interval is that of a partition's records, where they come more seldom than commits.
        self.intervals.sort_unstable();
        group.commit_interval = self.intervals.get(self.intervals.len() / 2).copied();
        add_partitions(group, &self.partitions, topics);
    }
}

fn add_partitions(
    group: &mut GroupEvidence,
    partitions: &BTreeMap<(usize, i32), PartitionTally>,
    topics: &[String],
) {
    for ((topic, partition), tally) in partitions {
        let records = tally.end - tally.first_end.unwrap_or(tally.end);
        group.partitions.push(PartitionEvidence {
            topic: topics.get(*topic).cloned().unwrap_or_default(),
            partition: *partition,
            records: u64::try_from(records).unwrap_or(0),
            lag_last: tally.lag_last,
            lag_most: tally.lag_most,
        });
    }
}

#[cfg(test)]
mod tests {
    use cdc_bench_model::observation::{ChangeId, NO_KEY, Operation};

    use super::*;

    fn captured(tc: i64, t1: i64) -> CapturedChange {
        CapturedChange {
            id: ChangeId {
                table: "public.orders".into(),
                key: NO_KEY.into(),
                lsn: Some(8),
                operation: Operation::Create,
            },
            tc: Stamp(tc),
            t1: Stamp(t1),
        }
    }

    #[test]
    fn changes_of_one_commit_are_a_transaction() {
        let mut tallies = Tallies::default();
        for n in 0..1_500 {
            tallies.captured(&captured(1_000, 2_000_000 + n * 1_000_000));
        }
        tallies.captured(&captured(2_000, 9));
        tallies.captured(&captured(3_000, 10));
        let seen = tallies.transactions.seen;
        assert_eq!((seen.transactions, seen.changes), (3, 1_502));
        assert_eq!((seen.changes_in_big, seen.largest), (1_500, 1_500));
        assert_eq!(seen.largest_took, Duration::from_millis(1_499));
    }

    #[test]
    fn lag_records_and_commits_are_of_each_partition() {
        let mut tallies = Tallies::default();
        let offset = |offset| PartitionOffset {
            topic: 0,
            partition: 1,
            offset,
        };
        for (second, committed, end) in [(0, 10, 10), (1, 10, 40), (2, 30, 50), (4, 50, 60)] {
            let at = Stamp(second * 1_000_000_000);
            tallies.offsets(&OffsetPoll {
                committed: vec![offset(committed)],
                asked: Some((at, at)),
                ends: vec![offset(end)],
                ends_at: Some(at),
                silence: None,
            });
        }
        let mut evidence = ObservedEvidence {
            group: Some(GroupEvidence::default()),
            ..ObservedEvidence::default()
        };
        assert_eq!(tallies.shared().advances.load(Ordering::Relaxed), 2);
        tallies.add_to(&mut evidence, &["shop".to_owned()]);
        let group = evidence.group.unwrap();
        assert_eq!(group.commit_interval, Some(Duration::from_secs(2)));
        let partition = &group.partitions[0];
        assert_eq!(
            (partition.records, partition.lag_last, partition.lag_most),
            (50, 10, 30)
        );
    }
}
