//! The consumer: decodes records, writes their documents to the store, and then marks their offsets as written.
//!
//! [`ConsumerStage`] takes its records from a [`crate::records::RecordSource`] and writes through [`crate::store::Store`],
//! so a test or a bench runs it without a server.

mod dead_letters;
mod decode;
mod decode_batch;
mod error;
mod in_flight;
mod lane;
mod observer;
mod stage;
mod write;

pub use dead_letters::{DeadLetter, DeadLetters};
pub use decode::{Decoded, Decoder, EventHeader, Rejected};
pub use error::StageError;
pub use observer::StageObserver;
pub use stage::{ConsumerStage, StageConfig, StageEnd};
