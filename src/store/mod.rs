//! The read model in MongoDB (or a server that speaks its protocol): documents, idempotent bulk writes, the verifier.

mod bson;
mod command;
mod difference;
mod document;
mod documents;
mod error;
mod mongo;
mod names;
mod outcome;
mod payload;
mod transcode;
mod verify;

use std::future::Future;

pub use command::WriteConcernChoice;
pub use difference::FieldDifference;
pub use document::{DocumentError, DocumentParts, document_id};
pub use documents::Documents;
pub use error::StoreError;
pub use mongo::{COLLECTION, MongoStore, StoreIdentity};
pub use outcome::{BulkOutcome, Refusal};
pub(crate) use payload::PayloadBuffer;
pub use payload::{Payload, Transcoded};
pub use verify::{Difference, Scope, Verification, VerifyError, verify};

/// Where documents go. The consumer writes through it, so that a test or a bench can stand in for the server.
pub trait Store: Send + Sync {
    /// Writes the documents, each by its `_id`: what is not there is inserted, what is there is replaced. So the same
    /// documents can be written again after an error.
    ///
    /// # Errors
    /// [`StoreError`]: which of the documents were written is unknown. [`StoreError::is_transient`] says whether to try
    /// again. A document that the store refuses for itself is no error but a [`Refusal`] in the outcome.
    fn upsert(
        &self,
        documents: &Documents,
    ) -> impl Future<Output = Result<BulkOutcome, StoreError>> + Send;
}
