//! What has not come although everything after it has.

use std::sync::Arc;

use super::super::missing::{MissingAt, MissingChange};

use super::super::Operation;
use super::super::sink_queue::GivenUp;
use super::ObservationJoiner;
use super::reached::Reached;
use crate::timeline::{Nanos, Stamp};

/// Between two notes of how far the partitions have come.
const BETWEEN: Nanos = Nanos::from_millis(500);

/// How long after a group's commit the sink may show nothing.
const IDLE: Nanos = Nanos::from_millis(15_000);

/// How long a change that is not followed waits for its turn in the sink.
const LONGEST_TURN: Nanos = Nanos::from_millis(600_000);

impl ObservationJoiner {
    /// Looks for changes that are missing, and forgets what belongs to none. `wal_read_until`: everything that was committed
    /// before it has been captured, as far as it is known beside the changes themselves.
    pub fn judge(&mut self, now: Stamp, wal_read_until: Option<Stamp>) {
        let settled = now - self.config.grace;
        while self.reached.get(1).is_some_and(|next| next.at <= settled) {
            self.reached.pop_front();
        }
        let reached = self.reached.front().filter(|first| first.at <= settled);
        if let Some(reached) = reached.cloned() {
            self.judge_unrecorded(&reached);
            self.judge_unshown(&reached);
        }
        self.note_reached(now);
        let captured_until = self
            .captured_until
            .map(|tc| self.corrections.postgres.to_ours(tc) - self.corrections.postgres_bound);
        if let Some(read_until) = wal_read_until.max(captured_until) {
            self.judge_uncaptured(settled.min(read_until - self.config.grace));
        }
        self.forget_sink_only(settled);
        self.grow(now);
    }

    fn note_reached(&mut self, now: Stamp) {
        let is_new = self
            .reached
            .back()
            .is_none_or(|last| now - last.at >= BETWEEN);
        if is_new {
            let seen = self.partitions.iter();
            let seen = seen.map(|(place, seen)| (*place, (seen.frontier, seen.shown)));
            self.reached.push_back(Reached {
                at: now,
                partitions: seen.collect(),
            });
        }
    }

    /// Changes that are in no topic: some time ago a later change was in one, and each partition has either had a later change
    /// by then, or was read to its end since.
    fn judge_unrecorded(&mut self, reached: &Reached) {
        let frontier = |place: &(usize, i32)| reached.partitions.get(place)?.0;
        let topics = (0..).zip(&self.config.partitions);
        let all = topics.flat_map(|(topic, count)| (0..*count).map(move |p| (topic, p)));
        let all: Vec<_> = all.collect();
        let Some(latest) = all.iter().filter_map(frontier).max() else {
            return;
        };
        let until = all.iter().map(|place| {
            let seen = self.partitions.get(place);
            let complete = seen.and_then(|seen| seen.complete_until);
            if complete.is_some_and(|until| until > reached.at) {
                latest
            } else {
                frontier(place).unwrap_or(0)
            }
        });
        let until = until.min().unwrap_or(0);
        for key in self.unrecorded.before(until) {
            self.give_up(key, MissingAt::Topic);
        }
    }

    /// Changes that the group passed some time ago, or after which the sink had shown later records of the partition by then. A sink
    /// may write records side by side, and a group may commit what it has not written yet: both are asked for before a change is
    /// missing, or a long time after the commit. A later write of the row is enough to resolve one that was merged into it.
    fn judge_unshown(&mut self, reached: &Reached) {
        let long_ago = reached.at - IDLE;
        let overdue = self.unshown.iter().filter_map(|(position, key)| {
            let entry = self.entries.get(key)?;
            if entry.is_shown() || !self.expects_sink(&entry.id) {
                return None;
            }
            let place = (position.topic, position.partition);
            let shown = reached.partitions.get(&place).and_then(|seen| seen.1);
            let is_overtaken = shown.is_some_and(|shown| position.offset < shown);
            let passed = entry.tg.filter(|tg| *tg <= reached.at);
            let is_certain = match passed {
                Some(tg) => is_overtaken || tg <= long_ago,
                None => is_overtaken && !self.config.has_group,
            };
            (is_overtaken || passed.is_some()).then_some((*key, is_certain))
        });
        let overdue: Vec<_> = overdue.collect();
        for (key, is_certain) in overdue {
            if is_certain || self.is_shown_later(key) {
                self.judge_in_sink(key);
            }
        }
    }

