//! Writes documents, in commands of a size that the server accepts.

use std::ops::Range;
use std::time::Duration;

use mongodb::bson::RawDocument;

use super::MongoStore;
use crate::store::command::{fitting, update_command};
use crate::store::error::is_transient_code;
use crate::store::{BulkOutcome, DocumentBatch, RefusedDocument, Store, StoreError};

/// Longest wait for the answer to one write.
const WRITE_LIMIT: Duration = Duration::from_secs(30);

/// `DuplicateKey`: two upserts of the same `_id` at the same time, of which the second is to be tried again.
const DUPLICATE_KEY: i32 = 11_000;

impl MongoStore {
    /// One `update` command that replaces or inserts each document by its `_id`.
    pub(super) async fn update<'d>(
        &self,
        collection: &str,
        documents: impl IntoIterator<Item = &'d RawDocument>,
        doing: &str,
    ) -> Result<BulkOutcome, StoreError> {
        let command = update_command(collection, documents, self.write_concern);
        let answer = tokio::time::timeout(WRITE_LIMIT, self.database.run_raw_command(command));
        let reply = match answer.await {
            Ok(reply) => reply.map_err(|error| self.failed(&error, doing))?,
            Err(_) => {
                return Err(StoreError::Transient {
                    server: self.server.clone(),
                    doing: doing.to_owned(),
                    cause: format!("no answer within {} s", WRITE_LIMIT.as_secs()),
                });
            }
        };
        if let Ok(concern) = reply.get_document("writeConcernError") {
            return Err(StoreError::Transient {
                server: self.server.clone(),
                doing: doing.to_owned(),
                cause: format!("the write concern was not met: {concern}"),
            });
        }
        let outcome = BulkOutcome::of_reply(&reply);
        // The reason is the state of the server and not the document: no case for the dead letters.
        let transient = |refusal: &&RefusedDocument| is_transient_code(refusal.code);
        if let Some(refusal) = outcome.refusals.iter().find(transient) {
            return Err(self.refused(refusal.code, &refusal.message, doing));
        }
        Ok(outcome)
    }

    /// Writes documents that fit one command, and once more those that lost a race for their `_id`.
    async fn upsert_chunk(
        &self,
        documents: &DocumentBatch,
        which: Range<usize>,
    ) -> Result<BulkOutcome, StoreError> {
        let doing = "write events";
        let chunk = which.clone().map(|index| documents.get(index));
        let mut outcome = self.update(&self.collection, chunk, doing).await?;
        let (raced, refused): (Vec<_>, Vec<_>) = std::mem::take(&mut outcome.refusals)
            .into_iter()
            .partition(|refusal| refusal.code == DUPLICATE_KEY && refusal.index < which.len());
        outcome.refusals = refused;
        if !raced.is_empty() {
            let again = raced.iter().map(|r| documents.get(which.start + r.index));
            let mut second = self.update(&self.collection, again, doing).await?;
            for refusal in &mut second.refusals {
                refusal.index = raced.get(refusal.index).map_or(usize::MAX, |r| r.index);
            }
            outcome.add(second, 0);
        }
        Ok(outcome)
    }
}

impl Store for MongoStore {
    async fn upsert(&self, documents: &DocumentBatch) -> Result<BulkOutcome, StoreError> {
        let mut outcome = BulkOutcome::default();
        let mut begin = 0;
        while begin < documents.len() {
            let end = begin + fitting(documents, begin);
            let chunk = self.upsert_chunk(documents, begin..end).await?;
            outcome.add(chunk, begin);
            begin = end;
        }
        Ok(outcome)
    }
}
