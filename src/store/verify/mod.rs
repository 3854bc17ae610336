//! Verification: PostgreSQL's rows against the store's documents.
//!
//! [`verify`] reads both sides in the order of the event id and merges them, so memory does not grow with the number of
//! events.

mod document_cursor;
mod error;
mod merge;
mod row_cursor;
mod scope;
mod tally;

pub use error::VerifyError;
pub use merge::verify;
pub use scope::Scope;
pub use tally::{DifferingDocument, StoreVerification};
