//! The consumer: decodes records, writes their documents to the store, and then marks their offsets as written.
//!
//! [`ConsumerStage`] takes its records from a [`crate::records::RecordSource`] and writes through [`crate::store::Store`],
//! so a test or a bench runs it without a server. A record that cannot be written is a [`DeadLetter`].

mod dead_letter;
mod dead_letter_file;
mod dead_letter_record;
mod dead_letters;
mod decode;
mod decode_batch;
mod error;
mod in_flight;
mod lane;
mod observer;
mod reason;
mod rejected;
mod stage;
mod write;

pub use dead_letter::{Bytes, DeadLetter};
pub use dead_letter_file::{FileLine, FileLines, LockedFile};
pub use dead_letters::{DeadLetterTopic, DeadLetters, Publication};
pub use decode::{Decoded, Decoder, EventHeader};
pub use error::StageError;
pub use observer::StageObserver;
pub use reason::{DeadLetterReason, ReasonCounts};
pub use rejected::Rejected;
pub use stage::{ConsumerStage, StageConfig, StageEnd};
