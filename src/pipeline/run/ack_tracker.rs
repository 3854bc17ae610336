//! Acknowledges transactions and copied tables once their records are delivered: each unit when its last record, and every
//! record before it, is delivered.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, OnceLock, PoisonError};

use pgcdc::{Acknowledger, CopyChunk, Lsn, TableName};

/// What is acknowledged once its records are delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AckUnit {
    /// A transaction, by its end LSN.
    Transaction(Lsn),
    /// A table of the initial snapshot, as of an LSN.
    Copy(TableName, Lsn),
    /// A chunk of such a table.
    Chunk(TableName, CopyChunk),
}

impl AckUnit {
    /// Acknowledges the unit to the reader.
    pub(crate) fn acknowledge(self, acknowledger: &Acknowledger) {
        match self {
            Self::Transaction(end) => acknowledger.acknowledge(end),
            Self::Copy(table, point) => acknowledger.acknowledge_copy(table, point),
            Self::Chunk(table, chunk) => acknowledger.acknowledge_chunk(table, chunk),
        }
    }
}

/// Tracks delivered records and acknowledges units in order. Records are numbered from 1.
#[derive(Debug, Default)]
pub(crate) struct AckTracker {
    state: Mutex<PendingAcks>,
    acknowledger: OnceLock<Acknowledger>,
}

#[derive(Debug, Default)]
struct PendingAcks {
    /// Units that are not acknowledged yet, each with the number of its last record.
    expected: VecDeque<(u64, AckUnit)>,
    /// Every record up to this number is delivered.
    delivered: u64,
    /// Delivered records with a gap before them: partitions deliver independently of each other.
    early: BTreeSet<u64>,
}

impl AckTracker {
    /// Sets where acknowledgements go. Units that are complete already are acknowledged at once.
    pub(crate) fn set_acknowledger(&self, acknowledger: Acknowledger) {
        // Called once.
        let _ = self.acknowledger.set(acknowledger);
        self.update(|_| {});
    }

    /// Registers a unit that ends with record `last`, which may be delivered already.
    pub(crate) fn expect(&self, last: u64, unit: AckUnit) {
        self.update(|pending| pending.expected.push_back((last, unit)));
    }

    /// Record `number` is delivered.
    pub(crate) fn delivered(&self, number: u64) {
        self.update(|pending| {
            if number == pending.delivered + 1 {
                pending.delivered = number;
                while pending.early.remove(&(pending.delivered + 1)) {
                    pending.delivered += 1;
                }
            } else if number > pending.delivered {
                pending.early.insert(number);
            }
        });
    }

    /// Every record up to `number` is delivered.
    pub(crate) fn delivered_up_to(&self, number: u64) {
        self.update(|pending| pending.delivered = pending.delivered.max(number));
    }

    fn update(&self, change: impl FnOnce(&mut PendingAcks)) {
        let mut pending = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut pending);
        let Some(acknowledger) = self.acknowledger.get() else {
            return;
        };
        while pending
            .expected
            .front()
            .is_some_and(|(last, _)| *last <= pending.delivered)
        {
            if let Some((_, unit)) = pending.expected.pop_front() {
                unit.acknowledge(acknowledger);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acknowledged_lsn(acks: &AckTracker) -> u64 {
        acks.acknowledger.get().unwrap().acknowledged().0
    }

    fn acks(expected: &[(u64, u64)]) -> AckTracker {
        let acks = AckTracker::default();
        acks.set_acknowledger(Acknowledger::default());
        for (last, end) in expected {
            acks.expect(*last, AckUnit::Transaction(Lsn(*end)));
        }
        acks
    }

    #[test]
    fn a_transaction_is_acknowledged_with_its_last_record() {
        let acks = acks(&[(2, 20), (3, 30)]);
        acks.delivered(1);
        assert_eq!(acknowledged_lsn(&acks), 0);
        acks.delivered(2);
        assert_eq!(acknowledged_lsn(&acks), 20);
        // A consumer reports the last record of a batch.
        acks.expect(9, AckUnit::Transaction(Lsn(90)));
        acks.delivered_up_to(10);
        assert_eq!(acknowledged_lsn(&acks), 90);
        // Delivered before its commit was read.
        acks.expect(10, AckUnit::Transaction(Lsn(100)));
        assert_eq!(acknowledged_lsn(&acks), 100);
    }

    #[test]
    fn a_delivery_out_of_order_waits_for_those_before_it() {
        let acks = acks(&[(2, 20), (4, 40)]);
        for number in [4, 2, 3] {
            acks.delivered(number);
            assert_eq!(acknowledged_lsn(&acks), 0, "the first is missing");
        }
        acks.delivered(1);
        assert_eq!(acknowledged_lsn(&acks), 40);
    }
}
