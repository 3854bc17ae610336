//! Membership in a consumer group. A partition is given up only when the records received of it are written.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance as GroupChange};

use super::oauth;
use crate::records::Topics;
use cdc_bench_model::timeline::{Clock, Stamp};

/// Longest wait for the records of a revoked partition. What is not written by then is delivered again to its next owner.
const REVOKE_LIMIT: Duration = Duration::from_secs(10);

/// A rebalance of the group, as this member saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebalance {
    /// When the first partition was revoked, or, where none was, when partitions were assigned.
    pub began: Stamp,
    /// When partitions were assigned; also where the member keeps the same ones.
    pub ended: Stamp,
    /// Partitions that were revoked.
    pub lost: usize,
    /// Partitions that were added.
    pub gained: usize,
    /// Partitions that it has afterwards.
    pub has: usize,
}

/// The rebalances of a member.
#[derive(Debug, Clone, Default)]
pub struct Rebalances(Arc<Mutex<Vec<Rebalance>>>);

impl Rebalances {
    /// All so far; the first is the first assignment.
    #[must_use]
    pub fn so_far(&self) -> Vec<Rebalance> {
        self.list().clone()
    }

    fn list(&self) -> MutexGuard<'_, Vec<Rebalance>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The partitions of a member, by their numbers among those of all of its topics, and how far their records are written.
#[derive(Debug)]
pub(super) struct Membership {
    topics: Topics,
    state: Mutex<MemberState>,
    /// An offset was written, or the member leaves.
    changed: Condvar,
    rebalances: Rebalances,
    clock: Clock,
}

#[derive(Debug, Default)]
struct MemberState {
    partitions: HashMap<i32, PartitionOffsets>,
    /// Revoked since the last [`Membership::take_revoked`].
    revoked: Vec<i32>,
    /// A rebalance that has begun: since when, and how many partitions were revoked.
    rebalancing: Option<(Stamp, usize)>,
    leaving: bool,
}

/// The last offsets of a partition that were delivered to the consumer and that it has written.
#[derive(Debug, Clone, Copy, Default)]
struct PartitionOffsets {
    delivered: Option<i64>,
    written: Option<i64>,
}

impl Membership {
    /// A member that reads these topics, and whose rebalances are stamped by `clock`.
    pub fn new(topics: Topics, clock: Clock) -> Self {
        Self {
            topics,
            state: Mutex::default(),
            changed: Condvar::new(),
            rebalances: Rebalances::default(),
            clock,
        }
    }

    fn state(&self) -> MutexGuard<'_, MemberState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The topics that it reads.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The rebalances so far.
    pub fn rebalances(&self) -> Rebalances {
        self.rebalances.clone()
    }

    /// Partitions are revoked.
    fn partitions_revoked(&self, lost: usize) {
        let now = self.clock.now();
        self.state().rebalancing.get_or_insert((now, 0)).1 += lost;
    }

    /// Partitions were assigned.
    fn partitions_assigned(&self, gained: usize, has: usize) {
        let ended = self.clock.now();
        let (began, lost) = self.state().rebalancing.take().unwrap_or((ended, 0));
        self.rebalances.list().push(Rebalance {
            began,
            ended,
            lost,
            gained,
            has,
        });
    }

    /// The records of these partitions up to these offsets were delivered to the consumer.
    pub fn delivered(&self, last: &[(i32, i64)]) {
        let mut state = self.state();
        for &(partition, offset) in last {
            state.partitions.entry(partition).or_default().delivered = Some(offset);
        }
    }

    /// The consumer has written the partition's records up to this one. This may be called before `delivered` is.
    pub fn written(&self, partition: i32, offset: i64) {
        let mut state = self.state();
        state.partitions.entry(partition).or_default().written = Some(offset);
        drop(state);
        self.changed.notify_all();
    }

    /// Partitions revoked since the last call: their records that were not delivered are not ours to write.
    pub fn take_revoked(&self) -> Vec<i32> {
        std::mem::take(&mut self.state().revoked)
    }

    /// The member leaves: nothing more will be written, and waits end.
    pub fn leave(&self) {
        self.state().leaving = true;
        self.changed.notify_all();
    }

