//! How late changes come by their place in a big transaction: rows of one commit come one after the other.

use std::collections::{HashMap, VecDeque};

use cdc_bench_model::analysis::SignedHistogram;
use cdc_bench_model::observation::diagnosis::{BIG, SpansByPlace};
use cdc_bench_model::observation::{CapturedChange, ObservedChange};
use cdc_bench_model::timeline::{Nanos, Stamp};

/// Changes of a transaction whose places are kept: every so many, twice as many apart whenever there are more.
const PLACES: usize = 2_048;
/// Big transactions whose changes may be under way; of more, the oldest is taken as it stands.
const UNDER_WAY: usize = 32;

/// A transaction, as far as it was captured.
#[derive(Debug, Default)]
struct Transaction {
    tc: Option<Stamp>,
    changes: u64,
    /// Places of its changes by their position in the WAL, those that are multiples of `apart`.
    places: HashMap<u64, u64>,
    apart: u64,
    /// Place, span of `debezium`, and how many changes it stands for.
    spans: Vec<(u64, Nanos, u64)>,
}

impl Transaction {
    fn begin(tc: Stamp) -> Self {
        Self {
            tc: Some(tc),
            apart: 1,
            ..Self::default()
        }
    }

    fn add(&mut self, lsn: u64) {
        let place = self.changes;
        self.changes += 1;
        if !place.is_multiple_of(self.apart) {
            return;
        }
        // Rows of one WAL record have one position.
        self.places.entry(lsn).or_insert(place);
        while self.places.len() > PLACES {
            self.apart *= 2;
            let apart = self.apart;
            self.places.retain(|_, place| place.is_multiple_of(apart));
            self.spans
                .retain(|(place, _, _)| place.is_multiple_of(apart));
        }
    }
}

/// Spans of `debezium` of the first tenth of each big transaction, and of its last.
#[derive(Debug, Default)]
pub(super) struct PositionTally {
    /// The transaction that is being captured.
    open: Transaction,
    /// Big ones that were captured before, oldest first.
    under_way: VecDeque<Transaction>,
    first: SignedHistogram,
    last: SignedHistogram,
}

impl PositionTally {
    /// Changes are captured one transaction after the other.
    pub(super) fn captured(&mut self, change: &CapturedChange) {
        if self.open.tc != Some(change.tc) {
            self.close();
            self.open = Transaction::begin(change.tc);
        }
        if let Some(lsn) = change.id.lsn {
            self.open.add(lsn);
        }
    }

    fn close(&mut self) {
        let over = std::mem::take(&mut self.open);
        if over.changes <= BIG {
            return;
        }
        self.under_way.push_back(over);
        if self.under_way.len() > UNDER_WAY
            && let Some(oldest) = self.under_way.pop_front()
        {
            self.take_spans(&oldest);
        }
    }

    /// A change was followed to its end.
    pub(super) fn completed(&mut self, change: &ObservedChange) {
        let Some(lsn) = change.id.lsn else { return };
        let Some(span) = change.stamps.hops().debezium else {
            return;
        };
        let mut all = self.under_way.iter_mut().chain([&mut self.open]);
        let found = all.find_map(|known| Some((*known.places.get(&lsn)?, known)));
        if let Some((place, transaction)) = found {
            let spans = &mut transaction.spans;
            // Of rows with one position, too, no more than there are places.
            if spans.len() < PLACES {
                spans.push((place, span, change.weight));
            }
        }
    }

    fn take_spans(&mut self, transaction: &Transaction) {
        let tenth = transaction.changes / 10;
        for (place, span, weight) in &transaction.spans {
            let weight = weight * transaction.apart;
            if *place < tenth {
                self.first.record_many(*span, weight);
            } else if *place >= transaction.changes - tenth {
                self.last.record_many(*span, weight);
            }
        }
    }

    /// The spans of the transactions until now.
    pub(super) fn spans(mut self) -> Option<SpansByPlace> {
        self.close();
        for transaction in std::mem::take(&mut self.under_way) {
            self.take_spans(&transaction);
        }
        let (first, last) = (self.first, self.last);
        let has_both = first.count() > 0 && last.count() > 0;
        has_both.then(|| SpansByPlace {
            first_tenth: first.statistics(None),
            last_tenth: last.statistics(None),
        })
    }
}

#[cfg(test)]
mod tests {
    use cdc_bench_model::observation::{ChangeId, ObservedStamps, Operation, RecordPosition};

    use super::*;

    fn id(lsn: u64) -> ChangeId {
        ChangeId {
            table: "public.orders".into(),
            key: "{}".into(),
            lsn: Some(lsn),
            operation: Operation::Create,
        }
    }

    /// Captures a transaction of so many changes.
    fn captured(tally: &mut PositionTally, tc: i64, first: u64, changes: u64) {
        for n in 0..changes {
            tally.captured(&CapturedChange {
                id: id(first + n * 64),
                tc: Stamp(tc),
                t1: Stamp(tc),
            });
        }
    }

    /// Debezium has handed the change on `ms` after its commit.
    fn completed(tally: &mut PositionTally, lsn: u64, ms: u64) {
        let td = Stamp(0) + Nanos::from_millis(i64::try_from(ms).unwrap());
        tally.completed(&ObservedChange {
            id: id(lsn),
            position: RecordPosition {
                topic: 0,
                partition: 0,
                offset: 0,
            },
            stamps: ObservedStamps {
                t0: None,
                tc: Stamp(0),
                t1: Stamp(0),
                td: Some(td),
                t2: td,
                t3: td,
                tg: None,
                tr: None,
                ts: None,
                t5: None,
            },
            weight: 1,
        });
    }

    #[test]
    fn the_last_rows_of_a_big_transaction_are_told_from_the_first() {
        let mut tally = PositionTally::default();
        // A row a tenth of a millisecond; those of a small transaction between two big ones do not count.
        for (tc, first, changes) in [(1, 0, 10_000), (2, 7, 900), (3, 1_000_000, 50_000)] {
            captured(&mut tally, tc, first, changes);
            for n in 0..changes {
                completed(
                    &mut tally,
                    first + n * 64,
                    if changes < 1_000 { 9_999 } else { n / 10 },
                );
            }
        }
        assert!(tally.open.places.len() <= PLACES && tally.open.spans.len() <= PLACES);
        let spans = tally.spans().unwrap();
        let (first, last) = (spans.first_tenth, spans.last_tenth);
        assert!(first.max < 500_000 + 1_000, "{first:?}");
        assert!(
            (900_000 - 9_000..=5_010_000).contains(&last.min),
            "{last:?}"
        );
        assert!((4_490_000..=5_010_000).contains(&last.p99), "{last:?}");
        // Each stands for those between it and the next.
        assert!((5_900..=6_100).contains(&first.count), "{first:?}");
        assert!((5_900..=6_100).contains(&last.count), "{last:?}");
    }

    #[test]
    fn small_transactions_and_those_without_an_end_have_no_places() {
        let mut tally = PositionTally::default();
        captured(&mut tally, 1, 0, 1_000);
        completed(&mut tally, 0, 5);
        captured(&mut tally, 2, 0, 5_000);
        assert_eq!(tally.spans(), None, "none of its changes has come");
    }

    #[test]
    fn no_more_transactions_are_kept_than_its_limit() {
        let mut tally = PositionTally::default();
        for n in 0..100 {
            captured(&mut tally, n, 0, BIG + 1);
        }
        assert!(tally.under_way.len() <= UNDER_WAY);
    }
}
