//! Records as they come in: several together, in one buffer.

use std::sync::Arc;

use cdc_bench_model::timeline::Stamp;

/// One record, stamped; its value is borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its value; `None` for a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// T2 on the clock of whoever stamped it; `None` when no Kafka was in between.
    pub appended: Option<Stamp>,
    /// T3.
    pub received: Stamp,
}

/// Records that are left where they were received, until the last batch that has them is dropped.
pub trait Kept: Send + Sync {
    /// How many there are.
    fn count(&self) -> usize;

    /// The one at `index`, of so many.
    fn record(&self, index: usize) -> Record<'_>;

    /// Its value alone, which is what is asked for again.
    fn value(&self, index: usize) -> Option<&[u8]>;
}

/// Records that came together, in the order they came in. Their values lie one after the other in one buffer, so that
/// many records cost as many allocations as one, or are left where they were received.
#[derive(Clone, Default)]
pub struct RecordBatch {
    copied: Vec<u8>,
    kept: Option<Arc<dyn Kept>>,
    records: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    value: Place,
    /// Length of its value.
    bytes: usize,
    partition: i32,
    offset: i64,
    appended: Option<Stamp>,
    received: Stamp,
}

/// Where a record's value lies.
#[derive(Clone, Copy)]
enum Place {
    /// A tombstone has none.
    Nowhere,
    /// In the buffer of the batch, from here on.
    Copied(usize),
    /// With whoever received it, under this index.
    Kept(usize),
}

impl Entry {
    fn new(record: &Record<'_>, value: Place) -> Self {
        Self {
            value,
            bytes: record.value.map_or(0, <[u8]>::len),
            partition: record.partition,
            offset: record.offset,
            appended: record.appended,
            received: record.received,
        }
    }
}

impl RecordBatch {
    /// The records that `kept` keeps.
    pub fn keeping(kept: impl Kept + 'static) -> Self {
        let entry = |index| Entry::new(&kept.record(index), Place::Kept(index));
        Self {
            copied: Vec::new(),
            records: (0..kept.count()).map(entry).collect(),
            kept: Some(Arc::new(kept)),
        }
    }

    /// Adds a record; its value is copied.
    pub fn push(&mut self, record: Record<'_>) {
        let place = record.value.map_or(Place::Nowhere, |value| {
            let begin = self.copied.len();
            self.copied.extend_from_slice(value);
            Place::Copied(begin)
        });
        self.records.push(Entry::new(&record, place));
    }

    /// Records in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether none is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of all values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.records.iter().map(|entry| entry.bytes).sum()
    }

    /// The record at `index`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn get(&self, index: usize) -> Record<'_> {
        let entry = &self.records[index];
        let value = match entry.value {
            Place::Nowhere => None,
            Place::Copied(begin) => Some(&self.copied[begin..begin + entry.bytes]),
            Place::Kept(index) => self.kept.as_ref().and_then(|kept| kept.value(index)),
        };
        Record {
            value,
            partition: entry.partition,
            offset: entry.offset,
            appended: entry.appended,
            received: entry.received,
        }
    }

    /// All of them, first to last.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// The last offset of each partition.
    #[must_use]
    pub fn last_offsets(&self) -> Vec<(i32, i64)> {
        let mut last: Vec<(i32, i64)> = Vec::new();
        for entry in &self.records {
            match last.iter_mut().find(|(known, _)| *known == entry.partition) {
                Some((_, offset)) => *offset = entry.offset,
                None => last.push((entry.partition, entry.offset)),
            }
        }
        last
    }

    /// Takes the records of these partitions out.
    pub fn remove_partitions(&mut self, partitions: &[i32]) {
        self.records
            .retain(|entry| !partitions.contains(&entry.partition));
    }

    /// Keeps the first `len` records.
    pub fn truncate(&mut self, len: usize) {
        self.records.truncate(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(partition: i32, offset: i64, value: Option<&[u8]>) -> Record<'_> {
        Record {
            value,
            partition,
            offset,
            appended: Some(Stamp(offset * 10)),
            received: Stamp(offset * 20),
        }
    }

    #[test]
    fn what_went_in_comes_out_in_its_order() {
        let records = [
            record(3, 7, Some(b"one")),
            record(3, 8, None),
            record(4, 9, Some(b"")),
            record(3, 10, Some(b"four")),
        ];
        let mut batch = RecordBatch::default();
        records.into_iter().for_each(|record| batch.push(record));
        assert!(batch.iter().eq(records));
        assert_eq!((batch.len(), batch.bytes()), (4, 7));
        assert_eq!(batch.last_offsets(), [(3, 10), (4, 9)]);
        let mut less = batch.clone();
        less.remove_partitions(&[4]);
        assert!(less.iter().eq([records[0], records[1], records[3]]));
        batch.truncate(2);
        assert!(batch.iter().eq(records.into_iter().take(2)));
        assert_eq!(batch.bytes(), 3);
    }

    /// Whoever keeps them says when they are gone.
    struct Keeper {
        values: Vec<Option<Vec<u8>>>,
        _there: Arc<()>,
    }

    impl Kept for Keeper {
        fn count(&self) -> usize {
            self.values.len()
        }

        fn record(&self, index: usize) -> Record<'_> {
            record(0, i64::try_from(index).unwrap(), self.value(index))
        }

        fn value(&self, index: usize) -> Option<&[u8]> {
            self.values[index].as_deref()
        }
    }

    #[test]
    fn values_that_are_kept_are_not_moved_and_go_with_the_last_batch() {
        let values = vec![Some(b"one".to_vec()), None, Some(b"three".to_vec())];
        let places: Vec<_> = values
            .iter()
            .flatten()
            .map(|value| value.as_ptr())
            .collect();
        let there = Arc::new(());
        let keeper = Keeper {
            values,
            _there: Arc::clone(&there),
        };
        let mut batch = RecordBatch::keeping(keeper);
        assert_eq!((batch.len(), batch.bytes()), (3, 8));
        // One that is copied may follow.
        batch.push(record(1, 3, Some(b"four")));
        let values: Vec<_> = batch.iter().map(|record| record.value).collect();
        assert_eq!(
            values,
            [Some(&b"one"[..]), None, Some(b"three"), Some(b"four")]
        );
        assert_eq!(
            [values[0], values[2]].map(|value| value.unwrap().as_ptr()),
            places[..]
        );
        let rest = {
            let mut rest = batch.clone();
            drop(batch);
            rest.remove_partitions(&[1]);
            rest
        };
        assert_eq!(rest.get(2).value, Some(&b"three"[..]));
        assert_eq!(Arc::strong_count(&there), 2);
        drop(rest);
        assert_eq!(Arc::strong_count(&there), 1);
    }
}
