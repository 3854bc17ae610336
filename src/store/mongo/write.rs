//! Writes documents, in commands of a size that the server accepts, and says of each that is not written why.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, RawDocument, RawDocumentBuf, doc};
use mongodb::error::ErrorKind;
use mongodb::options::ReadConcern;

use super::MongoStore;
use crate::store::command::{fitting, insert_command};
use crate::store::difference::{NOT_COMPARED, differences};
use crate::store::document_id;
use crate::store::error::not_met;
use crate::store::error_class::{CodeClass, of_command, of_document};
use crate::store::{
    BulkOutcome, ConflictingDocument, DocumentBatch, RefusedDocument, Store, StoreError,
};
use cdc_bench_model::event::EventId;

/// Longest wait for the answer to one write.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
/// What is asked of the server, for messages.
const WRITING: &str = "write events";

/// `DuplicateKey`, today's code and older ones.
const DUPLICATE_KEY: [i32; 2] = [11_000, 11_001];

/// Fields that a conflict names at most.
const FIELDS_NAMED: usize = 5;

/// A server's answer to a command.
pub(super) enum Answer {
    /// What became of each document.
    Written(BulkOutcome),
    /// None was written, as one of them cannot be: which one, the server does not say.
    OneRefused { code: i32, message: String },
}

impl MongoStore {
    /// One `insert` command.
    pub(super) async fn insert<'d>(
        &self,
        collection: &str,
        documents: impl IntoIterator<Item = &'d RawDocument>,
        doing: &str,
    ) -> Result<Answer, StoreError> {
        let command = insert_command(collection, documents, self.write_concern);
        let answer = tokio::time::timeout(WRITE_LIMIT, self.database.run_raw_command(command));
        let reply = match answer.await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => {
                if let ErrorKind::Command(refusal) = error.kind.as_ref()
                    && of_command(refusal.code) == CodeClass::Document
                {
                    return Ok(Answer::OneRefused {
                        code: refusal.code,
                        message: refusal.message.clone(),
                    });
                }
                return Err(self.failed(&error, doing));
            }
            Err(_) => {
                return Err(StoreError::Transient {
                    server: self.server.clone(),
                    doing: doing.to_owned(),
                    cause: format!("no answer within {} s", WRITE_LIMIT.as_secs()),
                });
            }
        };
        if let Ok(concern) = reply.get_document("writeConcernError") {
            return Err(self.concern_not_met(concern, doing));
        }
        let outcome = BulkOutcome::of_reply(&reply);
        // The reason is the server and not the document: no case for the dead letters.
        let of_server =
            |refusal: &&RefusedDocument| of_document(refusal.code) != CodeClass::Document;
        if let Some(refusal) = outcome.refusals.iter().find(of_server) {
            return Err(self.refused(refusal.code, &refusal.message, doing));
        }
        Ok(Answer::Written(outcome))
    }

    /// The documents were written, and not enough members have them.
    fn concern_not_met(&self, concern: &Document, doing: &str) -> StoreError {
        let code = concern.get_i32("code").unwrap_or(0);
        let message = not_met(concern.get_str("errmsg").unwrap_or_default());
        self.refused(code, &message, doing)
    }

    /// Writes documents that fit one command. Where the server refuses all of them for one, they are written by halves.
    async fn insert_chunk(
        &self,
        documents: &DocumentBatch,
        which: Range<usize>,
    ) -> Result<BulkOutcome, StoreError> {
        let mut outcome = BulkOutcome::default();
        let mut parts = vec![which.clone()];
        while let Some(part) = parts.pop() {
            let chunk = part.clone().map(|index| documents.get(index));
            let offset = part.start - which.start;
            match self.insert(&self.collection, chunk, WRITING).await? {
                Answer::Written(written) => outcome.add(written, offset),
                Answer::OneRefused { code, message } if part.len() <= 1 => {
                    outcome.refusals.push(RefusedDocument {
                        index: offset,
                        code,
                        message,
                    });
                }
                Answer::OneRefused { .. } => {
                    let middle = part.start + part.len() / 2;
                    parts.extend([middle..part.end, part.start..middle]);
                }
            }
        }
        self.settle_duplicates(&mut outcome, |index| documents.get(which.start + index))
            .await?;
        outcome.sort();
        Ok(outcome)
    }

    /// Compares what was refused as a duplicate with what is there: the same, a conflict, or, where no document has its `_id`,
    /// refused by another unique index.
    async fn settle_duplicates<'d>(
        &self,
        outcome: &mut BulkOutcome,
        document: impl Fn(usize) -> &'d RawDocument,
    ) -> Result<(), StoreError> {
        let (duplicates, refused): (Vec<_>, Vec<_>) = std::mem::take(&mut outcome.refusals)
            .into_iter()
            .partition(|refusal| DUPLICATE_KEY.contains(&refusal.code));
        outcome.refusals = refused;
        if duplicates.is_empty() {
            return Ok(());
        }
        let ids = duplicates.iter();
        let ids = ids.filter_map(|refusal| document_id(document(refusal.index)));
        let stored = self.stored(ids).await?;
        for refusal in duplicates {
            let index = refusal.index;
            let given = document(index);
            match document_id(given).and_then(|id| stored.get(&id)) {
                None => outcome.refusals.push(refusal),
                Some(stored) => {
                    let fields = differences(given, stored, &NOT_COMPARED);
                    if fields.is_empty() {
                        outcome.matched += 1;
                        continue;
                    }
                    let fields = fields.into_iter().take(FIELDS_NAMED);
                    outcome.conflicts.push(ConflictingDocument {
                        index,
                        fields: fields.map(|field| field.path).collect(),
                    });
                }
            }
        }
        Ok(())
    }

    /// The documents of these events that are there. They are read from the primary as they are: the write concern of the
    /// command that met them has waited for them, too.
    async fn stored(
        &self,
        ids: impl Iterator<Item = EventId>,
    ) -> Result<HashMap<EventId, RawDocumentBuf>, StoreError> {
        let doing = "read what is there";
        let uuid = |id: EventId| {
            Bson::Binary(Binary {
                subtype: BinarySubtype::Uuid,
                bytes: id.0.as_bytes().to_vec(),
            })
        };
        let ids: Vec<Bson> = ids.map(uuid).collect();
        let events = self.events();
        let found = events.find(doc! { "_id": { "$in": ids } });
        let found = found.read_concern(ReadConcern::local());
        let mut found = found.await.map_err(|error| self.failed(&error, doing))?;
        let mut stored = HashMap::new();
        while let Some(document) = found
            .try_next()
            .await
            .map_err(|error| self.failed(&error, doing))?
        {
            if let Some(id) = document_id(&document) {
                stored.insert(id, document);
            }
        }
        Ok(stored)
    }
}

impl Store for MongoStore {
    async fn write(&self, documents: &DocumentBatch) -> Result<BulkOutcome, StoreError> {
        let mut outcome = BulkOutcome::default();
        let mut begin = 0;
        while begin < documents.len() {
            let end = begin + fitting(documents, begin);
            let chunk = self.insert_chunk(documents, begin..end).await?;
            outcome.add(chunk, begin);
            begin = end;
        }
        Ok(outcome)
    }
}
