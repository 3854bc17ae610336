//! The store itself: connecting, checking, writing.

use std::ops::Range;
use std::time::Duration;

use mongodb::bson::{Document, RawDocument, RawDocumentBuf, doc};
use mongodb::options::{ClientOptions, IndexOptions};
use mongodb::{Client, Collection, Database, IndexModel};
use secrecy::ExposeSecret;
use uuid::Uuid;

use super::bson::BsonBuffer;
use super::command::{WriteConcernChoice, fitting, update_command};
use super::error::is_transient_code;
use super::{BulkOutcome, Documents, Refusal, Store, StoreError};
use cdc_bench_stack::StoreEndpoint;

/// The collection that the documents are in, unless told otherwise.
pub const COLLECTION: &str = "events";
/// Where [`MongoStore::check_writable`] writes.
const PROBE_COLLECTION: &str = "cdc_bench_probe";

/// Longest wait for a server to be there.
const SELECTION_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for a TCP connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for the answer to one write.
const WRITE_LIMIT: Duration = Duration::from_secs(30);

const OTHER_WRITE_CONCERN: &str =
    "its write concern is none of w=majority, w=1&journal=true and w=1&journal=false";

/// `DuplicateKey`: two upserts of the same `_id` at the same time, of which the second is to be tried again.
const DUPLICATE_KEY: i32 = 11_000;
/// `NamespaceNotFound` and `NamespaceExists`: what was to be dropped or made is not or already there.
const NAMESPACE_NOT_FOUND: i32 = 26;
const NAMESPACE_EXISTS: i32 = 48;

/// Which server answers.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StoreIdentity {
    /// `MongoDB` or `SecantusDB`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whether it is a real `mongod`.
    pub is_mongodb: bool,
}

/// A connection to the read model's database.
#[derive(Debug, Clone)]
pub struct MongoStore {
    database: Database,
    collection: String,
    write_concern: WriteConcernChoice,
    /// Host and port of every server in the connection string, for messages.
    server: String,
}

impl MongoStore {
    /// Connects and logs in. Writes wait for what the connection string's `w` and `journal` ask for.
    ///
    /// # Errors
    /// [`StoreError::BadUri`], [`StoreError::Unreachable`], [`StoreError::AuthFailed`].
    pub async fn connect(endpoint: &StoreEndpoint) -> Result<Self, StoreError> {
        let uri = endpoint.uri.expose_secret();
        let mut options = ClientOptions::parse(uri)
            .await
            .map_err(|error| StoreError::BadUri {
                cause: without_credentials(&error.kind.to_string(), uri),
            })?;
        let write_concern = WriteConcernChoice::asked_for(options.write_concern.as_ref())
            .ok_or_else(|| StoreError::BadUri {
                cause: OTHER_WRITE_CONCERN.to_owned(),
            })?;
        options.server_selection_timeout = Some(SELECTION_LIMIT);
        options.connect_timeout.get_or_insert(CONNECT_LIMIT);
        options.app_name.get_or_insert("cdc-bench".to_owned());
        let hosts: Vec<String> = options.hosts.iter().map(ToString::to_string).collect();
        let server = hosts.join(",");
        let client = Client::with_options(options).map_err(|error| StoreError::BadUri {
            cause: without_credentials(&error.kind.to_string(), uri),
        })?;
        let store = Self {
            database: client.database(&endpoint.database),
            collection: COLLECTION.to_owned(),
            write_concern,
            server,
        };
        store.run(doc! { "ping": 1 }, "answer").await?;
        Ok(store)
    }

    /// The same connection, its documents in another collection.
    #[must_use]
    pub fn with_collection(&self, collection: &str) -> Self {
        Self {
            collection: collection.to_owned(),
            ..self.clone()
        }
    }

    /// The collection that the documents are in.
    #[must_use]
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// Host and port of every server in the connection string.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// When a write counts as done.
    #[must_use]
    pub fn write_concern(&self) -> WriteConcernChoice {
        self.write_concern
    }

    /// Which server answers, by its `buildInfo`.
    ///
    /// # Errors
    /// [`StoreError`] when it does not.
    pub async fn identity(&self) -> Result<StoreIdentity, StoreError> {
        let info = self.run(doc! { "buildInfo": 1 }, "say what it is").await?;
        let text = |name: &str| info.get_str(name).ok().map(ToOwned::to_owned);
        let secantus = text("secantusVersion");
        let is_mongodb = secantus.is_none();
        let version = secantus.or_else(|| text("version")).unwrap_or_default();
        Ok(StoreIdentity {
            name: if is_mongodb { "MongoDB" } else { "SecantusDB" }.to_owned(),
            version,
            is_mongodb,
        })
    }

    /// Writes a document at the write concern of the run, and takes it away again.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::NotPermitted`], or whatever else keeps it from being written.
    pub async fn check_writable(&self) -> Result<(), StoreError> {
        let probe_id = Uuid::now_v7();
        let mut probe = BsonBuffer::default();
        let document = probe.begin();
        probe.uuid("_id", probe_id);
        probe.end(document);
        let probe = RawDocumentBuf::from_bytes(probe.into_bytes())
            .expect("the length was filled in when the document was ended");
        let outcome = self
            .update(PROBE_COLLECTION, [&*probe], "write a probe document")
            .await?;
        if let Some(refusal) = outcome.refusals.first() {
            return Err(self.refused(refusal.code, &refusal.message, "write a probe document"));
        }
        // Another check may be under way: take away the collection only when it is empty.
        let probes = self.database.collection::<Document>(PROBE_COLLECTION);
        let doing = "delete a probe document";
        let id = mongodb::bson::Uuid::from_bytes(probe_id.into_bytes());
        let deleted = probes.delete_one(doc! { "_id": id }).await;
        deleted.map_err(|error| self.failed(&error, doing))?;
        let left = probes.estimated_document_count().await;
        if left.map_err(|error| self.failed(&error, doing))? == 0 {
            self.drop_named(PROBE_COLLECTION).await?;
        }
        Ok(())
    }

