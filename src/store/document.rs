//! The read model's document: one for each event, built from the same parts whether they are decoded from a Debezium
//! envelope, from the WAL, or (for verification) from the PostgreSQL row.
//!
//! ```text
//! { _id: UUID, run_id, seq: int64, type, aggregate: { type, id: UUID },
//!   occurred_at: date | null, created_at: date, data: { the payload }, source: { lsn: int64 | null, tx_id: int64 | null } }
//! ```
//!
//! UUIDs are BSON binary of subtype 4. Dates have milliseconds, cut downwards. In `data`, JSON integers become int32 or
//! int64, whichever is the smallest that fits, every other number a double.

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{RawBsonRef, RawDocument, RawDocumentBuf};
use uuid::Uuid;

use super::Payload;
use super::bson::{BsonBuffer, kind};
use super::transcode::{MAX_DEPTH, TranscodeFault, floor_millis};
use cdc_bench_model::event::EventId;

/// The collection of the documents, unless another is configured.
pub const COLLECTION: &str = "events";

/// MongoDB's limit for a document, bytes.
pub(super) const MAX_DOCUMENT_BYTES: usize = 16 * 1024 * 1024;

/// Estimated bytes of a document without its payload.
const FRAME_BYTES: usize = 320;

/// The parts of a document, borrowed from where they were decoded.
#[derive(Debug, Clone, Copy)]
pub struct DocumentParts<'a> {
    /// The event's identity; `_id`.
    pub id: EventId,
    /// The run that inserted it.
    pub run_id: &'a str,
    /// Sequence number in that run.
    pub seq: u64,
    /// Column `event_type`.
    pub event_type: &'a str,
    /// Column `aggregate_type`.
    pub aggregate_type: &'a str,
    /// Column `aggregate_id`.
    pub aggregate_id: Uuid,
    /// Column `payload`: the text of a JSON object.
    pub payload: Payload<'a>,
    /// Column `created_at` in microseconds since the Unix epoch.
    pub created_at_us: i64,
    /// LSN of the row's change, where known.
    pub lsn: Option<u64>,
    /// Transaction id, where known.
    pub tx_id: Option<u64>,
}

/// Why no document can be built of an event. Another try fails in the same way: a case for the dead letters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The payload is not JSON.
    #[error("the payload of event {id} is not valid JSON from byte {at} on")]
    NotJson {
        /// The event.
        id: EventId,
        /// Offset of the first byte that is not, bytes.
        at: usize,
    },
    /// The payload has a number that no double holds.
    #[error("the payload of event {id} has a number beyond what a double holds")]
    NumberOutOfRange {
        /// The event.
        id: EventId,
    },
    /// The payload is JSON, but a number, text, list or null.
    #[error("the payload of event {id} is not a JSON object")]
    NotAnObject {
        /// The event.
        id: EventId,
    },
    /// The payload nests deeper than MongoDB takes.
    #[error(
        "the payload of event {id} is nested deeper than {MAX_DEPTH} levels, which is all that MongoDB takes"
    )]
    TooDeep {
        /// The event.
        id: EventId,
    },
    /// A field name in the payload holds a NUL character, which BSON cannot carry.
    #[error(
        "the payload of event {id} has a field name with a NUL character, which BSON cannot carry"
    )]
    NulInName {
        /// The event.
        id: EventId,
    },
    /// A number beside the payload does not fit BSON's int64.
    #[error("{field} of event {id} is {value}, more than an int64 holds")]
    OutOfRange {
        /// The event.
        id: EventId,
        /// Which one.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// The document is beyond MongoDB's limit.
    #[error(
        "the document of event {id} has {bytes} bytes, more than the {MAX_DOCUMENT_BYTES} that MongoDB takes"
    )]
    TooLarge {
        /// The event.
        id: EventId,
        /// Its size in bytes.
        bytes: usize,
    },
}

impl DocumentParts<'_> {
    /// The document alone.
    ///
    /// # Errors
    /// [`DocumentError`], where no document can be built.
    pub fn to_document(&self) -> Result<RawDocumentBuf, DocumentError> {
        let mut buffer = BsonBuffer::default();
        self.write_to(&mut buffer)?;
        Ok(RawDocumentBuf::from_bytes(buffer.into_bytes())
            .expect("the length was filled in when the document was ended"))
    }

    /// Appends the document to the buffer, in one pass. After an error a part of it is in the buffer.
    pub(super) fn write_to(&self, buffer: &mut BsonBuffer) -> Result<(), DocumentError> {
        let id = self.id;
        buffer.reserve(FRAME_BYTES + self.payload.size_hint());
        let begin = buffer.len();
        let document = buffer.begin();
        buffer.uuid("_id", id.0);
        buffer.string("run_id", self.run_id);
        buffer.int64("seq", self.int64("seq", self.seq)?);
        buffer.string("type", self.event_type);
        buffer.element(kind::DOCUMENT, "aggregate");
        let aggregate = buffer.begin();
        buffer.string("type", self.aggregate_type);
        buffer.uuid("id", self.aggregate_id);
        buffer.end(aggregate);

        // Its value is in the payload, which is written after it.
        let occurred_at = buffer.len();
        buffer.date_time("occurred_at", 0);
        let after_occurred_at = buffer.len();
        buffer.date_time("created_at", floor_millis(self.created_at_us));
        buffer.element(kind::DOCUMENT, "data");
        let occurred_at_ms = self.write_payload(buffer)?;

        buffer.element(kind::DOCUMENT, "source");
        let source = buffer.begin();
        self.int64_or_null(buffer, "lsn", self.lsn)?;
        self.int64_or_null(buffer, "tx_id", self.tx_id)?;
        buffer.end(source);

        let value_at = after_occurred_at - size_of::<i64>();
        if let Some(ms) = occurred_at_ms {
            buffer.patch(value_at, &ms.to_le_bytes());
        } else {
            buffer.set_kind(occurred_at, kind::NULL);
            buffer.remove(value_at, size_of::<i64>());
        }
        buffer.end(document);
        let bytes = buffer.len() - begin;
        if bytes > MAX_DOCUMENT_BYTES {
            return Err(DocumentError::TooLarge { id, bytes });
        }
        Ok(())
    }

    fn write_payload(&self, buffer: &mut BsonBuffer) -> Result<Option<i64>, DocumentError> {
        let id = self.id;
        self.payload
            .write_to(buffer)
            .map_err(|error| match error.fault {
                TranscodeFault::NotAnObject => DocumentError::NotAnObject { id },
                TranscodeFault::TooDeep => DocumentError::TooDeep { id },
                TranscodeFault::NulInName => DocumentError::NulInName { id },
                TranscodeFault::NotJson => DocumentError::NotJson { id, at: error.at },
                TranscodeFault::NumberOutOfRange => DocumentError::NumberOutOfRange { id },
            })
    }

    fn int64_or_null(
        &self,
        buffer: &mut BsonBuffer,
        field: &'static str,
        value: Option<u64>,
    ) -> Result<(), DocumentError> {
        match value {
            Some(value) => buffer.int64(field, self.int64(field, value)?),
            None => buffer.null(field),
        }
        Ok(())
    }

    fn int64(&self, field: &'static str, value: u64) -> Result<i64, DocumentError> {
        i64::try_from(value).map_err(|_| DocumentError::OutOfRange {
            id: self.id,
            field,
            value,
        })
    }
}