    /// Whether it leaves the group.
    pub fn is_leaving(&self) -> bool {
        self.state().leaving
    }

    /// Waits until the delivered records of these partitions are written; false where that takes too long.
    fn wait_until_written(&self, partitions: &[i32], limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let mut state = self.state();
        loop {
            let done = partitions.iter().all(|partition| {
                let offsets = state.partitions.get(partition);
                offsets.is_none_or(|offsets| offsets.written >= offsets.delivered)
            });
            let left = until.saturating_duration_since(Instant::now());
            if done || state.leaving || left.is_zero() {
                return done;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn remove(&self, partitions: &[i32]) {
        let mut state = self.state();
        for partition in partitions {
            state.partitions.remove(partition);
        }
        state.revoked.extend_from_slice(partitions);
    }
}

impl ClientContext for Membership {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, source: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        oauth::token(source)
    }
}

impl ConsumerContext for Membership {
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, change: &GroupChange<'_>) {
        if let GroupChange::Assign(partitions) = change {
            let has = consumer.assignment().map_or(0, |assigned| assigned.count());
            self.partitions_assigned(partitions.count(), has);
        }
    }

    /// Called on the receiving thread. Offsets stored when this returns are committed with the revocation.
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, change: &GroupChange<'_>) {
        let GroupChange::Revoke(partitions) = change else {
            return;
        };
        self.partitions_revoked(partitions.count());
        let elements = partitions.elements();
        let numbers = elements
            .iter()
            .map(|element| self.topics.number(element.topic(), element.partition()));
        let partitions: Vec<i32> = numbers.collect();
        // Lost partitions belong to another member already.
        if !consumer.assignment_lost() && !self.wait_until_written(&partitions, REVOKE_LIMIT) {
            tracing::warn!(
                ?partitions,
                "partitions move away before all of their records are written; these will be delivered again"
            );
        }
        self.remove(&partitions);
        tracing::debug!(?partitions, "partitions moved away");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_given_up_when_its_records_are_written() {
        let membership = Arc::new(Membership::new(Topics::one("t"), Clock::start()));
        membership.delivered(&[(0, 10), (1, 5)]);
        membership.written(0, 9);
        assert!(!membership.wait_until_written(&[0], Duration::from_millis(1)));
        assert!(
            membership.wait_until_written(&[7], Duration::ZERO),
            "nothing of it was delivered"
        );
        let waiting = Arc::clone(&membership);
        let thread =
            std::thread::spawn(move || waiting.wait_until_written(&[0], Duration::from_secs(60)));
        membership.written(1, 5);
        membership.written(0, 10);
        assert!(thread.join().unwrap());
        membership.remove(&[0]);
        assert_eq!(membership.take_revoked(), [0]);
        assert_eq!(membership.take_revoked(), [0; 0]);
        // It is assigned again, and starts over.
        membership.delivered(&[(0, 11)]);
        assert!(!membership.wait_until_written(&[0, 1], Duration::ZERO));
    }

    #[test]
    fn a_rebalance_lasts_from_revocation_to_assignment() {
        let membership = Membership::new(Topics::one("t"), Clock::start());
        membership.partitions_assigned(4, 4);
        membership.partitions_revoked(1);
        membership.partitions_revoked(1);
        let rebalances = membership.rebalances();
        assert_eq!(rebalances.so_far().len(), 1, "two are on their way");
        membership.partitions_assigned(0, 2);
        membership.partitions_assigned(0, 2);
        let made = rebalances.so_far();
        let counts = |r: &Rebalance| (r.lost, r.gained, r.has);
        let expected = [(0, 4, 4), (2, 0, 2), (0, 0, 2)];
        assert_eq!(made.iter().map(counts).collect::<Vec<_>>(), expected);
        assert!(made[1].began < made[1].ended && made[2].began == made[2].ended);
    }

    #[test]
    fn nothing_waits_for_a_member_that_leaves() {
        let membership = Arc::new(Membership::new(Topics::one("t"), Clock::start()));
        membership.delivered(&[(0, 10)]);
        let waiting = Arc::clone(&membership);
        let thread =
            std::thread::spawn(move || waiting.wait_until_written(&[0], Duration::from_secs(60)));
        membership.leave();
        assert!(!thread.join().unwrap());
    }
}
