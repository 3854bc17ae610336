//! A member of a consumer group gives a partition away only when it has finished what it took of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};

/// Longest wait for the records of a partition that moves away. What is not written by then is delivered again to its
/// next owner.
const PATIENCE: Duration = Duration::from_secs(10);

/// Counts how often partitions are handed out.
#[derive(Debug, Clone, Default)]
pub struct Assignments(Arc<AtomicU64>);

impl Assignments {
    /// So far; the first is no rebalance.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How far the partitions of this member are.
#[derive(Debug, Default)]
pub(super) struct Membership {
    state: Mutex<State>,
    /// Something was written, or nobody will write any more.
    moved: Condvar,
    assignments: Assignments,
}

#[derive(Debug, Default)]
struct State {
    partitions: HashMap<i32, Reached>,
    /// Taken away since this was asked last.
    revoked: Vec<i32>,
    leaving: bool,
}

/// The last offset of a partition that was handed over, and that was written.
#[derive(Debug, Clone, Copy, Default)]
struct Reached {
    handed_over: Option<i64>,
    written: Option<i64>,
}

impl Membership {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often partitions were handed out to us.
    pub fn assignments(&self) -> Assignments {
        self.assignments.clone()
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
    fn post_rebalance(&self, _: &BaseConsumer<Self>, change: &Rebalance<'_>) {
        if matches!(change, Rebalance::Assign(_)) {
            self.assignments.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// On the receiving thread. What is stored when this returns is committed with the revocation.
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(partitions) = rebalance else {
            return;
        };
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
        let membership = Arc::new(Membership::default());
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
    fn nobody_waits_for_who_writes_no_more() {
        let membership = Arc::new(Membership::default());
        membership.handed_over(&[(0, 10)]);
        let waiting = Arc::clone(&membership);
        let thread = std::thread::spawn(move || waiting.finish(&[0], Duration::from_secs(60)));
        membership.leave();
        assert!(!thread.join().unwrap());
    }
}
