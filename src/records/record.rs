//! One record, and where records that are not copied stay.

use cdc_bench_model::timeline::Stamp;

/// A record as it was received; its value is borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedRecord<'a> {
    /// Its value; `None` for a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its partition, by its number among those of all topics of the source (see [`Topics`](super::Topics)).
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// T2 on the clock of the server that stamped it; `None` when there is no Kafka in between.
    pub appended: Option<Stamp>,
    /// T3.
    pub received: Stamp,
}

/// A header of a record: its name and its value.
pub type RecordHeader = (String, Option<Vec<u8>>);

/// Memory of received records that is not copied: it is freed with the last batch that refers to it.
pub trait RecordStorage: Send + Sync {
    /// Number of records.
    fn count(&self) -> usize;

    /// The record at `index`, which is less than [`RecordStorage::count`].
    fn record(&self, index: usize) -> ReceivedRecord<'_>;

    /// The key of that record, where it has one.
    fn key(&self, _index: usize) -> Option<&[u8]> {
        None
    }

    /// The headers of that record, in their order.
    fn headers(&self, _index: usize) -> Vec<RecordHeader> {
        Vec::new()
    }

    /// The value of that record. A batch stores everything else itself, and asks for this again.
    fn value(&self, index: usize) -> Option<&[u8]>;
}
