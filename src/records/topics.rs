//! The topics of a source of records, and the numbers of their partitions.

use std::sync::Arc;

/// The topics of a source. Their partitions are numbered through: those of the second follow those of the first, so that a number says
/// which of all they are. Those of a single topic have their own numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    names: Arc<[String]>,
    /// Of each.
    partitions: i32,
}

impl Topics {
    /// One topic, of any number of partitions.
    pub fn one(name: impl Into<String>) -> Self {
        Self::several(vec![name.into()], i32::MAX)
    }

    /// Topics of so many partitions each.
    #[must_use]
    pub fn several(names: Vec<String>, partitions: i32) -> Self {
        Self {
            names: names.into(),
            partitions: partitions.max(1),
        }
    }

    /// Their names, in the order of their partitions' numbers.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of a topic's partition.
    #[must_use]
    pub fn number(&self, topic: &str, partition: i32) -> i32 {
        if self.names.len() == 1 {
            return partition;
        }
        let before = self.names.iter().take_while(|name| *name != topic).count();
        i32::try_from(before).map_or(partition, |before| before * self.partitions + partition)
    }

    /// The topic of a number, and the partition there.
    #[must_use]
    pub fn place(&self, number: i32) -> (&str, i32) {
        let topic = usize::try_from(number / self.partitions);
        let name = topic.ok().and_then(|topic| self.names.get(topic));
        (name.map_or("", String::as_str), number % self.partitions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partitions_of_several_topics_are_numbered_through() {
        let several = Topics::several(vec!["a".to_owned(), "b".to_owned()], 3);
        for (number, place) in [("a", 0), ("a", 2), ("b", 0), ("b", 2)]
            .into_iter()
            .zip([0, 2, 3, 5])
            .map(|(place, number)| (number, place))
        {
            assert_eq!(several.number(place.0, place.1), number);
            assert_eq!(several.place(number), place);
        }
        let one = Topics::one("a");
        assert_eq!(one.number("a", 300), 300);
        assert_eq!(one.place(300), ("a", 300));
        assert_eq!(one.names(), ["a"]);
    }
}
