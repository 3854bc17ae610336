//! Events, and records that are none.

use cdc_bench_model::event::{Generator, OutboxRow};

use super::super::inputs;
use super::pipeline::Record;

/// Generated event number `n`, always the same.
pub fn row(n: usize) -> OutboxRow {
    let mut rows = Generator::new(7, jiff::Timestamp::UNIX_EPOCH);
    let id = uuid::Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0000 + n as u128);
    OutboxRow {
        id: cdc_bench_model::event::EventId(id),
        seq: n as u64,
        ..rows.next().unwrap()
    }
}

/// The record of event number `n`, with its key.
pub fn event(n: usize) -> Record {
    record_of(&row(n))
}

pub fn record_of(row: &OutboxRow) -> Record {
    Record {
        key: Some(format!("{{\"id\":\"{}\"}}", row.id).into_bytes()),
        value: Some(inputs::record(row)),
        header: Some(("trace", "17")),
    }
}

/// A record with a key and no value yet.
pub fn keyed(key: &[u8]) -> Record {
    Record {
        key: Some(key.to_vec()),
        value: None,
        header: None,
    }
}

/// The record with a part of its value changed.
#[track_caller]
pub fn changed(record: &Record, from: &str, to: &str) -> Record {
    let text = std::str::from_utf8(record.value.as_ref().unwrap()).unwrap();
    assert!(text.contains(from), "{from:?} is not in {text}");
    Record {
        value: Some(text.replacen(from, to, 1).into_bytes()),
        ..record.clone()
    }
}

/// The record with another payload.
pub fn with_payload(record: &Record, payload: &str) -> Record {
    let text = std::str::from_utf8(record.value.as_ref().unwrap()).unwrap();
    let begin = text.find("\"payload\":").unwrap() + "\"payload\":".len();
    let end = text.find(",\"created_at\"").unwrap();
    let payload = serde_json::Value::from(payload);
    Record {
        value: Some(format!("{}{payload}{}", &text[..begin], &text[end..]).into_bytes()),
        ..record.clone()
    }
}

/// A record of each kind that cannot be written, with its reason.
pub fn bad_records() -> Vec<(&'static str, Record)> {
    let whole = |n: usize| event(500 + n);
    let value = |bytes: &[u8]| Record {
        value: Some(bytes.to_vec()),
        ..whole(0)
    };
    let half = {
        let record = whole(1);
        let bytes = record.value.clone().unwrap();
        Record {
            value: Some(bytes[..bytes.len() / 2].to_vec()),
            ..record
        }
    };
    let deep = format!("{}1{}", "{\"a\":".repeat(150), "}".repeat(150));
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(17 << 20));
    let other = format!("{{\"id\":\"{}\"}}", row(499).id);
    vec![
        ("unparsable", value(b"")),
        ("unparsable", value(b"\xff\xfe")),
        ("unparsable", half),
        ("missing_field", value(b"{}")),
        ("missing_field", changed(&whole(2), "\"seq\":502,", "")),
        // A column that was renamed in mid-run, and an insert without its row.
        (
            "missing_field",
            changed(&whole(3), "\"event_type\":", "\"kind\":"),
        ),
        (
            "missing_field",
            value(br#"{"op":"c","after":null,"source":{}}"#),
        ),
        (
            "wrong_field",
            changed(&whole(4), "\"seq\":504", "\"seq\":\"504\""),
        ),
        ("wrong_field", changed(&whole(5), "2026-11-24T", "soon")),
        (
            "unknown_operation",
            changed(&whole(6), "\"op\":\"c\"", "\"op\":\"x\""),
        ),
        (
            "unknown_event_type",
            changed(&whole(7), "UserCreated", "UserForgotten"),
        ),
        (
            "key_mismatch",
            Record {
                key: Some(other.into_bytes()),
                ..whole(8)
            },
        ),
        ("bad_payload", with_payload(&whole(9), "[1,2]")),
        ("bad_payload", with_payload(&whole(10), "{\"a\":")),
        ("bad_payload", with_payload(&whole(11), "{\"a\":1e400}")),
        ("too_deep", with_payload(&whole(12), &deep)),
        ("too_large", with_payload(&whole(13), &large)),
    ]
}
