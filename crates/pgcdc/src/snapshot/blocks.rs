//! Blocks of a table: what of it is copied, and what is left.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// The end of a range that has none: rows that the table gains there are in it.
pub(super) const OPEN_END: u32 = u32::MAX;

/// A set of blocks (pages of a table), as ranges in ascending order. A range that ends at [`u32::MAX`] is open: it contains what
/// the table grows by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Range<u32>>", into = "Vec<Range<u32>>")]
pub struct BlockSet(Vec<Range<u32>>);

impl BlockSet {
    /// Adds a range.
    pub fn insert(&mut self, mut blocks: Range<u32>) {
        if blocks.is_empty() {
            return;
        }
        let begin = self.0.partition_point(|known| known.end < blocks.start);
        let end = self.0.partition_point(|known| known.start <= blocks.end);
        if let Some(touched) = self.0.get(begin..end)
            && let (Some(first), Some(last)) = (touched.first(), touched.last())
        {
            blocks = blocks.start.min(first.start)..blocks.end.max(last.end);
        }
        self.0.splice(begin..end, [blocks]);
    }

    /// The ranges, ascending; there are blocks between any two.
    #[must_use]
    pub fn ranges(&self) -> &[Range<u32>] {
        &self.0
    }

    /// The ranges that it leaves out, up to the open end.
    pub(super) fn gaps(&self) -> impl Iterator<Item = Range<u32>> {
        let starts = std::iter::once(0).chain(self.0.iter().map(|range| range.end));
        let ends = self.0.iter().map(|range| range.start);
        let gaps = starts.zip(ends.chain([OPEN_END]));
        gaps.map(|(start, end)| start..end)
            .filter(|gap| !gap.is_empty())
    }
}

impl From<Vec<Range<u32>>> for BlockSet {
    fn from(ranges: Vec<Range<u32>>) -> Self {
        let mut set = Self::default();
        ranges.into_iter().for_each(|range| set.insert(range));
        set
    }
}

impl From<BlockSet> for Vec<Range<u32>> {
    fn from(set: BlockSet) -> Self {
        set.0
    }
}

/// Cuts a range into chunks of at most so many blocks. `blocks` is what the table has: the part of an open range beyond is one
/// with its last chunk.
pub(super) fn chunks(
    range: Range<u32>,
    blocks: u32,
    chunk: u32,
) -> impl Iterator<Item = Range<u32>> {
    let mut start = Some(range.start);
    std::iter::from_fn(move || {
        let begin = start?;
        let end = begin.saturating_add(chunk.max(1));
        let is_last = end >= range.end || (range.end == OPEN_END && end >= blocks);
        start = (!is_last).then_some(end);
        Some(begin..if is_last { range.end } else { end })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // Ranges that a test writes down, one of them alone among them.
    #[allow(clippy::single_range_in_vec_init)]
    #[test]
    fn ranges_that_touch_are_one() {
        let mut set = BlockSet::default();
        assert_eq!(set.gaps().collect::<Vec<_>>(), [0..OPEN_END]);
        set.insert(8..16);
        set.insert(24..OPEN_END);
        set.insert(0..0);
        assert_eq!(set.ranges(), [8..16, 24..OPEN_END]);
        assert_eq!(set.gaps().collect::<Vec<_>>(), [0..8, 16..24]);
        set.insert(16..24);
        assert_eq!(set.ranges(), [8..OPEN_END]);
        set.insert(0..8);
        assert_eq!(set.gaps().count(), 0);
    }

    #[test]
    fn the_last_chunk_of_a_table_is_open() {
        let cut = |range, blocks, chunk| chunks(range, blocks, chunk).collect::<Vec<_>>();
        assert_eq!(cut(0..OPEN_END, 25, 10), [0..10, 10..20, 20..OPEN_END]);
        assert_eq!(cut(0..OPEN_END, 20, 10), [0..10, 10..OPEN_END]);
        assert_eq!(cut(0..OPEN_END, 0, 10).len(), 1, "an empty table");
        assert_eq!(cut(5..18, 100, 10), [5..15, 15..18]);
        assert_eq!(cut(50..OPEN_END, 20, 10).len(), 1, "a table that shrank");
    }

    proptest! {
        #[test]
        fn a_set_has_each_block_that_was_inserted(ranges in proptest::collection::vec((0..60_u32, 0..9_u32), 0..12)) {
            let mut set = BlockSet::default();
            let mut blocks = [false; 70];
            for (start, length) in ranges {
                set.insert(start..start + length);
                blocks[start as usize..(start + length) as usize].fill(true);
            }
            for (block, is_in) in (0..).zip(blocks) {
                prop_assert_eq!(set.ranges().iter().any(|range| range.contains(&block)), is_in);
                prop_assert_eq!(set.gaps().any(|gap| gap.contains(&block)), !is_in);
            }
            for pair in set.ranges().windows(2) {
                prop_assert!(pair[0].end < pair[1].start);
            }
            prop_assert_eq!(BlockSet::from(Vec::from(set.clone())), set);
        }
    }
}
