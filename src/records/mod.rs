//! Records between their source and the consumer: [`crate::broker`] and the embedded reader produce them,
//! [`crate::consumer`] takes them.

mod batch;
mod record;
mod source;
mod topics;

pub use batch::RecordBatch;
pub use record::{ReceivedRecord, RecordHeader, RecordStorage};
pub use source::RecordSource;
pub use topics::Topics;
