//! How far the group is behind, in records and in seconds, by partition.

use std::collections::BTreeMap;

use cdc_bench_model::timeline::{Nanos, Stamp};

use super::history::PositionHistory;
use crate::broker::{OffsetPoll, PartitionOffset};

/// Most partitions that are told one by one.
const MOST: usize = 256;

/// The lag of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartitionLag {
    pub(super) topic: String,
    /// `None` for the worst of the partitions that are not told one by one.
    pub(super) partition: Option<i32>,
    /// Records that the group has not committed.
    pub(super) records: u64,
    /// Since when there are such, to the interval between two polls of the partitions' ends.
    pub(super) behind: Nanos,
}

#[derive(Debug, Default)]
struct PartitionState {
    end: u64,
    committed: Option<u64>,
    ends: PositionHistory,
}

/// The lags of all partitions.
#[derive(Debug)]
pub(super) struct GroupLags {
    topics: Vec<String>,
    partitions: BTreeMap<(usize, i32), PartitionState>,
}

impl GroupLags {
    /// Of partitions of these topics.
    pub(super) fn new(topics: Vec<String>) -> Self {
        Self {
            topics,
            partitions: BTreeMap::new(),
        }
    }

    /// What a poll has found.
    pub(super) fn polled(&mut self, poll: &OffsetPoll) {
        if let Some(at) = poll.ends_at {
            for end in &poll.ends {
                let offset = u64::try_from(end.offset).unwrap_or(0);
                let state = self.state(end);
                state.end = offset;
                state.ends.push(at, offset);
            }
        }
        for committed in &poll.committed {
            let offset = u64::try_from(committed.offset).ok();
            self.state(committed).committed = offset;
        }
    }

    fn state(&mut self, of: &PartitionOffset) -> &mut PartitionState {
        let key = (of.topic, of.partition);
        self.partitions.entry(key).or_default()
    }

    /// The lags at `now`; partitions that the group has not committed anything of are left out.
    pub(super) fn at(&mut self, now: Stamp) -> Vec<PartitionLag> {
        let topics = &self.topics;
        let lags = self.partitions.iter_mut().filter_map(|(key, state)| {
            let committed = state.committed?;
            Some(PartitionLag {
                topic: topics.get(key.0)?.clone(),
                partition: Some(key.1),
                records: state.end.saturating_sub(committed),
                behind: state.ends.beyond(committed, now),
            })
        });
        let mut lags: Vec<_> = lags.collect();
        if lags.len() > MOST {
            let rest = lags.split_off(MOST - 1);
            let worst = rest.into_iter().max_by_key(|lag| lag.behind);
            lags.extend(worst.map(|worst| PartitionLag {
                topic: "(others)".to_owned(),
                partition: None,
                ..worst
            }));
        }
        lags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(partition: i32, offset: i64) -> PartitionOffset {
        PartitionOffset {
            topic: 0,
            partition,
            offset,
        }
    }

    fn at(second: i64) -> Stamp {
        Stamp(0) + Nanos::from_millis(second * 1_000)
    }

    #[test]
    fn a_partition_that_is_not_read_falls_behind_in_records_and_seconds() {
        let mut lags = GroupLags::new(vec!["orders".to_owned()]);
        for second in 0..10 {
            lags.polled(&OffsetPoll {
                committed: vec![offset(0, second * 5), offset(1, 10)],
                asked: None,
                ends: vec![offset(0, second * 5), offset(1, second * 5), offset(2, 7)],
                ends_at: Some(at(second)),
                silence: None,
            });
        }
        let [caught_up, behind] = &lags.at(at(10))[..] else {
            panic!("partition 2 has no committed offset");
        };
        assert_eq!((caught_up.records, caught_up.behind), (0, Nanos(0)));
        assert_eq!(behind.records, 35);
        assert_eq!(behind.behind, Nanos::from_millis(7_000), "15 at second 3");
    }

    #[test]
    fn many_partitions_are_told_by_the_worst_of_the_rest() {
        let mut lags = GroupLags::new(vec!["orders".to_owned()]);
        let all = 0..1_000;
        lags.polled(&OffsetPoll {
            committed: all.clone().map(|partition| offset(partition, 0)).collect(),
            asked: None,
            ends: all.map(|p| offset(p, i64::from(p == 900))).collect(),
            ends_at: Some(at(0)),
            silence: None,
        });
        let told = lags.at(at(5));
        assert_eq!(told.len(), MOST);
        let others = told.last().unwrap();
        assert_eq!((others.partition, others.records), (None, 1));
    }
}
