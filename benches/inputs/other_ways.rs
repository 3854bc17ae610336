//! The ways not taken: an envelope read by serde_json, into a tree, into structs that own their text or into structs that
//! borrow it; a document built as a map.

// Fields are there to be read into.
#![allow(dead_code)]

use std::borrow::Cow;

use cdc_bench::store::{DocumentParts, Payload};
use mongodb::bson::{Bson, DateTime, Document, Uuid, doc};
use serde::Deserialize;
use serde_json::Value;

/// An envelope in structs that own their text.
#[derive(Debug, Deserialize)]
pub struct OwnedEnvelope {
    pub op: String,
    pub after: Option<OwnedRow>,
    pub source: OwnedSource,
    pub ts_ns: Option<i64>,
}

/// An envelope in structs that borrow what serde_json lets them borrow.
#[derive(Debug, Deserialize)]
pub struct BorrowedEnvelope<'a> {
    #[serde(borrow)]
    pub op: Cow<'a, str>,
    #[serde(borrow)]
    pub after: Option<BorrowedRow<'a>>,
    pub source: OwnedSource,
    pub ts_ns: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub struct BorrowedRow<'a> {
    pub id: uuid::Uuid,
    #[serde(borrow)]
    pub run_id: Cow<'a, str>,
    pub seq: u64,
    #[serde(borrow)]
    pub event_type: Cow<'a, str>,
    #[serde(borrow)]
    pub aggregate_type: Cow<'a, str>,
    pub aggregate_id: uuid::Uuid,
    #[serde(borrow)]
    pub payload: Cow<'a, str>,
    pub created_at: jiff::Timestamp,
}

#[derive(Debug, Deserialize)]
pub struct OwnedSource {
    pub lsn: Option<u64>,
    #[serde(rename = "txId")]
    pub tx_id: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub struct OwnedRow {
    pub id: uuid::Uuid,
    pub run_id: String,
    pub seq: u64,
    pub event_type: String,
    pub aggregate_type: String,
    pub aggregate_id: uuid::Uuid,
    pub payload: String,
    pub created_at: jiff::Timestamp,
}

/// Record to the bytes of its document, with a tree of JSON and a map of BSON in between.
pub fn by_trees(record: &[u8]) -> Vec<u8> {
    let envelope: Value = serde_json::from_slice(record).unwrap();
    assert_eq!(envelope["op"], "c");
    let row = &envelope["after"];
    let text = |name: &str| row[name].as_str().unwrap();
    let uuid = |name: &str| Uuid::parse_str(text(name)).unwrap();
    let payload: Value = serde_json::from_str(text("payload")).unwrap();
    let millis = |time: &str| {
        let time: jiff::Timestamp = time.parse().unwrap();
        DateTime::from_millis(time.as_millisecond())
    };
    let document = doc! {
        "_id": uuid("id"),
        "run_id": text("run_id"),
        "seq": row["seq"].as_i64().unwrap(),
        "type": text("event_type"),
        "aggregate": { "type": text("aggregate_type"), "id": uuid("aggregate_id") },
        "occurred_at": millis(payload["occurred_at"].as_str().unwrap()),
        "created_at": millis(text("created_at")),
        "data": tree(payload),
        "source": {
            "lsn": envelope["source"]["lsn"].as_i64().unwrap(),
            "tx_id": envelope["source"]["txId"].as_i64().unwrap(),
        },
    };
    document.to_vec().unwrap()
}

/// Parts to the bytes of their document, with a map of BSON in between.
pub fn by_map(parts: &DocumentParts<'_>) -> Vec<u8> {
    let Payload::Json(payload) = parts.payload else {
        unreachable!("parts of a bench have a text");
    };
    let uuid = |id: uuid::Uuid| Uuid::from_bytes(id.into_bytes());
    let payload: Value = serde_json::from_str(payload).unwrap();
    let occurred_at: jiff::Timestamp = payload["occurred_at"].as_str().unwrap().parse().unwrap();
    let document = doc! {
        "_id": uuid(parts.id.0),
        "run_id": parts.run_id,
        "seq": i64::try_from(parts.seq).unwrap(),
        "type": parts.event_type,
        "aggregate": { "type": parts.aggregate_type, "id": uuid(parts.aggregate_id) },
        "occurred_at": DateTime::from_millis(occurred_at.as_millisecond()),
        "created_at": DateTime::from_millis(parts.created_at_us.div_euclid(1_000)),
        "data": tree(payload),
        "source": {
            "lsn": i64::try_from(parts.lsn.unwrap()).unwrap(),
            "tx_id": i64::try_from(parts.tx_id.unwrap()).unwrap(),
        },
    };
    document.to_vec().unwrap()
}

fn tree(value: Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(value) => Bson::Boolean(value),
        Value::Number(number) => match number.as_i64() {
            Some(n) => i32::try_from(n).map_or(Bson::Int64(n), Bson::Int32),
            None => Bson::Double(number.as_f64().unwrap()),
        },
        Value::String(text) => Bson::String(text),
        Value::Array(items) => Bson::Array(items.into_iter().map(tree).collect()),
        Value::Object(members) => Bson::Document(
            members
                .into_iter()
                .map(|(name, value)| (name, tree(value)))
                .collect::<Document>(),
        ),
    }
}