    /// Whether the sink has shown the row since the change.
    fn is_shown_later(&self, key: u64) -> bool {
        let row = self.entries.get(&key).map(|entry| {
            let id = &entry.id;
            (Arc::clone(&id.table), Arc::clone(&id.key))
        });
        let queue = row.and_then(|row| self.sink.get(&row));
        queue.is_some_and(|queue| queue.is_shown_since(key))
    }

    fn judge_in_sink(&mut self, key: u64) {
        let Some(entry) = self.entries.get(&key) else {
            return;
        };
        let row = (Arc::clone(&entry.id.table), Arc::clone(&entry.id.key));
        let (operation, is_captured) = (entry.id.operation, entry.captured.is_some());
        let read = entry.recorded.map(|recorded| recorded.t3);
        let may_be_skipped = read.is_some_and(|read| Some(read) <= self.sink_skipped);
        let queue = self.sink.get_mut(&row);
        let found = queue.map_or(GivenUp::Unseen, |queue| queue.give_up(key));
        let may_be_silent = operation == Operation::Update && !self.config.reports_records;
        if found == GivenUp::Unseen && is_captured {
            self.sink_keys.unseen(&row.0);
        }
        match found {
            GivenUp::Shown(shown) => {
                self.counts.coalesced += 1;
                self.enter(key, |entry| entry.show(shown));
                self.complete(key);
            }
            // Of a change from before the observation nothing is known.
            _ if !is_captured => {
                self.remove(key);
            }
            GivenUp::Undone => self.leave(key),
            GivenUp::Unseen if may_be_skipped || may_be_silent => self.leave(key),
            GivenUp::Unseen => self.give_up(key, MissingAt::Sink),
        }
    }

    /// Lets a change go that the sink need not have shown.
    fn leave(&mut self, key: u64) {
        self.counts.not_shown += 1;
        if let Some(entry) = self.remove(key) {
            self.recent.add(&entry.id);
        }
    }

    fn give_up(&mut self, key: u64, at: MissingAt) {
        let Some(entry) = self.remove(key) else {
            return;
        };
        if at == MissingAt::Topic && self.unread > 0 {
            self.unread -= 1;
            self.counts.unread += 1;
            return;
        }
        self.counts.missing += 1;
        let tc = entry.captured.map(|captured| captured.tc);
        self.missing.push(MissingChange {
            tc: tc.map(|tc| self.corrections.postgres.to_ours(tc)),
            id: entry.id,
            at,
            error: entry.error,
        });
    }

    /// Records whose change was not in the WAL that we read.
    fn judge_uncaptured(&mut self, settled: Stamp) {
        while let Some(first) = self.uncaptured.first_entry() {
            if first.key().0 >= settled {
                break;
            }
            let key = first.remove();
            if let Some(entry) = self.remove(key) {
                self.counts.not_covered += 1;
                self.recent.add(&entry.id);
                self.unfollow(entry.id, key);
            }
        }
    }

    fn forget_sink_only(&mut self, settled: Stamp) {
        // Long enough for a record that comes late to our reader.
        let until = settled - self.config.grace;
        let counts = &mut self.counts;
        self.sink.retain(|_, queue| {
            queue.forget_turns(until - LONGEST_TURN);
            let forgotten = queue.forget_early(until);
            counts.sink_only += u64::try_from(forgotten).unwrap_or(u64::MAX);
            !queue.is_idle(until)
        });
        let forgotten = self.early.forget(until);
        counts.sink_only += u64::try_from(forgotten).unwrap_or(u64::MAX);
    }
}
