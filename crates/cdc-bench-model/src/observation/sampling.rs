//! Which changes are followed when there are more than memory allows: by a hash of their LSN, so that every tap takes the same.
//! Where records carry no LSN, by a hash of the row: all of a row's changes or none, for its records are told apart by their order.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::ChangeId;

/// A sample of all changes. Its shares are powers of two. That of changes with an LSN depends on the LSN alone: it is lowered for
/// all changes at once, and raised for those from an LSN on that no tap has seen. That of rows is only lowered: which records
/// belong to the changes after a raise could not be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    /// LSNs from which a share holds, ascending, and how often it was halved there.
    shares: Vec<(u64, u32)>,
    /// How often the share of rows was halved.
    row_halvings: u32,
}

/// More halvings would leave nothing of any load.
const MOST_HALVINGS: u32 = 20;

/// Shares held. Of more, the oldest are taken together.
const MOST_SHARES: usize = 32;

impl Default for Sample {
    /// All changes.
    fn default() -> Self {
        Self {
            shares: vec![(0, 0)],
            row_halvings: 0,
        }
    }
}

impl Sample {
    /// Whether the change at this position is followed.
    pub(super) fn takes(&self, lsn: u64) -> bool {
        // The finaliser of SplitMix64: positions in the WAL are multiples of eight, and differ by little.
        let mut hash = lsn.wrapping_add(0x9e37_79b9_7f4a_7c15);
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^= hash >> 31;
        hash.trailing_zeros() >= self.halvings(lsn)
    }

    /// Whether the changes of this one's row are followed, whatever their positions.
    pub(super) fn takes_row_of(&self, id: &ChangeId) -> bool {
        let mut hasher = DefaultHasher::new();
        (&id.table, &id.key).hash(&mut hasher);
        hasher.finish().trailing_zeros() >= self.row_halvings
    }

    /// How many changes one at this position stands for.
    pub(super) fn weight(&self, lsn: u64) -> u64 {
        1 << self.halvings(lsn)
    }

    /// How many rows one stands for.
    pub(super) fn weight_of_rows(&self) -> u64 {
        1 << self.row_halvings
    }

    /// Takes half of the changes at most that it took of the latest; also of those that it takes already.
    pub(super) fn shrink(&mut self) {
        let halvings = (self.latest() + 1).min(MOST_HALVINGS);
        for (_, own) in &mut self.shares {
            *own = halvings.max(*own);
        }
        self.shares.dedup_by_key(|(_, halvings)| *halvings);
        self.row_halvings = halvings.max(self.row_halvings);
    }

    /// Takes twice as many of the changes from this position on.
    pub(super) fn grow(&mut self, from: u64) {
        let latest = self.latest();
        if latest > 0 {
            self.shares.push((from, latest - 1));
        }
        if self.shares.len() > MOST_SHARES {
            let (_, oldest) = self.shares.remove(0);
            let (from, halvings) = &mut self.shares[0];
            (*from, *halvings) = (0, oldest.max(*halvings));
        }
    }

    /// Whether every change is followed.
    pub(super) fn is_all(&self) -> bool {
        self.row_halvings == 0 && self.shares == [(0, 0)]
    }

    /// Whether every change is followed that comes from now on.
    pub(super) fn is_all_of_the_latest(&self) -> bool {
        self.latest() == 0
    }

    fn latest(&self) -> u32 {
        self.shares.last().map_or(0, |(_, halvings)| *halvings)
    }

    fn halvings(&self, lsn: u64) -> u32 {
        let held = self.shares.iter().rev().find(|(from, _)| lsn >= *from);
        held.map_or(0, |(_, halvings)| *halvings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: u64 = 0x1_6b37_4000;

    fn lsns() -> impl Iterator<Item = u64> {
        (0..40_000_u64).map(|n| FIRST + n * 8)
    }

    fn taken(sample: &Sample) -> usize {
        lsns().filter(|lsn| sample.takes(*lsn)).count()
    }

    #[test]
    fn a_smaller_sample_is_part_of_the_larger_and_half_of_it() {
        let all = Sample::default();
        let mut half = all.clone();
        half.shrink();
        let mut quarter = half.clone();
        quarter.shrink();
        assert!(lsns().all(|lsn| all.takes(lsn)));
        assert!(lsns().all(|lsn| half.takes(lsn) || !quarter.takes(lsn)));
        assert!((19_500..20_500).contains(&taken(&half)), "{}", taken(&half));
        assert!((9_600..10_400).contains(&taken(&quarter)));
        assert_eq!((all.weight(FIRST), quarter.weight(FIRST)), (1, 4));
    }

    #[test]
    fn it_grows_for_what_comes_and_shrinks_for_all() {
        let mut sample = Sample::default();
        sample.shrink();
        sample.shrink();
        let later = FIRST + 160_000;
        sample.grow(later);
        assert_eq!((sample.weight(FIRST), sample.weight(later)), (4, 2));
        assert!(!sample.is_all_of_the_latest());
        sample.grow(later + 8);
        assert!(sample.is_all_of_the_latest() && !sample.is_all());
        assert_eq!((sample.weight(later), sample.weight(later + 8)), (2, 1));
        // What was taken once with a small share is not taken with a larger one.
        sample.shrink();
        assert_eq!((sample.weight(FIRST), sample.weight(later + 8)), (4, 2));
        // A sample of all does not grow.
        let mut all = Sample::default();
        all.grow(later);
        assert!(all.is_all());
    }

    #[test]
    fn however_often_it_changes_it_stays_small() {
        let mut sample = Sample::default();
        for n in 0..1_000 {
            for _ in 0..3 {
                sample.shrink();
            }
            for step in 0..3 {
                sample.grow(FIRST + n * 100 + step);
            }
        }
        assert!(sample.shares.len() <= MOST_SHARES);
        assert_eq!(sample.weight(0), 8);
        assert!(sample.is_all_of_the_latest());
    }
}
