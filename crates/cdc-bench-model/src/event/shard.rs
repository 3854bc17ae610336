//! The shards of an outbox: tables beside each other, so that each is captured by a slot of its own.

use std::num::NonZeroU8;

use uuid::Uuid;

use super::TABLE;

/// One of the tables that the events of a run go into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard(u8);

impl Shard {
    /// The first, or the only one: the outbox itself.
    pub const FIRST: Self = Self(0);

    /// Its number, from 1.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0 + 1
    }

    /// Its position in a list of all, from 0.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Its table, within [`SCHEMA`](super::SCHEMA).
    #[must_use]
    pub fn table(self) -> String {
        match self {
            Self::FIRST => TABLE.to_owned(),
            other => format!("{TABLE}_{}", other.number()),
        }
    }

    /// The name of what belongs to this shard, where that of the first one's is `first`.
    #[must_use]
    pub fn named(self, first: &str, separator: char) -> String {
        match self {
            Self::FIRST => first.to_owned(),
            other => format!("{first}{separator}s{}", other.number()),
        }
    }
}

/// How many shards there are, and which one an event goes into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shards(NonZeroU8);

impl Shards {
    /// One: nothing is sharded.
    pub const ONE: Self = Self(NonZeroU8::MIN);
    /// The most there may be: each takes a slot, a walsender and a connector.
    pub const MOST: u8 = 16;

    /// So many; `None` for none, and for more than [`Shards::MOST`].
    #[must_use]
    pub fn new(count: u8) -> Option<Self> {
        NonZeroU8::new(count)
            .filter(|count| count.get() <= Self::MOST)
            .map(Self)
    }

    /// How many.
    #[must_use]
    pub fn count(self) -> u8 {
        self.0.get()
    }

    /// Whether there is more than one.
    #[must_use]
    pub fn are_several(self) -> bool {
        self != Self::ONE
    }

    /// Each, from the first.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = Shard> + Clone {
        (0..self.count()).map(Shard)
    }

    /// The shard of an aggregate: all of its events are there, so that they stay in order.
    #[must_use]
    pub fn of(self, aggregate: Uuid) -> Shard {
        // Less than the count.
        let index = (u128::from(hash(aggregate)) * u128::from(self.count())) >> 64;
        u8::try_from(index).map_or(Shard::FIRST, Shard)
    }
}

/// Every bit of an id is in every bit of its hash, by the finalizer of SplitMix64. Another hash than Kafka's producers take for a
/// partition: by the same one, the events of a shard would all be in a few partitions of its topic.
fn hash(id: Uuid) -> u64 {
    let (high, low) = id.as_u64_pair();
    let mut hash = high ^ low.rotate_left(32);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::super::Generator;
    use super::*;

    #[test]
    fn the_first_shard_has_the_usual_names() {
        let shards = Shards::new(3).unwrap();
        let tables: Vec<_> = shards.iter().map(Shard::table).collect();
        assert_eq!(tables, ["event_outbox", "event_outbox_2", "event_outbox_3"]);
        let named = |separator| move |shard: Shard| shard.named("cdc", separator);
        let slots: Vec<_> = shards.iter().map(named('_')).collect();
        assert_eq!(slots, ["cdc", "cdc_s2", "cdc_s3"]);
        assert_eq!(shards.iter().next_back().map(named('-')).unwrap(), "cdc-s3");
        assert_eq!(Shards::ONE.iter().collect::<Vec<_>>(), [Shard::FIRST]);
        assert_eq!((Shards::new(0), Shards::new(17)), (None, None));
    }

    /// Where an aggregate is may not change from one version to the next, or between the machines of one test.
    #[test]
    fn an_aggregate_is_in_the_same_shard_everywhere() {
        let aggregate = Uuid::from_u128(0x0196_4ee8_7a10_7c3e_9b51_2f60_d1aa_00c4);
        assert_eq!(Shards::ONE.of(aggregate), Shard::FIRST);
        let numbers = [2, 3, 4, 16].map(|count| Shards::new(count).unwrap().of(aggregate).number());
        assert_eq!(numbers, [1, 2, 2, 7]);
    }

    #[test]
    fn the_events_of_a_load_are_spread_evenly() {
        for count in [2, 4, 5, 16] {
            let shards = Shards::new(count).unwrap();
            let mut events = vec![0_u32; count.into()];
            let rows = Generator::new(7, jiff::Timestamp::UNIX_EPOCH);
            for row in rows.take(16_000) {
                events[shards.of(row.aggregate_id).index()] += 1;
            }
            let even = 16_000 / u32::from(count);
            let is_near = |found: &u32| found.abs_diff(even) < even / 4;
            assert!(events.iter().all(is_near), "{count} shards: {events:?}");
        }
    }
}
