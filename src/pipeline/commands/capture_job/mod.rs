//! `capture`: delivers what our reader reads, as lines or as records into Kafka. A transaction, or the initial copy of a table,
//! is acknowledged once all of it is delivered.

mod handler;
mod job;
mod lines;
mod outlet;
mod records;
mod state;

pub use job::{CAPTURE_STEP, CaptureRequest, Destination, run_capture};
pub use lines::LineFormat;
