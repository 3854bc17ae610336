//! Which changes are followed when there are more than memory allows: by a hash of their LSN, so that every tap takes the same.

/// A sample of all changes. It only shrinks, and each smaller one is part of the larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    /// How often it was halved.
    halvings: u32,
}

/// More halvings would leave nothing of any load.
const MOST_HALVINGS: u32 = 20;

impl Sample {
    /// All changes.
    pub(super) const ALL: Self = Self { halvings: 0 };

    /// Whether the change at this position is followed.
    pub(super) fn takes(self, lsn: u64) -> bool {
        // The finaliser of SplitMix64: positions in the WAL are multiples of eight, and differ by little.
        let mut hash = lsn.wrapping_add(0x9e37_79b9_7f4a_7c15);
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^= hash >> 31;
        hash.trailing_zeros() >= self.halvings
    }

    /// Half of it.
    pub(super) fn halved(self) -> Self {
        Self {
            halvings: (self.halvings + 1).min(MOST_HALVINGS),
        }
    }

    /// Whether every change is followed.
    pub(super) fn is_all(self) -> bool {
        self.halvings == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_sample_is_part_of_the_larger_and_half_of_it() {
        let (all, half) = (Sample::ALL, Sample::ALL.halved());
        let quarter = half.halved();
        let lsns = || (0..40_000_u64).map(|n| 0x1_6b37_4000 + n * 8);
        assert!(lsns().all(|lsn| all.takes(lsn)));
        assert!(lsns().all(|lsn| half.takes(lsn) || !quarter.takes(lsn)));
        let taken = |sample: Sample| lsns().filter(|lsn| sample.takes(*lsn)).count();
        assert!((19_500..20_500).contains(&taken(half)), "{}", taken(half));
        assert!((9_600..10_400).contains(&taken(quarter)));
    }
}
