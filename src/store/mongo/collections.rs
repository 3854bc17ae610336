//! Creates, probes and drops the collections.

use mongodb::IndexModel;
use mongodb::bson::{Document, RawDocumentBuf, doc};
use mongodb::options::IndexOptions;
use uuid::Uuid;

use super::MongoStore;
use super::write::Answer;
use crate::store::StoreError;
use crate::store::bson::BsonBuffer;

/// The collection of [`MongoStore::check_writable`].
const PROBE_COLLECTION: &str = "cdc_bench_probe";

/// `NamespaceNotFound`: there is no collection to drop.
const NAMESPACE_NOT_FOUND: i32 = 26;
/// `NamespaceExists`: the collection to create is there.
const NAMESPACE_EXISTS: i32 = 48;

impl MongoStore {
    /// Writes a document at the write concern of the run, and deletes it again, with those of checks that were killed.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::NotPermitted`], or any other reason that it cannot be written.
    pub async fn check_writable(&self) -> Result<(), StoreError> {
        let probe_id = Uuid::now_v7();
        let mut probe = BsonBuffer::default();
        let document = probe.begin();
        probe.uuid("_id", probe_id);
        probe.end(document);
        let probe = RawDocumentBuf::from_bytes(probe.into_bytes())
            .expect("the length was filled in when the document was ended");
        let doing = "write a probe document";
        let refusal = match self.insert(PROBE_COLLECTION, [&*probe], doing).await? {
            Answer::OneRefused { code, message } => Some((code, message)),
            Answer::Written(outcome) => {
                let mut refusals = outcome.refusals.into_iter();
                refusals
                    .next()
                    .map(|refusal| (refusal.code, refusal.message))
            }
        };
        if let Some((code, message)) = refusal {
            return Err(self.refused(code, &message, doing));
        }
        // That of a check that was killed, too: one that is in progress has its answer by then, and does not miss it. But another may
        // be about to write its own: drop the collection only when it is empty.
        let probes = self.database.collection::<Document>(PROBE_COLLECTION);
        let doing = "delete a probe document";
        let deleted = probes.delete_many(doc! {}).await;
        deleted.map_err(|error| self.failed(&error, doing))?;
        let left = probes.estimated_document_count().await;
        if left.map_err(|error| self.failed(&error, doing))? == 0 {
            self.drop_named(PROBE_COLLECTION).await?;
        }
        Ok(())
    }

    /// Creates the collection with its index on `{run_id, _id}` if it is missing; one that is there is left as it is. Returns
    /// whether it created the collection.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ensure_indexes(&self) -> Result<bool, StoreError> {
        let doing = &format!("make the collection {:?}", self.collection);
        // Newer servers answer `create` of one that exists as if they had made it.
        if self.collection_exists().await? {
            return Ok(false);
        }
        match self.database.create_collection(&self.collection).await {
            Ok(()) => {}
            Err(error) if code_of(&error) == Some(NAMESPACE_EXISTS) => return Ok(false),
            Err(error) => return Err(self.failed(&error, doing)),
        }
        let index = IndexModel::builder()
            .keys(doc! { "run_id": 1, "_id": 1 })
            .options(IndexOptions::builder().name("run".to_owned()).build())
            .build();
        let doing = "make the index on run_id and _id";
        let created = self.events().create_index(index).await;
        created.map_err(|error| self.failed(&error, doing))?;
        Ok(true)
    }

    /// Whether the collection is there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn collection_exists(&self) -> Result<bool, StoreError> {
        let named = doc! { "name": &self.collection };
        let found = self.database.list_collection_names().filter(named).await;
        let doing = &format!("look for the collection {:?}", self.collection);
        let found = found.map_err(|error| self.failed(&error, doing))?;
        Ok(!found.is_empty())
    }

    /// Whether the collection has a document that is of none of these runs.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn has_documents_beside(&self, runs: &[String]) -> Result<bool, StoreError> {
        // A run's id is letters, digits, "-" and "_"; what is appended to it follows a "-".
        let of_runs = format!("^({})(-|$)", runs.join("|"));
        let others = doc! { "run_id": { "$not": { "$regex": of_runs } } };
        let found = self.events().find_one(others).await;
        let doing = "look for documents of other runs";
        Ok(found.map_err(|error| self.failed(&error, doing))?.is_some())
    }

    /// Drops the collection with all its documents, if it is there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn drop_collection(&self) -> Result<(), StoreError> {
        self.drop_named(&self.collection).await
    }

    /// Deletes a run's documents; returns how many there were.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_run(&self, run_id: &str) -> Result<u64, StoreError> {
        let deleted = self.events().delete_many(doc! { "run_id": run_id }).await;
        let deleted = deleted.map_err(|error| self.failed(&error, "delete a run's documents"))?;
        Ok(deleted.deleted_count)
    }

    async fn drop_named(&self, collection: &str) -> Result<(), StoreError> {
        let dropped = self
            .database
            .collection::<Document>(collection)
            .drop()
            .await;
        match dropped {
            Err(error) if code_of(&error) != Some(NAMESPACE_NOT_FOUND) => {
                Err(self.failed(&error, &format!("drop the collection {collection:?}")))
            }
            _ => Ok(()),
        }
    }
}

fn code_of(error: &mongodb::error::Error) -> Option<i32> {
    match error.kind.as_ref() {
        mongodb::error::ErrorKind::Command(refusal) => Some(refusal.code),
        _ => None,
    }
}
