//! Where the consumer writes its documents.

use std::future::Future;

use super::{BulkOutcome, DocumentBatch, StoreError};

/// A store of documents: [`super::MongoStore`], or a replacement in a test or a bench.
pub trait Store: Send + Sync {
    /// Inserts the documents that are not there. One that is there stays as it is: it is the same, and the event was received
    /// twice, or a [`super::ConflictingDocument`]. So the same documents can be written again after an error.
    ///
    /// # Errors
    /// [`StoreError`]: which of the documents were written is unknown. [`StoreError::is_transient`] says whether to try
    /// again. A document that the store refuses by itself is not an error but a [`super::RefusedDocument`] in the outcome.
    fn write(
        &self,
        documents: &DocumentBatch,
    ) -> impl Future<Output = Result<BulkOutcome, StoreError>> + Send;
}
