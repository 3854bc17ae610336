//! Where the consumer writes its documents.

use std::future::Future;

use super::{BulkOutcome, DocumentBatch, StoreError};

/// A store of documents: [`super::MongoStore`], or a replacement in a test or a bench.
pub trait Store: Send + Sync {
    /// Writes the documents by their `_id`: inserts those that are not there, replaces those that are. So the same
    /// documents can be written again after an error.
    ///
    /// # Errors
    /// [`StoreError`]: which of the documents were written is unknown. [`StoreError::is_transient`] says whether to try
    /// again. A document that the store refuses by itself is not an error but a [`super::RefusedDocument`] in the outcome.
    fn upsert(
        &self,
        documents: &DocumentBatch,
    ) -> impl Future<Output = Result<BulkOutcome, StoreError>> + Send;
}
