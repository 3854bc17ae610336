//! The group's committed offsets over time, by partition.

use std::collections::VecDeque;

use crate::timeline::Stamp;

/// Polls that are remembered: a record may reach us after the group has committed it.
const POLLS: usize = 64;

/// The committed offset of one partition, poll by poll.
#[derive(Debug, Clone, Default)]
pub(super) struct CommittedOffsets {
    /// Committed offset and time; both rise.
    polls: VecDeque<(i64, Stamp)>,
}

impl CommittedOffsets {
    /// A poll has found that records before `next` are committed.
    pub(super) fn add(&mut self, next: i64, at: Stamp) {
        if self.polls.back().is_some_and(|(last, _)| *last >= next) {
            return;
        }
        self.polls.push_back((next, at));
        if self.polls.len() > POLLS {
            self.polls.pop_front();
        }
    }

    /// The first poll that found this offset passed.
    pub(super) fn passed(&self, offset: i64) -> Option<Stamp> {
        let first = self.polls.partition_point(|(next, _)| *next <= offset);
        self.polls.get(first).map(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_passed_by_the_first_poll_beyond_it() {
        let mut offsets = CommittedOffsets::default();
        for (next, at) in [(5, 10), (5, 20), (9, 30)] {
            offsets.add(next, Stamp(at));
        }
        assert_eq!(offsets.passed(4), Some(Stamp(10)));
        assert_eq!(offsets.passed(5), Some(Stamp(30)));
        assert_eq!(offsets.passed(9), None);
    }
}