/// The event of a document; `None` where its `_id` is not a UUID, so that this program did not write it.
#[must_use]
pub fn document_id(document: &RawDocument) -> Option<EventId> {
    match document.get("_id") {
        Ok(Some(RawBsonRef::Binary(binary))) if binary.subtype == BinarySubtype::Uuid => {
            Uuid::from_slice(binary.bytes).ok().map(EventId)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Bson, Document, doc};

    use super::*;

    const ID: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);

    fn parts(payload_json: &str) -> DocumentParts<'_> {
        DocumentParts {
            id: EventId(ID),
            run_id: "r1",
            seq: 7,
            event_type: "UserCreated",
            aggregate_type: "user",
            aggregate_id: Uuid::from_u128(5),
            payload: Payload::Json(payload_json),
            created_at_us: 1_700_000_000_123_999,
            lsn: Some(0x1_0000_0000),
            tx_id: None,
        }
    }

    fn document(payload_json: &str) -> Document {
        let raw = parts(payload_json).to_document().unwrap();
        Document::try_from(raw.as_ref()).unwrap()
    }

    #[test]
    fn every_field_is_in_its_place() {
        let uuid = |id: Uuid| mongodb::bson::Uuid::from_bytes(id.into_bytes());
        let ms = mongodb::bson::DateTime::from_millis;
        let json = r#"{"occurred_at":"2023-11-14T22:13:20.5Z","n":[1,-2.5,4000000000,{"ü":null}]}"#;
        assert_eq!(
            document(json),
            doc! {
                "_id": uuid(ID), "run_id": "r1", "seq": 7_i64, "type": "UserCreated",
                "aggregate": { "type": "user", "id": uuid(Uuid::from_u128(5)) },
                "occurred_at": ms(1_700_000_000_500),
                "created_at": ms(1_700_000_000_123),
                "data": {
                    "occurred_at": "2023-11-14T22:13:20.5Z",
                    "n": [1, -2.5, 4_000_000_000_i64, { "ü": null }],
                },
                "source": { "lsn": 0x1_0000_0000_i64, "tx_id": null },
            }
        );
    }

    #[test]
    fn a_payload_without_occurred_at_leaves_it_null() {
        for json in [
            "{}",
            r#"{"occurred_at":5}"#,
            r#"{"occurred_at":"soon"}"#,
            r#"{"inner":{"occurred_at":"2023-11-14T22:13:20Z"}}"#,
        ] {
            let document = document(json);
            assert_eq!(document.get("occurred_at"), Some(&Bson::Null), "{json}");
            assert_eq!(document.len(), 9);
            assert_eq!(document.get_document("source").unwrap().len(), 2);
        }
    }

    #[test]
    fn times_are_cut_downwards_before_1970_too() {
        let mut old = parts(r#"{"occurred_at":"1969-12-31T23:59:59.9995Z"}"#);
        old.created_at_us = -1;
        let raw = old.to_document().unwrap();
        for field in ["occurred_at", "created_at"] {
            assert_eq!(raw.get_datetime(field).unwrap().timestamp_millis(), -1);
        }
    }

    #[test]
    fn what_cannot_be_a_document_says_why() {
        let why = |json: &str| parts(json).to_document().unwrap_err();
        assert!(matches!(why("{\"a\":"), DocumentError::NotJson { .. }));
        assert!(matches!(why("[1]"), DocumentError::NotAnObject { .. }));
        let mut far = parts("{}");
        far.lsn = Some(u64::MAX);
        let error = far.to_document().unwrap_err();
        assert!(
            error.to_string().starts_with("lsn of event 01900000-"),
            "{error}"
        );
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_DOCUMENT_BYTES));
        assert!(matches!(why(&large), DocumentError::TooLarge { .. }));
    }

    #[test]
    fn a_document_knows_its_event() {
        let raw = parts("{}").to_document().unwrap();
        assert_eq!(document_id(&raw), Some(EventId(ID)));
        let foreign = RawDocumentBuf::try_from(&doc! { "_id": 1 }).unwrap();
        assert_eq!(document_id(&foreign), None);
    }
}
