//! The `update` command that one write is.

use mongodb::bson::{RawDocument, RawDocumentBuf};
use mongodb::options::{Acknowledgment, WriteConcern};

use super::bson::{BsonBuffer, kind};
use super::{Documents, document_id};

/// Longest wait of the server for its write concern, in milliseconds.
const WRITE_CONCERN_LIMIT_MS: i64 = 10_000;

/// Most statements in one command: MongoDB's `maxWriteBatchSize`.
const MOST_STATEMENTS: usize = 100_000;
/// Most bytes in one command, just below MongoDB's `maxMessageSizeBytes` of 48 MB. A single document fits in any case.
const MOST_COMMAND_BYTES: usize = 40 * 1024 * 1024;
/// Bytes of one statement beside its document.
const STATEMENT_BYTES: usize = 80;
/// Bytes that a command begins with; it grows.
const COMMAND_BYTES: usize = 16 * 1024;

/// When a write counts as done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WriteConcernChoice {
    /// `w: "majority", j: true`: it survives the loss of a minority of the servers, and of power.
    #[default]
    MajorityJournaled,
    /// `w: 1, j: true`: in the primary's journal.
    Journaled,
    /// `w: 1, j: false`: in the primary's memory.
    Acknowledged,
}

impl WriteConcernChoice {
    /// What a connection string asks for; the default where it does not say. `None`: none of these.
    pub(super) fn asked_for(asked: Option<&WriteConcern>) -> Option<Self> {
        let Some(asked) = asked else {
            return Some(Self::default());
        };
        match (&asked.w, asked.journal) {
            (None | Some(Acknowledgment::Majority), None | Some(true)) => {
                Some(Self::MajorityJournaled)
            }
            (Some(Acknowledgment::Nodes(1)), Some(true)) => Some(Self::Journaled),
            (Some(Acknowledgment::Nodes(1)), None | Some(false)) => Some(Self::Acknowledged),
            _ => None,
        }
    }

    /// As reports name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MajorityJournaled => "majority+journal",
            Self::Journaled => "w1+journal",
            Self::Acknowledged => "w1",
        }
    }

    fn write_to(self, buffer: &mut BsonBuffer) {
        buffer.element(kind::DOCUMENT, "writeConcern");
        let concern = buffer.begin();
        match self {
            Self::MajorityJournaled => buffer.string("w", "majority"),
            Self::Journaled | Self::Acknowledged => buffer.int64("w", 1),
        }
        buffer.boolean("j", self != Self::Acknowledged);
        buffer.int64("wtimeout", WRITE_CONCERN_LIMIT_MS);
        buffer.end(concern);
    }
}

/// How many documents from `begin` on fit one command; at least the first.
pub(super) fn fitting(documents: &Documents, begin: usize) -> usize {
    let most = documents.len().min(begin + MOST_STATEMENTS);
    let fits = |end: &usize| {
        documents.bytes(begin..*end) + (end - begin) * STATEMENT_BYTES <= MOST_COMMAND_BYTES
    };
    let fitting = (begin + 1..=most).take_while(fits).count();
    fitting.max(1)
}

/// `{ update, ordered: false, writeConcern, updates: [ { q: { _id }, u: document, upsert: true }, … ] }`
pub(super) fn update_command<'d>(
    collection: &str,
    documents: impl IntoIterator<Item = &'d RawDocument>,
    write_concern: WriteConcernChoice,
) -> RawDocumentBuf {
    let mut buffer = BsonBuffer::with_capacity(COMMAND_BYTES);
    let command = buffer.begin();
    buffer.string("update", collection);
    buffer.boolean("ordered", false);
    write_concern.write_to(&mut buffer);
    buffer.element(kind::ARRAY, "updates");
    let updates = buffer.begin();
    for (index, document) in documents.into_iter().enumerate() {
        let at = buffer.begin_element();
        buffer.set_kind(at, kind::DOCUMENT);
        buffer.index_name(index);
        let statement = buffer.begin();
        buffer.element(kind::DOCUMENT, "q");
        let query = buffer.begin();
        match document_id(document) {
            Some(id) => buffer.uuid("_id", id.0),
            // None of ours; the server refuses a replacement whose _id does not match.
            None => buffer.null("_id"),
        }
        buffer.end(query);
        buffer.element(kind::DOCUMENT, "u");
        buffer.raw(document.as_bytes());
        buffer.boolean("upsert", true);
        buffer.end(statement);
    }
    buffer.end(updates);
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

    fn documents(payloads: &[&str]) -> Documents {
        let mut documents = Documents::default();
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
        let command = update_command("events", documents.iter(), WriteConcernChoice::default());
        let statement = |n: usize| {
            let document = Document::try_from(documents.get(n)).unwrap();
            let id = document.get("_id").unwrap().clone();
            doc! { "q": { "_id": id }, "u": document, "upsert": true }
        };
        assert_eq!(
            Document::try_from(command.as_ref()).unwrap(),
            doc! {
                "update": "events", "ordered": false,
                "writeConcern": { "w": "majority", "j": true, "wtimeout": 10_000_i64 },
                "updates": [statement(0), statement(1)],
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
