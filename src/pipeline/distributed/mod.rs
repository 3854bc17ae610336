//! One test on many machines. What its workers and its coordinator say to each other are records of one compacted topic; the
//! stamps of an event reach the worker that follows it through another one, whose partitions are the outbox topic's.

pub(crate) mod control_record;
pub(crate) mod control_topic;
pub(crate) mod coordinator;
mod heartbeat_sums;
pub(crate) mod result_parts;
pub(crate) mod share;
pub(crate) mod stamp_sender;
pub(crate) mod stamps;
pub(crate) mod test_state;
pub(crate) mod worker_clock;
