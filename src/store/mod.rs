//! The read model in MongoDB, or a server with its protocol: documents, idempotent bulk writes, verification.

mod bson;
mod command;
mod difference;
mod document;
mod document_batch;
mod error;
mod error_class;
mod key_text;
mod member_cache;
mod mongo;
mod outcome;
mod payload;
mod sink;
mod transcode;
mod verify;
mod write_concern;

pub use difference::FieldDifference;
pub use document::{COLLECTION, DocumentError, DocumentParts, document_id};
pub use document_batch::DocumentBatch;
pub use error::StoreError;
pub use mongo::{
    DefaultWriteConcern, DocumentChange, DocumentChanges, MongoStore, ServerLoad, SetMember,
    SetStatus, StoreIdentity, StreamPosition,
};
pub use outcome::{BulkOutcome, ConflictingDocument, RefusedDocument};
pub(crate) use payload::PayloadBuffer;
pub use payload::{Payload, Transcoded};
pub use sink::Store;
pub use verify::{DifferingDocument, Scope, StoreVerification, VerifyError, verify};
pub use write_concern::WriteConcernChoice;
