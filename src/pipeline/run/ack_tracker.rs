//! Acknowledges transactions and copied tables once their records are delivered: each unit when its last record, and every
//! record before it, is delivered.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, OnceLock, PoisonError};

use pgcdc::{Acknowledger, Lsn, TableName};

/// What is acknowledged once its records are delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AckUnit {
    /// A transaction, by its end LSN.
    Transaction(Lsn),
    /// A table of the initial snapshot, as of an LSN.
    Copy(TableName, Lsn),
}

impl AckUnit {
    /// Acknowledges the unit to the reader.
    pub(crate) fn acknowledge(self, acknowledger: &Acknowledger) {
        match self {
            Self::Transaction(end) => acknowledger.acknowledge(end),
            Self::Copy(table, point) => acknowledger.acknowledge_copy(table, point),
        }
    }
}

/// Tracks delivered records and acknowledges units in order. Records are numbered from 1.
#[derive(Debug, Default)]
pub(crate) struct AckTracker {
    state: Mutex<Underway>,
    acknowledger: OnceLock<Acknowledger>,
}

#[derive(Debug, Default)]
struct Underway {
    /// Units that are not acknowledged yet, each with the number of its last record.
    expected: VecDeque<(u64, AckUnit)>,
    /// Every record up to this number is delivered.
    arrived: u64,
    /// Delivered records with a gap before them: partitions deliver independently of each other.
    early: BTreeSet<u64>,
}

impl AckTracker {
    /// Sets where acknowledgements go. Units that are complete already are acknowledged with the next update.
    pub(crate) fn go_to(&self, acknowledger: Acknowledger) {
        // Called once.
        let _ = self.acknowledger.set(acknowledger);
    }

    /// Registers a unit that ends with record `last`, which may be delivered already.
    pub(crate) fn expect(&self, last: u64, whole: AckUnit) {
        self.settle(|underway| underway.expected.push_back((last, whole)));
    }

    /// Record `number` is delivered.
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

    /// Every record up to `number` is delivered.
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
        // A consumer reports the last record of a batch.
        acks.expect(9, AckUnit::Transaction(Lsn(90)));
        acks.arrived_up_to(10);
        assert_eq!(told(&acks), 90);
        // Delivered before its commit was read.
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
