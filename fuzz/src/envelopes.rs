//! A record's value as Debezium's envelope.

use cdc_bench::consumer::Decoder;
use cdc_bench::debezium::Envelope;
use cdc_bench::json::TextBuffer;
use cdc_bench::store::DocumentBatch;
use serde::de::IgnoredAny;
use serde_json::Value;

/// What is accepted is JSON, and has the values that serde_json reads. A decoder gives the same for the second of two equal
/// records, which it compares with the first, as for the first.
///
/// # Panics
/// When that does not hold.
pub fn holds(bytes: &[u8]) {
    let mut payload = TextBuffer::default();
    if let Ok(envelope) = Envelope::parse(bytes, &mut payload) {
        let is_json = serde_json::from_slice::<IgnoredAny>(bytes).is_ok();
        assert!(is_json, "accepted, and not JSON");
        // serde_json refuses half of a surrogate pair and 1e400 also where nobody asks for the value.
        if let Ok(json) = serde_json::from_slice::<Value>(bytes) {
            assert_same(&envelope, payload.as_str(), &json);
        }
    }
    let mut decoder = Decoder::default();
    let mut decode = || {
        let mut documents = DocumentBatch::default();
        let decoded = decoder.decode(Some(bytes), |_| true, |_| &mut documents);
        let decoded = decoded.map(|decoded| decoded.map(|event| event.header));
        let bytes: Vec<_> = documents.iter().map(|d| d.as_bytes().to_vec()).collect();
        (decoded, bytes)
    };
    let first = decode();
    assert_eq!(decode(), first);
}

fn assert_same(envelope: &Envelope<'_>, payload: &str, json: &Value) {
    // With schemas.enable=true the converter wraps the event.
    let event = match json.get("op") {
        Some(_) => json,
        None => &json["payload"],
    };
    assert_eq!(event["op"], *envelope.op);
    let source = &event["source"];
    assert_eq!(source["lsn"].as_u64(), envelope.source.lsn);
    assert_eq!(source["txId"].as_u64(), envelope.source.tx_id);
    // An integer to us, a double to serde_json.
    let is_negative_zero = event["ts_ns"].as_f64() == Some(0.0);
    if !is_negative_zero {
        assert_eq!(event["ts_ns"].as_i64(), envelope.ts_ns);
    }
    let row = &event["after"];
    assert_eq!(row.is_object(), envelope.after.is_some());
    if let Some(after) = &envelope.after {
        assert_eq!(row["run_id"], *after.run_id);
        assert_eq!(row["seq"].as_u64(), Some(after.seq));
        assert_eq!(row["event_type"], *after.event_type);
        assert_eq!(row["aggregate_type"], *after.aggregate_type);
        assert_eq!(row["payload"], payload);
        let id = row["id"].as_str().expect("a text");
        assert_eq!(id.parse(), Ok(after.id.0));
    }
}
