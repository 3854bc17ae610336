//! The changes of one row that wait to be seen in the sink, and what the sink showed of that row before they were known.

use std::collections::VecDeque;

use crate::timeline::Stamp;

/// A change that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    /// Its entry; `None` for one that is not followed, which only takes its turn.
    pub(super) entry: Option<u64>,
    /// Since when.
    pub(super) since: Stamp,
    /// Whether the sink is to delete the row.
    pub(super) is_delete: bool,
    /// No write before this can be of it.
    pub(super) not_before: Stamp,
}

/// A write or a delete of the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) is_delete: bool,
    /// On our clock.
    pub(super) at: Stamp,
    /// By the sink's own clock.
    pub(super) stored: Option<Stamp>,
}

/// What is known of a change that is waited for no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GivenUp {
    /// A later write of the row has it, too.
    Shown(Shown),
    /// Its row was written and deleted again, and the sink may have done neither.
    Undone,
    /// The sink has not shown it.
    Unseen,
}

/// One row's queue.
#[derive(Debug, Clone, Default)]
pub(super) struct SinkQueue {
    waiting: VecDeque<Waiting>,
    /// What came before the change that it is of.
    early: VecDeque<Shown>,
    /// The last time the sink showed the row.
    last: Option<Shown>,
    /// Whether a write was undone since, whose delete still waits.
    is_undone: bool,
}

impl SinkQueue {
    /// The sink has shown the row. The entries that this resolves, in order: the first that it may be of, and those before it,
    /// which were merged into one write.
    pub(super) fn shown(&mut self, shown: Shown) -> Vec<u64> {
        self.last = Some(shown);
        self.is_undone = false;
        let fits = |waiting: &Waiting| {
            waiting.is_delete == shown.is_delete && waiting.not_before <= shown.at
        };
        match self.waiting.iter().position(fits) {
            Some(place) => {
                let resolved = self.waiting.drain(..=place);
                resolved.filter_map(|waiting| waiting.entry).collect()
            }
            None => {
                self.early.push_back(shown);
                Vec::new()
            }
        }
    }

    /// A change of the row is expected. When the sink has shown it already: that write, and the entries that it resolves.
    pub(super) fn expect(&mut self, waiting: Waiting) -> Option<(Vec<u64>, Shown)> {
        self.waiting.push_back(waiting);
        let fits =
            |shown: &Shown| shown.is_delete == waiting.is_delete && shown.at >= waiting.not_before;
        let place = self.early.iter().position(fits)?;
        let shown = self.early.drain(..=place).next_back()?;
        let resolved = self.waiting.drain(..);
        Some((
            resolved.filter_map(|waiting| waiting.entry).collect(),
            shown,
        ))
    }

    /// Takes an entry out of the queue.
    pub(super) fn give_up(&mut self, entry: u64) -> GivenUp {
        let Some(place) = self.waiting.iter().position(|w| w.entry == Some(entry)) else {
            return GivenUp::Unseen;
        };
        let is_deleted_later = self.waiting.range(place + 1..).any(|later| later.is_delete);
        let Some(waiting) = self.waiting.remove(place) else {
            return GivenUp::Unseen;
        };
        if let Some(shown) = self.last.filter(|shown| shown.at >= waiting.not_before) {
            return GivenUp::Shown(shown);
        }
        let is_undone = if waiting.is_delete {
            std::mem::take(&mut self.is_undone)
        } else {
            is_deleted_later
        };
        self.is_undone |= is_undone && !waiting.is_delete;
        if is_undone {
            GivenUp::Undone
        } else {
            GivenUp::Unseen
        }
    }

    /// Whether the sink has shown the row since this entry began to wait.
    pub(super) fn is_shown_since(&self, entry: u64) -> bool {
        let waiting = self.waiting.iter().find(|w| w.entry == Some(entry));
        waiting.is_some_and(|waiting| {
            let last = self.last;
            last.is_some_and(|shown| shown.at >= waiting.not_before)
        })
    }

    /// Follows an entry no longer: it only takes its turn.
    pub(super) fn unfollow(&mut self, entry: u64) {
        let mut waiting = self.waiting.iter_mut();
        if let Some(waiting) = waiting.find(|waiting| waiting.entry == Some(entry)) {
            waiting.entry = None;
        }
    }

