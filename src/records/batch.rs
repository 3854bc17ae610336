//! A batch of records: their values in one buffer, or in the memory that they were received in.

use std::sync::Arc;

use super::{ReceivedRecord, RecordHeader, RecordStorage};
use cdc_bench_model::timeline::Stamp;

/// Records that were received together, in their order. Their values are in one buffer, so that a batch of many records
/// takes as many allocations as a batch of one, or stay in a [`RecordStorage`].
#[derive(Clone, Default)]
pub struct RecordBatch {
    buffer: Vec<u8>,
    storage: Option<Arc<dyn RecordStorage>>,
    records: Vec<BatchEntry>,
}

#[derive(Clone)]
struct BatchEntry {
    value: ValueLocation,
    /// Length of the value, bytes.
    bytes: usize,
    partition: i32,
    offset: i64,
    appended: Option<Stamp>,
    received: Stamp,
}

/// Where a record's value is.
#[derive(Clone, Copy)]
enum ValueLocation {
    /// A tombstone has no value.
    Tombstone,
    /// In the buffer of the batch, from this byte on.
    Buffer(usize),
    /// In the storage, at this index.
    Storage(usize),
}

impl BatchEntry {
    fn new(record: &ReceivedRecord<'_>, value: ValueLocation) -> Self {
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
    /// The records of `storage`; their values are not copied.
    pub fn backed_by(storage: impl RecordStorage + 'static) -> Self {
        let entry = |index| BatchEntry::new(&storage.record(index), ValueLocation::Storage(index));
        Self {
            buffer: Vec::new(),
            records: (0..storage.count()).map(entry).collect(),
            storage: Some(Arc::new(storage)),
        }
    }

    /// Adds a record; its value is copied.
    pub fn push(&mut self, record: ReceivedRecord<'_>) {
        let location = record.value.map_or(ValueLocation::Tombstone, |value| {
            let begin = self.buffer.len();
            self.buffer.extend_from_slice(value);
            ValueLocation::Buffer(begin)
        });
        self.records.push(BatchEntry::new(&record, location));
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it holds no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of all values together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.records.iter().map(|entry| entry.bytes).sum()
    }

    /// The record at `index`.
    ///
    /// # Panics
    /// When `index` is out of range.
    #[must_use]
    pub fn get(&self, index: usize) -> ReceivedRecord<'_> {
        let entry = &self.records[index];
        let value = match entry.value {
            ValueLocation::Tombstone => None,
            ValueLocation::Buffer(begin) => Some(&self.buffer[begin..begin + entry.bytes]),
            ValueLocation::Storage(_) => {
                let stored = self.stored(index);
                stored.and_then(|(storage, index)| storage.value(index))
            }
        };
        ReceivedRecord {
            value,
            partition: entry.partition,
            offset: entry.offset,
            appended: entry.appended,
            received: entry.received,
        }
    }

    /// The key of the record at `index`, where it has one and the records are in a [`RecordStorage`].
    ///
    /// # Panics
    /// When `index` is out of range.
    #[must_use]
    pub fn key(&self, index: usize) -> Option<&[u8]> {
        let (storage, index) = self.stored(index)?;
        storage.key(index)
    }

    /// The headers of the record at `index`, where the records are in a [`RecordStorage`].
    ///
    /// # Panics
    /// When `index` is out of range.
    #[must_use]
    pub fn headers(&self, index: usize) -> Vec<RecordHeader> {
        let stored = self.stored(index);
        stored.map_or_else(Vec::new, |(storage, index)| storage.headers(index))
    }

    /// The storage that the record at `index` is in, and its position there.
    fn stored(&self, index: usize) -> Option<(&dyn RecordStorage, usize)> {
        match self.records[index].value {
            ValueLocation::Storage(index) => Some((self.storage.as_deref()?, index)),
            ValueLocation::Tombstone | ValueLocation::Buffer(_) => None,
        }
    }

    /// All records, first to last.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = ReceivedRecord<'_>> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// The last offset of each partition.
    #[must_use]
    pub fn last_offsets(&self) -> Vec<(i32, i64)> {
        let mut last: Vec<(i32, i64)> = Vec::new();
        for entry in &self.records {
            match last
                .iter_mut()
                .find(|(partition, _)| *partition == entry.partition)
            {
                Some((_, offset)) => *offset = entry.offset,
                None => last.push((entry.partition, entry.offset)),
            }
        }
        last
    }

    /// Removes the records of these partitions.
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

    fn record(partition: i32, offset: i64, value: Option<&[u8]>) -> ReceivedRecord<'_> {
        ReceivedRecord {
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

    /// Storage whose drop can be observed, by the count of `_alive`.
    struct OwnedValues {
        values: Vec<Option<Vec<u8>>>,
        _alive: Arc<()>,
    }

    impl RecordStorage for OwnedValues {
        fn count(&self) -> usize {
            self.values.len()
        }

        fn record(&self, index: usize) -> ReceivedRecord<'_> {
            record(0, i64::try_from(index).unwrap(), self.value(index))
        }

        fn value(&self, index: usize) -> Option<&[u8]> {
            self.values[index].as_deref()
        }
    }

    #[test]
    fn values_in_storage_are_not_moved_and_are_dropped_with_the_last_batch() {
        let values = vec![Some(b"one".to_vec()), None, Some(b"three".to_vec())];
        let addresses: Vec<_> = values
            .iter()
            .flatten()
            .map(|value| value.as_ptr())
            .collect();
        let alive = Arc::new(());
        let storage = OwnedValues {
            values,
            _alive: Arc::clone(&alive),
        };
        let mut batch = RecordBatch::backed_by(storage);
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
            addresses[..]
        );
        let rest = {
            let mut rest = batch.clone();
            drop(batch);
            rest.remove_partitions(&[1]);
            rest
        };
        assert_eq!(rest.get(2).value, Some(&b"three"[..]));
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(rest);
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
