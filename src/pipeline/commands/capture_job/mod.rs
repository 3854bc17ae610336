//! `capture`: what our reader reads, passed on as lines or as records into Kafka. A transaction, or a table's initial copy, is
//! acknowledged once everything of it is where it should be.

mod handler;
mod job;
mod lines;
mod outlet;
mod records;
mod state;

pub use job::{CAPTURE_STEP, CaptureRequest, Destination, run_capture};
pub use lines::LineFormat;
