//! The `insert` command that writes documents, and how many of them fit one.

use mongodb::bson::{RawDocument, RawDocumentBuf};

use super::bson::{BsonBuffer, kind};
use super::{COLLECTION, DocumentBatch, WriteConcernChoice};

/// Most documents in one command: MongoDB's `maxWriteBatchSize`.
const MAX_DOCUMENTS: usize = 100_000;
/// Most bytes in one command, just below MongoDB's `maxMessageSizeBytes` of 48 MB. A single document fits in any case.
const MAX_COMMAND_BYTES: usize = 40 * 1024 * 1024;
/// Bytes of one element of the list beside its document: its kind and its index.
const ELEMENT_BYTES: usize = 8;
/// Initial capacity of a command, bytes.
const COMMAND_CAPACITY: usize = 16 * 1024;

impl DocumentBatch {
    /// The command that writes all of its documents, at the default write concern.
    #[must_use]
    pub fn insert_command(&self) -> RawDocumentBuf {
        insert_command(COLLECTION, self.iter(), WriteConcernChoice::default())
    }
}

/// How many documents from `begin` on fit one command; at least the first.
pub(super) fn fitting(documents: &DocumentBatch, begin: usize) -> usize {
    let most = documents.len().min(begin + MAX_DOCUMENTS);
    let fits = |end: &usize| {
        documents.bytes(begin..*end) + (end - begin) * ELEMENT_BYTES <= MAX_COMMAND_BYTES
    };
    let fitting = (begin + 1..=most).take_while(fits).count();
    fitting.max(1)
}

/// `{ insert, ordered: false, writeConcern, documents: [ document, … ] }`
pub(super) fn insert_command<'d>(
    collection: &str,
    documents: impl IntoIterator<Item = &'d RawDocument>,
    write_concern: WriteConcernChoice,
) -> RawDocumentBuf {
    let mut buffer = BsonBuffer::with_capacity(COMMAND_CAPACITY);
    let command = buffer.begin();
    buffer.string("insert", collection);
    buffer.boolean("ordered", false);
    write_concern.write_to(&mut buffer);
    buffer.element(kind::ARRAY, "documents");
    let list = buffer.begin();
    for (index, document) in documents.into_iter().enumerate() {
        let at = buffer.begin_element();
        buffer.set_kind(at, kind::DOCUMENT);
        buffer.index_name(index);
        buffer.raw(document.as_bytes());
    }
    buffer.end(list);
    buffer.end(command);
    RawDocumentBuf::from_bytes(buffer.into_bytes())
        .expect("the length was filled in when the command was ended")
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Document, doc};
    use uuid::Uuid;

    use super::*;
    use crate::store::{DocumentParts, Payload};
    use cdc_bench_model::event::EventId;

    fn documents(payloads: &[&str]) -> DocumentBatch {
        let mut documents = DocumentBatch::default();
        for (n, payload_json) in (1..).zip(payloads) {
            let parts = DocumentParts {
                id: EventId(Uuid::from_u128(n)),
                run_id: "r",
                seq: 0,
                event_type: "UserCreated",
                aggregate_type: "user",
                aggregate_id: Uuid::nil(),
                payload: Payload::Json(payload_json),
                created_at_us: 0,
                lsn: None,
                tx_id: None,
            };
            documents.push(&parts).unwrap();
        }
        documents
    }

    #[test]
    fn the_command_is_the_one_of_the_protocol() {
        let documents = documents(&["{}", "{\"a\":[1]}"]);
        let command = insert_command("events", documents.iter(), WriteConcernChoice::default());
        let document = |n: usize| Document::try_from(documents.get(n)).unwrap();
        assert_eq!(
            Document::try_from(command.as_ref()).unwrap(),
            doc! {
                "insert": "events", "ordered": false,
                "writeConcern": { "w": "majority", "j": true, "wtimeout": 10_000_i64 },
                "documents": [document(0), document(1)],
            }
        );
    }

    #[test]
    fn a_command_takes_what_fits() {
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(15 << 20));
        assert_eq!(fitting(&documents(&["{}"; 200]), 0), 200);
        assert_eq!(fitting(&documents(&[&large, &large, &large]), 0), 2);
        assert_eq!(fitting(&documents(&[&large, &large, &large]), 1), 2);
        assert_eq!(fitting(&documents(&["{}", &large]), 0), 2);
    }
}
