//! Batches of records in the order they were received, until every record of them is finished: written, skipped or in
//! the dead letters. No offset is marked as written before all up to it are finished.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::records::RecordBatch;

/// The batches in flight. Each has a number, by which its records are found.
#[derive(Default)]
pub(super) struct InFlight {
    batches: VecDeque<InFlightBatch>,
    /// Number of the first batch.
    first: u64,
    records: usize,
    bytes: usize,
}

struct InFlightBatch {
    records: Arc<RecordBatch>,
    /// Runs that its events belong to.
    run_ids: Vec<String>,
    /// Records of it that are not finished.
    unfinished: usize,
}

impl InFlight {
    /// Adds a batch; returns its number.
    pub fn add(&mut self, records: Arc<RecordBatch>) -> u64 {
        self.records += records.len();
        self.bytes += records.bytes();
        let unfinished = records.len();
        self.batches.push_back(InFlightBatch {
            records,
            run_ids: Vec::new(),
            unfinished,
        });
        self.first + self.batches.len() as u64 - 1
    }

    /// Records in flight.
    pub fn records(&self) -> usize {
        self.records
    }

    /// Bytes of their values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The records of a batch.
    pub fn batch(&self, number: u64) -> &RecordBatch {
        &self.batches[self.index(number)].records
    }

    /// Sets the runs that a batch's events belong to.
    pub fn set_run_ids(&mut self, number: u64, run_ids: Vec<String>) {
        let index = self.index(number);
        self.batches[index].run_ids = run_ids;
    }

    /// One of the runs that a batch's events belong to.
    pub fn run_id(&self, number: u64, run: usize) -> &str {
        &self.batches[self.index(number)].run_ids[run]
    }

    /// `count` more records of a batch are finished.
    pub fn finish(&mut self, number: u64, count: usize) {
        let index = self.index(number);
        self.batches[index].unfinished -= count;
    }

    /// Removes the batches from the first on that are finished. `written` gets the last offset of each partition in them.
    pub fn release(&mut self, mut written: impl FnMut(i32, i64)) {
        while let Some(finished) = self.batches.pop_front_if(|batch| batch.unfinished == 0) {
            self.first += 1;
            self.records -= finished.records.len();
            self.bytes -= finished.records.bytes();
            for (partition, offset) in finished.records.last_offsets() {
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
    use crate::records::ReceivedRecord;
    use cdc_bench_model::timeline::Stamp;

    fn batch(offsets: &[(i32, i64)]) -> Arc<RecordBatch> {
        let mut batch = RecordBatch::default();
        for &(partition, offset) in offsets {
            batch.push(ReceivedRecord {
                value: Some(b"four"),
                partition,
                offset,
                appended: None,
                received: Stamp(0),
            });
        }
        Arc::new(batch)
    }

    fn released(in_flight: &mut InFlight) -> Vec<(i32, i64)> {
        let mut offsets = Vec::new();
        in_flight.release(|partition, offset| offsets.push((partition, offset)));
        offsets
    }

    #[test]
    fn an_offset_is_released_when_everything_before_it_is_finished() {
        let mut in_flight = InFlight::default();
        let first = in_flight.add(batch(&[(0, 5), (1, 70), (0, 6)]));
        let second = in_flight.add(batch(&[(1, 71)]));
        let third = in_flight.add(batch(&[(0, 7)]));
        assert_eq!((in_flight.records(), in_flight.bytes()), (5, 20));
        in_flight.finish(second, 1);
        in_flight.finish(first, 2);
        assert_eq!(released(&mut in_flight), []);
        in_flight.finish(first, 1);
        assert_eq!(released(&mut in_flight), [(0, 6), (1, 70), (1, 71)]);
        assert_eq!((in_flight.records(), in_flight.bytes()), (1, 4));
        assert_eq!(in_flight.batch(third).get(0).offset, 7);
        in_flight.finish(third, 1);
        assert_eq!(released(&mut in_flight), [(0, 7)]);
        // An empty batch holds nothing up.
        in_flight.add(batch(&[]));
        let last = in_flight.add(batch(&[(0, 8)]));
        in_flight.finish(last, 1);
        assert_eq!(released(&mut in_flight), [(0, 8)]);
    }
}
