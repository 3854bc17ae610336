//! Records as they come in: several together, in one buffer.

use std::ops::Range;

use crate::timeline::Stamp;

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

/// Records that came together, in the order they came in. Their values lie one after the other in one buffer, so that
/// many records cost as many allocations as one.
#[derive(Debug, Clone, Default)]
pub struct RecordBatch {
    values: Vec<u8>,
    records: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    value: Option<Range<usize>>,
    partition: i32,
    offset: i64,
    appended: Option<Stamp>,
    received: Stamp,
}

impl RecordBatch {
    /// An empty batch with room for so many records, and bytes of values.
    #[must_use]
    pub fn with_room_for(records: usize, bytes: usize) -> Self {
        Self {
            values: Vec::with_capacity(bytes),
            records: Vec::with_capacity(records),
        }
    }

    /// Adds a record; its value is copied.
    pub fn push(&mut self, record: Record<'_>) {
        let value = record.value.map(|value| {
            let begin = self.values.len();
            self.values.extend_from_slice(value);
            begin..self.values.len()
        });
        self.records.push(Entry {
            value,
            partition: record.partition,
            offset: record.offset,
            appended: record.appended,
            received: record.received,
        });
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
        self.values.len()
    }

    /// The record at `index`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn get(&self, index: usize) -> Record<'_> {
        let entry = &self.records[index];
        Record {
            value: entry.value.clone().map(|range| &self.values[range]),
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

    /// The records that `keep` keeps.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&Record<'_>) -> bool) -> Self {
        let mut kept = Self::default();
        self.iter()
            .filter(keep)
            .for_each(|record| kept.push(record));
        kept
    }

    /// Keeps the first `len` records.
    pub fn truncate(&mut self, len: usize) {
        self.records.truncate(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_in_comes_out_in_its_order() {
        let record = |offset, value| Record {
            value,
            partition: 3,
            offset,
            appended: Some(Stamp(offset * 10)),
            received: Stamp(offset * 20),
        };
        let records = [
            record(7, Some(&b"one"[..])),
            record(8, None),
            record(9, Some(b"")),
            record(10, Some(b"four")),
        ];
        let mut batch = RecordBatch::default();
        records.into_iter().for_each(|record| batch.push(record));
        assert!(batch.iter().eq(records));
        assert_eq!((batch.len(), batch.bytes()), (4, 7));
        let odd = batch.filter(|record| record.offset % 2 == 1);
        assert!(odd.iter().eq([records[0], records[2]]));
        assert_eq!(batch.last_offsets(), [(3, 10)]);
        batch.truncate(2);
        assert!(batch.iter().eq(records.into_iter().take(2)));
    }
}
