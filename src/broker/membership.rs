//! A member of a consumer group gives a partition away only when it has finished what it took of it.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance as Change};

use cdc_bench_model::timeline::{Clock, Stamp};

/// Longest wait for the records of a partition that moves away. What is not written by then is delivered again to its
/// next owner.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a rebalance of the group was to this member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebalance {
    /// When the first partition was taken away, or, where none was, when they were handed out.
    pub began: Stamp,
    /// When partitions were handed out again; a member that keeps all it has is told so, too.
    pub ended: Stamp,
    /// Partitions that were taken away.
    pub lost: usize,
    /// Partitions that came.
    pub gained: usize,
    /// Partitions that it has now.
    pub has: usize,
}

/// The times that partitions were handed out to a member.
#[derive(Debug, Clone, Default)]
pub struct Rebalances(Arc<Mutex<Vec<Rebalance>>>);

impl Rebalances {
    /// So far; the first is how the member came to have any.
    #[must_use]
    pub fn so_far(&self) -> Vec<Rebalance> {
        self.known().clone()
    }

    fn known(&self) -> MutexGuard<'_, Vec<Rebalance>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far the partitions of this member are.
#[derive(Debug)]
pub(super) struct Membership {
    state: Mutex<State>,
    /// Something was written, or nobody will write any more.
    moved: Condvar,
    rebalances: Rebalances,
    clock: Clock,
}

#[derive(Debug, Default)]
struct State {
    partitions: HashMap<i32, Reached>,
    /// Taken away since this was asked last.
    revoked: Vec<i32>,
    /// Since when partitions are away that none were handed out for yet, and how many.
    unsettled: Option<(Stamp, usize)>,
    leaving: bool,
}

/// The last offset of a partition that was handed over, and that was written.
#[derive(Debug, Clone, Copy, Default)]
struct Reached {
    handed_over: Option<i64>,
    written: Option<i64>,
}

impl Membership {
    /// Of a member whose rebalances are told by this clock.
    pub fn new(clock: Clock) -> Self {
        Self {
            state: Mutex::default(),
            moved: Condvar::new(),
            rebalances: Rebalances::default(),
            clock,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The times that partitions were handed out to us.
    pub fn rebalances(&self) -> Rebalances {
        self.rebalances.clone()
    }

    /// Partitions are taken away.
    fn unsettle(&self, lost: usize) {
        let now = self.clock.now();
        self.state().unsettled.get_or_insert((now, 0)).1 += lost;
    }

    /// Partitions were handed out.
    fn settle(&self, gained: usize, has: usize) {
        let ended = self.clock.now();
        let (began, lost) = self.state().unsettled.take().unwrap_or((ended, 0));
        self.rebalances.known().push(Rebalance {
            began,
            ended,
            lost,
            gained,
            has,
        });
    }

    /// The consumer has the records of these partitions up to these offsets.
    pub fn handed_over(&self, last: &[(i32, i64)]) {
        let mut state = self.state();
        for &(partition, offset) in last {
            state.partitions.entry(partition).or_default().handed_over = Some(offset);
        }
    }

    /// The consumer is done with the partition's records up to this one. It may be so before we are told that it has them.
    pub fn written(&self, partition: i32, offset: i64) {
        let mut state = self.state();
        state.partitions.entry(partition).or_default().written = Some(offset);
        drop(state);
        self.moved.notify_all();
    }

    /// Partitions taken away since the last call: what was received of them and not handed over is not ours to write.
    pub fn take_revoked(&self) -> Vec<i32> {
        std::mem::take(&mut self.state().revoked)
    }

    /// Nothing more will be written: nobody need wait for it.
    pub fn leave(&self) {
        self.state().leaving = true;
        self.moved.notify_all();
    }

    /// Whether it is on its way out of the group.
    pub fn is_leaving(&self) -> bool {
        self.state().leaving
    }

    /// Waits until what was handed over of these partitions is written; false where it took too long.
    fn finish(&self, partitions: &[i32], patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut state = self.state();
        loop {
            let done = partitions.iter().all(|partition| {
                let reached = state.partitions.get(partition);
                reached.is_none_or(|reached| reached.written >= reached.handed_over)
            });
            let left = until.saturating_duration_since(Instant::now());
            if done || state.leaving || left.is_zero() {
                return done;
            }
            let waited = self.moved.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn forget(&self, partitions: &[i32]) {
        let mut state = self.state();
        for partition in partitions {
            state.partitions.remove(partition);
        }
        state.revoked.extend_from_slice(partitions);
    }
}

impl ClientContext for Membership {}

impl ConsumerContext for Membership {
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, change: &Change<'_>) {
        if let Change::Assign(partitions) = change {
            let has = consumer.assignment().map_or(0, |assigned| assigned.count());
            self.settle(partitions.count(), has);
        }
    }

    /// On the receiving thread. What is stored when this returns is committed with the revocation.
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, change: &Change<'_>) {
        let Change::Revoke(partitions) = change else {
            return;
        };
        self.unsettle(partitions.count());
        let elements = partitions.elements();
        let partitions: Vec<i32> = elements.iter().map(|element| element.partition()).collect();
        // Those that were lost are another's already.
        if !consumer.assignment_lost() && !self.finish(&partitions, PATIENCE) {
            tracing::warn!(
                ?partitions,
                "partitions move away before all of their records are written; these will be delivered again"
            );
        }
        self.forget(&partitions);
        tracing::debug!(?partitions, "partitions moved away");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_goes_when_its_records_are_written() {
        let membership = Arc::new(Membership::new(Clock::start()));
        membership.handed_over(&[(0, 10), (1, 5)]);
        membership.written(0, 9);
        assert!(!membership.finish(&[0], Duration::from_millis(1)));
        assert!(
            membership.finish(&[7], Duration::ZERO),
            "nothing was handed over of it"
        );
        let waiting = Arc::clone(&membership);
        let thread = std::thread::spawn(move || waiting.finish(&[0], Duration::from_secs(60)));
        membership.written(1, 5);
        membership.written(0, 10);
        assert!(thread.join().unwrap());
        membership.forget(&[0]);
        assert_eq!(membership.take_revoked(), [0]);
        assert_eq!(membership.take_revoked(), [0; 0]);
        // It comes back, and begins anew.
        membership.handed_over(&[(0, 11)]);
        assert!(!membership.finish(&[0, 1], Duration::ZERO));
    }

    #[test]
    fn a_rebalance_lasts_from_what_was_taken_to_what_is_given() {
        let membership = Membership::new(Clock::start());
        membership.settle(4, 4);
        membership.unsettle(1);
        membership.unsettle(1);
        let rebalances = membership.rebalances();
        assert_eq!(rebalances.so_far().len(), 1, "two are on their way");
        membership.settle(0, 2);
        membership.settle(0, 2);
        let told = rebalances.so_far();
        let counts = |r: &Rebalance| (r.lost, r.gained, r.has);
        let expected = [(0, 4, 4), (2, 0, 2), (0, 0, 2)];
        assert_eq!(told.iter().map(counts).collect::<Vec<_>>(), expected);
        assert!(told[1].began < told[1].ended && told[2].began == told[2].ended);
    }

    #[test]
    fn nobody_waits_for_who_writes_no_more() {
        let membership = Arc::new(Membership::new(Clock::start()));
        membership.handed_over(&[(0, 10)]);
        let waiting = Arc::clone(&membership);
        let thread = std::thread::spawn(move || waiting.finish(&[0], Duration::from_secs(60)));
        membership.leave();
        assert!(!thread.join().unwrap());
    }
}