    /// Forgets what has waited for its turn, without being followed, since before `until`.
    pub(super) fn forget_turns(&mut self, until: Stamp) {
        self.waiting
            .retain(|waiting| waiting.entry.is_some() || waiting.since >= until);
    }

    /// Forgets what the sink showed before `until` and is of no change; how many.
    pub(super) fn forget_early(&mut self, until: Stamp) -> usize {
        let before = self.early.len();
        self.early.retain(|shown| shown.at >= until);
        before - self.early.len()
    }

    /// Whether nothing waits and nothing is kept since `until`.
    pub(super) fn is_idle(&self, until: Stamp) -> bool {
        self.waiting.is_empty()
            && self.early.is_empty()
            && self.last.is_none_or(|shown| shown.at < until)
    }

    /// Whether a change waits.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(is_delete: bool, at: i64) -> Shown {
        Shown {
            is_delete,
            at: Stamp(at),
            stored: None,
        }
    }

    fn waiting(entry: u64, is_delete: bool) -> Waiting {
        Waiting {
            entry: Some(entry),
            since: Stamp(0),
            is_delete,
            not_before: Stamp(0),
        }
    }

    #[test]
    fn each_write_is_of_the_first_change_that_it_may_be_of() {
        let mut queue = SinkQueue::default();
        for entry in 1..=2 {
            assert_eq!(queue.expect(waiting(entry, false)), None);
        }
        assert_eq!(queue.shown(seen(false, 5)), [1]);
        assert_eq!(queue.shown(seen(false, 6)), [2]);
        assert!(!queue.has_waiting());
    }

    #[test]
    fn what_was_merged_is_resolved_with_the_write_after_it() {
        let mut queue = SinkQueue::default();
        queue.expect(waiting(1, false));
        queue.expect(waiting(2, false));
        queue.expect(waiting(3, true));
        // Insert and update never reached the sink: only the delete did.
        assert_eq!(queue.shown(seen(true, 5)), [1, 2, 3]);
        // Two updates, one write: the second is given up later, and the row was shown since.
        queue.expect(waiting(4, false));
        queue.expect(waiting(5, false));
        assert_eq!(queue.shown(seen(false, 9)), [4]);
        assert_eq!(queue.give_up(5), GivenUp::Shown(seen(false, 9)));
    }

    #[test]
    fn a_row_that_was_deleted_again_may_never_have_been_in_the_sink() {
        let mut queue = SinkQueue::default();
        for (entry, is_delete) in [(1, false), (2, false), (3, true), (4, true)] {
            queue.expect(waiting(entry, is_delete));
        }
        for entry in 1..=3 {
            assert_eq!(queue.give_up(entry), GivenUp::Undone);
        }
        assert_eq!(queue.give_up(4), GivenUp::Unseen);
        // Of a row that was there, the delete alone is waited for.
        queue.expect(waiting(5, true));
        assert_eq!(queue.give_up(5), GivenUp::Unseen);
        assert_eq!(queue.give_up(6), GivenUp::Unseen);
    }

    #[test]
    fn one_that_is_not_followed_takes_its_turn_until_it_is_forgotten() {
        let mut queue = SinkQueue::default();
        queue.expect(waiting(1, false));
        queue.expect(waiting(2, false));
        queue.unfollow(1);
        assert_eq!(queue.shown(seen(false, 5)), [0_u64; 0]);
        assert_eq!(queue.shown(seen(false, 6)), [2]);
        queue.expect(waiting(3, false));
        queue.unfollow(3);
        queue.forget_turns(Stamp(1));
        assert!(!queue.has_waiting());
    }

    #[test]
    fn the_sink_may_be_seen_before_the_record_is() {
        let mut queue = SinkQueue::default();
        assert_eq!(queue.shown(seen(false, 5)), [0_u64; 0]);
        let expected = Waiting {
            not_before: Stamp(4),
            ..waiting(1, false)
        };
        assert_eq!(queue.expect(expected), Some((vec![1], seen(false, 5))));
        // A write from before the change is not of it.
        queue.shown(seen(false, 6));
        let later = Waiting {
            not_before: Stamp(7),
            ..waiting(2, false)
        };
        assert_eq!(queue.expect(later), None);
        assert_eq!(queue.forget_early(Stamp(7)), 1);
        assert!(!queue.is_idle(Stamp(100)));
        assert_eq!(queue.give_up(2), GivenUp::Unseen);
        assert!(queue.is_idle(Stamp(100)));
    }
}
