//! A payload, from its JSON text to BSON: by itself, and as a string in an envelope.

use cdc_bench::consumer::Decoder;
use cdc_bench::store::{DocumentBatch, DocumentError, DocumentParts, Payload};
use cdc_bench_model::event::EventId;
use mongodb::bson::{Bson, Document};
use serde_json::Value;
use uuid::Uuid;

/// Levels of nesting in a payload that the store takes.
const MAX_DEPTH: usize = 98;

/// The document has the values that serde_json reads, or both refuse the text; and it is the same document, to the byte,
/// when the text is a string in an envelope. A payload that is not an object, nests too deep for MongoDB, or has a NUL in a
/// name is refused though it is JSON.
///
/// # Panics
/// When that does not hold.
pub fn holds(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let document = parts(text).to_document();
    match (serde_json::from_str::<Value>(text), &document) {
        (Ok(expected), Ok(document)) => {
            let document = Document::try_from(document.as_ref()).expect("BSON");
            assert_eq!(document.get("data"), Some(&bson(&expected)));
        }
        (Ok(expected), Err(error)) => assert!(is_refused_for(&expected, error), "{error}"),
        (Err(error), document) => assert!(document.is_err(), "{error}"),
    }
    // Twice: an event is read by comparison with the previous one, and so are the names in its payload.
    let envelope = envelope(text);
    let mut decoder = Decoder::default();
    for _ in 0..2 {
        let mut documents = DocumentBatch::default();
        let decoded = decoder.decode(Some(envelope.as_bytes()), |_| true, |_| &mut documents);
        match &document {
            Ok(document) => {
                assert!(decoded.is_ok_and(|decoded| decoded.is_some()));
                assert_eq!(documents.get(0).as_bytes(), document.as_bytes());
            }
            Err(error) => {
                let rejected = decoded.expect_err("refused by itself");
                assert_eq!(rejected.message, error.to_string());
                assert!(documents.is_empty());
            }
        }
    }
}

fn parts(text: &str) -> DocumentParts<'_> {
    DocumentParts {
        id: EventId(Uuid::from_u128(1)),
        run_id: "r",
        seq: 7,
        event_type: "UserCreated",
        aggregate_type: "user",
        aggregate_id: Uuid::from_u128(2),
        payload: Payload::Json(text),
        created_at_us: 0,
        lsn: Some(1),
        tx_id: None,
    }
}

/// The same event as Debezium writes it.
fn envelope(payload: &str) -> String {
    let (id, aggregate_id) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let payload = Value::from(payload);
    format!(
        r#"{{"before":null,"after":{{"id":"{id}","run_id":"r","seq":7,"event_type":"UserCreated","aggregate_type":"user","aggregate_id":"{aggregate_id}","payload":{payload},"created_at":"1970-01-01T00:00:00Z"}},"source":{{"lsn":1}},"op":"c"}}"#
    )
}

fn is_refused_for(json: &Value, error: &DocumentError) -> bool {
    match error {
        DocumentError::NotAnObject { .. } => !json.is_object(),
        DocumentError::TooDeep { .. } => depth(json) > MAX_DEPTH,
        DocumentError::NulInName { .. } => has_nul_in_name(json),
        DocumentError::TooLarge { .. } => true,
        _ => false,
    }
}

fn depth(json: &Value) -> usize {
    match json {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn has_nul_in_name(json: &Value) -> bool {
    match json {
        Value::Array(items) => items.iter().any(has_nul_in_name),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name.contains('\0') || has_nul_in_name(value)),
        _ => false,
    }
}

/// As the read model has it: the smallest integer that fits, every other number a double.
fn bson(json: &Value) -> Bson {
    match json {
        Value::Null => Bson::Null,
        Value::Bool(value) => Bson::Boolean(*value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(n), _) => i32::try_from(n).map_or(Bson::Int64(n), Bson::Int32),
            (None, double) => Bson::Double(double.expect("a JSON number")),
        },
        Value::String(text) => Bson::String(text.clone()),
        Value::Array(items) => Bson::Array(items.iter().map(bson).collect()),
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(name, value)| (name.clone(), bson(value)));
            Bson::Document(members.collect())
        }
    }
}
