//! `capture`: delivers what our reader reads, as lines or as records into Kafka. A transaction, or the initial copy of a table,
//! is acknowledged once all of it is delivered.

mod handler;
mod job;
mod line_writer;
mod lines;
mod names;
mod outlet;
mod preparation;
mod records;
mod registration;
mod state;
mod topics;
mod undelivered;

pub use job::{CAPTURE_STEP, CaptureEnd, CaptureRequest, Destination, run_capture};
pub use lines::LineFormat;
pub use preparation::{CaptureSource, Preparation, TopicRequest};
pub use topics::{TopicRule, check_topic_prefix};