    /// Makes the collection and its index on `{run_id, _id}` where they are missing. Returns whether it made the
    /// collection.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ensure_indexes(&self) -> Result<bool, StoreError> {
        let doing = &format!("make the collection {:?}", self.collection);
        let made = match self.database.create_collection(&self.collection).await {
            Ok(()) => true,
            Err(error) if code_of(&error) == Some(NAMESPACE_EXISTS) => false,
            Err(error) => return Err(self.failed(&error, doing)),
        };
        let index = IndexModel::builder()
            .keys(doc! { "run_id": 1, "_id": 1 })
            .options(IndexOptions::builder().name("run".to_owned()).build())
            .build();
        let doing = "make the index on run_id and _id";
        let created = self.events().create_index(index).await;
        created.map_err(|error| self.failed(&error, doing))?;
        Ok(made)
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

    /// The documents, for reading.
    pub(super) fn events(&self) -> Collection<RawDocumentBuf> {
        self.database.collection(&self.collection)
    }

    pub(super) fn failed(&self, error: &mongodb::error::Error, doing: &str) -> StoreError {
        StoreError::of(error, &self.server, doing)
    }

    fn refused(&self, code: i32, message: &str, doing: &str) -> StoreError {
        StoreError::of_code(code, message, self.server.clone(), doing.to_owned())
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

    async fn run(&self, command: Document, doing: &str) -> Result<Document, StoreError> {
        let answer = self.database.run_command(command).await;
        answer.map_err(|error| self.failed(&error, doing))
    }

    /// One `update` command that replaces or inserts each document by its `_id`.
    async fn update<'d>(
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
        // Refused for a reason that lies in the server and not in the document: no case for the dead letters.
        let passing = |refusal: &&Refusal| is_transient_code(refusal.code);
        if let Some(refusal) = outcome.refusals.iter().find(passing) {
            return Err(self.refused(refusal.code, &refusal.message, doing));
        }
        Ok(outcome)
    }

    /// Writes documents that fit one command, and those of them once more that lost a race for their `_id`.
    async fn upsert_chunk(
        &self,
        documents: &Documents,
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
    async fn upsert(&self, documents: &Documents) -> Result<BulkOutcome, StoreError> {
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

fn code_of(error: &mongodb::error::Error) -> Option<i32> {
    match error.kind.as_ref() {
        mongodb::error::ErrorKind::Command(refusal) => Some(refusal.code),
        _ => None,
    }
}

/// The driver's words about a connection string, without what stands between `//` and `@` in it.
fn without_credentials(text: &str, uri: &str) -> String {
    let authority = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let Some((credentials, _)) = authority.rsplit_once('@') else {
        return text.to_owned();
    };
    let parts = [credentials].into_iter().chain(credentials.split(':'));
    parts
        .filter(|part| !part.is_empty())
        .fold(text.to_owned(), |text, part| text.replace(part, "***"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_gets_into_a_message() {
        let uri = "mongodb://me:s3cret%zz@host:1/?x=y";
        let text = without_credentials("cannot parse me:s3cret%zz in s3cret%zz", uri);
        assert!(!text.contains("s3cret"), "{text}");
    }

    #[tokio::test]
    async fn a_bad_connection_string_is_an_error_with_a_way_out() {
        let endpoint = StoreEndpoint {
            uri: "mongodb://me:s3c/ret@host:1/".to_owned().into(),
            database: "activity_read".to_owned(),
        };
        let connected = MongoStore::connect(&endpoint).await;
        let text = connected.unwrap_err().to_string();
        assert!(text.contains("MONGODB_URI"), "{text}");
        assert!(!text.contains("s3c"), "{text}");
    }

    #[tokio::test]
    async fn a_connection_string_says_when_a_write_counts_as_done() {
        use WriteConcernChoice::{Acknowledged, Journaled, MajorityJournaled};
        for (options, meant) in [
            ("", Some(MajorityJournaled)),
            ("?w=majority", Some(MajorityJournaled)),
            ("?journal=true", Some(MajorityJournaled)),
            ("?wTimeoutMS=5", Some(MajorityJournaled)),
            ("?w=1&journal=true", Some(Journaled)),
            ("?w=1", Some(Acknowledged)),
            ("?w=1&journal=false", Some(Acknowledged)),
            ("?w=majority&journal=false", None),
            ("?w=0", None),
            ("?w=2", None),
            ("?w=nearby", None),
        ] {
            let uri = format!("mongodb://h:1/{options}");
            let parsed = ClientOptions::parse(&uri).await.unwrap();
            let asked = WriteConcernChoice::asked_for(parsed.write_concern.as_ref());
            assert_eq!(asked, meant, "{options}");
        }
    }
}
