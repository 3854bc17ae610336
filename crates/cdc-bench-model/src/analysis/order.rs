//! Whether the events of each aggregate reached the store in the order of their commits.

use std::collections::HashMap;

use uuid::Uuid;

use crate::event::Generator;
use crate::timeline::{Joined, Stamp};

/// Looks for events that reached the store after a later one of their aggregate. Its memory grows with the run.
pub struct OrderCheck {
    /// Says again which aggregate each event is of.
    rows: Generator,
    aggregates: Vec<Uuid>,
    /// By aggregate, the last event in the order of the WAL: its position, and when it was in the store.
    last: HashMap<Uuid, ((u64, u64), Stamp)>,
    reordered: Vec<Stamp>,
}

impl OrderCheck {
    /// For the events of a generator, from the first on.
    #[must_use]
    pub fn new(rows: Generator) -> Self {
        Self {
            rows,
            aggregates: Vec::new(),
            last: HashMap::new(),
            reordered: Vec::new(),
        }
    }

    /// Adds an event; they may come in any order.
    pub fn record(&mut self, event: &Joined) {
        let seq = usize::try_from(event.seq).unwrap_or(usize::MAX);
        while self.aggregates.len() <= seq {
            self.aggregates.push(self.rows.next_row().aggregate_id);
        }
        let position = (event.captured.commit_lsn, event.captured.lsn);
        let stored = event.stamps.t5;
        let last = self.last.entry(self.aggregates[seq]);
        let (last_position, last_stored) = last.or_insert((position, stored));
        let is_later = position > *last_position;
        let (earlier, later) = if is_later {
            (*last_stored, stored)
        } else {
            (stored, *last_stored)
        };
        if earlier > later {
            self.reordered.push(earlier);
        }
        if is_later {
            (*last_position, *last_stored) = (position, stored);
        }
    }

    /// When each of them reached the store.
    #[must_use]
    pub fn reordered(&self) -> &[Stamp] {
        &self.reordered
    }
}

#[cfg(test)]
mod tests {
    use super::super::activity::tests::event;
    use super::*;

    fn generator() -> Generator {
        Generator::new(42, jiff::Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn an_event_after_a_later_one_of_its_aggregate_is_found_in_whatever_order_they_come() {
        let rows: Vec<_> = generator().take(500).collect();
        let joined = |seq: usize, stored: i64| {
            let mut joined = event([stored; 9]);
            joined.seq = u64::try_from(seq).unwrap();
            joined.captured.lsn = joined.seq;
            joined
        };
        let twice = rows.iter().enumerate().find_map(|(first, row)| {
            let later = rows.iter().skip(first + 1);
            let second = later
                .clone()
                .position(|other| other.aggregate_id == row.aggregate_id)?;
            Some((first, first + 1 + second))
        });
        let (first, second) = twice.unwrap();
        for turned in [false, true] {
            let mut check = OrderCheck::new(generator());
            let mut events = [joined(first, 20), joined(second, 10)];
            if turned {
                events.reverse();
            }
            events.iter().for_each(|event| check.record(event));
            assert_eq!(check.reordered(), [Stamp(20_000_000)]);
        }
        let mut check = OrderCheck::new(generator());
        for (seq, stored) in (0..500).zip(0..) {
            check.record(&joined(seq, stored));
        }
        assert_eq!(check.reordered(), []);
    }
}
