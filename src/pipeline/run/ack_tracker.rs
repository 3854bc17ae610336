//! Which transactions have arrived: each is acknowledged once its last record, and everything before it, is where it should be.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, OnceLock, PoisonError};

use pgcdc::{Acknowledger, Lsn, TableName};

/// What is whole with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AckUnit {
    /// A transaction, by the position behind it.
    Transaction(Lsn),
    /// A table of an initial copy, as of a position.
    Copy(TableName, Lsn),
}

impl AckUnit {
    /// Acknowledges it.
    pub(crate) fn acknowledge(self, acknowledger: &Acknowledger) {
        match self {
            Self::Transaction(end) => acknowledger.acknowledge(end),
            Self::Copy(table, point) => acknowledger.acknowledge_copy(table, point),
        }
    }
}

/// Records on their way, numbered from 1.
#[derive(Debug, Default)]
pub(crate) struct AckTracker {
    state: Mutex<Underway>,
    acknowledger: OnceLock<Acknowledger>,
}

#[derive(Debug, Default)]
struct Underway {
    /// The number of the last record of something, and what is whole with it.
    expected: VecDeque<(u64, AckUnit)>,
    /// Everything up to this record is where it should be.
    arrived: u64,
    /// Records that are, and some before them are not: partitions are delivered each in its own time.
    early: BTreeSet<u64>,
}

impl AckTracker {
    /// Whom to tell. What has arrived before is told with what comes next.
    pub(crate) fn go_to(&self, acknowledger: Acknowledger) {
        // Called once.
        let _ = self.acknowledger.set(acknowledger);
    }

    /// Something is whole with record `last`, which may be there already.
    pub(crate) fn expect(&self, last: u64, whole: AckUnit) {
        self.settle(|underway| underway.expected.push_back((last, whole)));
    }

    /// This record is where it should be.
    pub(crate) fn arrived(&self, number: u64) {
        self.settle(|underway| {
            if number == underway.arrived + 1 {
                underway.arrived = number;
                while underway.early.remove(&(underway.arrived + 1)) {
                    underway.arrived += 1;
                }
            } else if number > underway.arrived {
                underway.early.insert(number);
            }
        });
    }

    /// Everything up to this record is where it should be.
    pub(crate) fn arrived_up_to(&self, number: u64) {
        self.settle(|underway| underway.arrived = underway.arrived.max(number));
    }

    fn settle(&self, change: impl FnOnce(&mut Underway)) {
        let mut underway = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut underway);
        let Some(acknowledger) = self.acknowledger.get() else {
            return;
        };
        while underway
            .expected
            .front()
            .is_some_and(|(last, _)| *last <= underway.arrived)
        {
            if let Some((_, whole)) = underway.expected.pop_front() {
                whole.acknowledge(acknowledger);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(acks: &AckTracker) -> u64 {
        acks.acknowledger.get().unwrap().acknowledged().0
    }

    fn acks(expected: &[(u64, u64)]) -> AckTracker {
        let acks = AckTracker::default();
        acks.go_to(Acknowledger::default());
        for (last, end) in expected {
            acks.expect(*last, AckUnit::Transaction(Lsn(*end)));
        }
        acks
    }

    #[test]
    fn a_transaction_is_acknowledged_with_its_last_record() {
        let acks = acks(&[(2, 20), (3, 30)]);
        acks.arrived(1);
        assert_eq!(told(&acks), 0);
        acks.arrived(2);
        assert_eq!(told(&acks), 20);
        // A consumer tells the last one of a batch.
        acks.expect(9, AckUnit::Transaction(Lsn(90)));
        acks.arrived_up_to(10);
        assert_eq!(told(&acks), 90);
        // It was quicker than its commit.
        acks.expect(10, AckUnit::Transaction(Lsn(100)));
        assert_eq!(told(&acks), 100);
    }

    #[test]
    fn what_arrives_before_its_turn_waits_for_the_others() {
        let acks = acks(&[(2, 20), (4, 40)]);
        for number in [4, 2, 3] {
            acks.arrived(number);
            assert_eq!(told(&acks), 0, "the first is missing");
        }
        acks.arrived(1);
        assert_eq!(told(&acks), 40);
    }
}
