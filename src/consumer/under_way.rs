//! What was taken from the source and is not yet dealt with, in the order it was taken: so that no offset is let go
//! before everything up to it is.

use std::collections::VecDeque;
use std::sync::Arc;

use super::RecordBatch;

/// The batches under way. Each has a number, by which its records are found again.
#[derive(Default)]
pub(super) struct UnderWay {
    batches: VecDeque<Taken>,
    /// Number of the first of them.
    first: u64,
    records: usize,
    bytes: usize,
}

struct Taken {
    records: Arc<RecordBatch>,
    /// Runs that its events are of.
    run_ids: Vec<String>,
    /// Records of it that are not dealt with.
    left: usize,
}

impl UnderWay {
    /// Adds a batch; returns its number.
    pub fn take(&mut self, records: Arc<RecordBatch>) -> u64 {
        self.records += records.len();
        self.bytes += records.bytes();
        let left = records.len();
        self.batches.push_back(Taken {
            records,
            run_ids: Vec::new(),
            left,
        });
        self.first + self.batches.len() as u64 - 1
    }

    /// Records under way.
    pub fn records(&self) -> usize {
        self.records
    }

    /// Bytes of their values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A batch that is under way.
    pub fn batch(&self, number: u64) -> &RecordBatch {
        &self.batches[self.index(number)].records
    }

    /// The runs that a batch's events are of are known.
    pub fn decoded(&mut self, number: u64, run_ids: Vec<String>) {
        let index = self.index(number);
        self.batches[index].run_ids = run_ids;
    }

    /// One of the runs that a batch's events are of.
    pub fn run_id(&self, number: u64, run: usize) -> &str {
        &self.batches[self.index(number)].run_ids[run]
    }

    /// So many more records of a batch are dealt with.
    pub fn dealt_with(&mut self, number: u64, count: usize) {
        let index = self.index(number);
        self.batches[index].left -= count;
    }

    /// Lets go of the batches up to which nothing is left to do. `written` is told how far that is in each partition.
    pub fn release(&mut self, mut written: impl FnMut(i32, i64)) {
        while let Some(done) = self.batches.pop_front_if(|taken| taken.left == 0) {
            self.first += 1;
            self.records -= done.records.len();
            self.bytes -= done.records.bytes();
            for (partition, offset) in done.records.last_offsets() {
                written(partition, offset);
            }
        }
    }

    fn index(&self, number: u64) -> usize {
        usize::try_from(number - self.first).expect("as many batches as are in memory")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::Record;
    use cdc_bench_model::timeline::Stamp;

    fn batch(offsets: &[(i32, i64)]) -> Arc<RecordBatch> {
        let mut batch = RecordBatch::default();
        for &(partition, offset) in offsets {
            batch.push(Record {
                value: Some(b"four"),
                partition,
                offset,
                appended: None,
                received: Stamp(0),
            });
        }
        Arc::new(batch)
    }

    fn released(under_way: &mut UnderWay) -> Vec<(i32, i64)> {
        let mut offsets = Vec::new();
        under_way.release(|partition, offset| offsets.push((partition, offset)));
        offsets
    }

    #[test]
    fn an_offset_is_let_go_when_everything_before_it_is_dealt_with() {
        let mut under_way = UnderWay::default();
        let first = under_way.take(batch(&[(0, 5), (1, 70), (0, 6)]));
        let second = under_way.take(batch(&[(1, 71)]));
        let third = under_way.take(batch(&[(0, 7)]));
        assert_eq!((under_way.records(), under_way.bytes()), (5, 20));
        under_way.dealt_with(second, 1);
        under_way.dealt_with(first, 2);
        assert_eq!(released(&mut under_way), []);
        under_way.dealt_with(first, 1);
        assert_eq!(released(&mut under_way), [(0, 6), (1, 70), (1, 71)]);
        assert_eq!((under_way.records(), under_way.bytes()), (1, 4));
        assert_eq!(under_way.batch(third).get(0).offset, 7);
        under_way.dealt_with(third, 1);
        assert_eq!(released(&mut under_way), [(0, 7)]);
        // Batches of nothing hold nothing up.
        under_way.take(batch(&[]));
        let last = under_way.take(batch(&[(0, 8)]));
        under_way.dealt_with(last, 1);
        assert_eq!(released(&mut under_way), [(0, 8)]);
    }
}
