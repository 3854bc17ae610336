//! What is written into collections, as the server's change stream shows it.

use futures_util::StreamExt as _;
use mongodb::bson::{Bson, Document, doc};
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::{ChangeStreamEvent, OperationType, ResumeToken};
use mongodb::options::FullDocumentType;
use serde_json::Value;

use super::MongoStore;
use crate::store::StoreError;
use crate::store::key_text::{key_text, plain};

/// A document that was written or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentChange {
    /// Its collection.
    pub collection: String,
    /// Its `_id` as JSON without spaces, fields sorted by name.
    pub id: String,
    /// Whether `_id` is a document of its own.
    pub id_is_document: bool,
    /// The document as it is now, where the stream was asked for it; `None` where it is deleted.
    pub document: Option<Document>,
    /// Whether it was deleted.
    pub is_delete: bool,
}

impl DocumentChange {
    /// A field of the document, or of its `_id`, which every change has; `None` where there is none.
    #[must_use]
    pub fn part(&self, path: &[String]) -> Option<Value> {
        let (first, rest) = path.split_first()?;
        if first == "_id" {
            let id = serde_json::from_str::<Value>(&self.id).ok()?;
            return rest.iter().try_fold(id, |at, name| match at {
                Value::Object(mut fields) => fields.remove(name),
                _ => None,
            });
        }
        let field = self.document.as_ref()?.get(first)?;
        let found = rest.iter().try_fold(field, |at, name| match at {
            Bson::Document(fields) => fields.get(name),
            _ => None,
        });
        found.cloned().map(plain)
    }
}

/// A place in a change stream, to go on from.
#[derive(Debug, Clone)]
pub struct StreamPosition(ResumeToken);

/// The change stream of a database.
pub struct DocumentChanges {
    stream: ChangeStream<ChangeStreamEvent<Document>>,
    store: MongoStore,
}

impl MongoStore {
    /// Follows these collections, from this place on or from now on. `with_documents`: each change comes with the document as it is
    /// then.
    ///
    /// # Errors
    /// When the server has no change streams (a standalone server has none), we may not follow them, or it does not have the place
    /// any more.
    pub async fn follow(
        &self,
        collections: &[String],
        with_documents: bool,
        after: Option<StreamPosition>,
    ) -> Result<DocumentChanges, StoreError> {
        let these = doc! { "$match": { "ns.coll": { "$in": collections } } };
        let mut watch = self.database.watch().pipeline([these]);
        if let Some(StreamPosition(token)) = after {
            watch = watch.resume_after(token);
        }
        if with_documents {
            watch = watch.full_document(FullDocumentType::UpdateLookup);
        }
        let opened = watch.await;
        let stream = opened.map_err(|error| {
            let doing = format!(
                "follow the changes of database \"{}\" (a change stream: changeStream and find on it, and a replica set)",
                self.database.name()
            );
            self.failed(&error, &doing)
        })?;
        Ok(DocumentChanges {
            stream,
            store: self.clone(),
        })
    }

    /// The names of the database's collections.
    ///
    /// # Errors
    /// When they may not be listed.
    pub async fn collection_names(&self) -> Result<Vec<String>, StoreError> {
        let names = self.database.list_collection_names().await;
        names.map_err(|error| self.failed(&error, "list the collections"))
    }

    /// The database's name.
    #[must_use]
    pub fn database_name(&self) -> &str {
        self.database.name()
    }
}

impl DocumentChanges {
    /// Where it is.
    #[must_use]
    pub fn position(&self) -> Option<StreamPosition> {
        self.stream.resume_token().map(StreamPosition)
    }

    /// The next change; the driver resumes a stream that was cut. `None` when the server has ended it.
    ///
    /// # Errors
    /// When it cannot be resumed.
    pub async fn next(&mut self) -> Option<Result<DocumentChange, StoreError>> {
        loop {
            let event = match self.stream.next().await? {
                Ok(event) => event,
                Err(error) => {
                    return Some(Err(self.store.failed(&error, "follow the changes")));
                }
            };
            let is_delete = match event.operation_type {
                OperationType::Insert | OperationType::Update | OperationType::Replace => false,
                OperationType::Delete => true,
                _ => continue,
            };
            let collection = event.ns.and_then(|namespace| namespace.coll);
            let id = event.document_key.and_then(|mut key| key.remove("_id"));
            if let (Some(collection), Some(id)) = (collection, id) {
                return Some(Ok(DocumentChange {
                    collection,
                    id_is_document: matches!(id, Bson::Document(_)),
                    id: key_text(id),
                    document: event.full_document,
                    is_delete,
                }));
            }
        }
    }
}
