//! Where the consumer takes its records from.

use std::future::Future;

use super::RecordBatch;

/// A source of records: a Kafka consumer, a channel in this process, or a test.
pub trait RecordSource: Send {
    /// The next records, as many as were received together; waits while there are none. `None`: there will be no more.
    /// Dropping the future before it is ready loses no record.
    fn recv(&mut self) -> impl Future<Output = Option<RecordBatch>> + Send;

    /// All records of `partition` up to and including `offset` are written, skipped or in the dead letters. Offsets of a
    /// partition ascend from call to call.
    fn written(&mut self, partition: i32, offset: i64);
}
