//! What the benches are fed with: records as Debezium's JsonConverter writes them, of generated events.

// Each bench takes what it needs.
#![allow(dead_code)]

use std::io;

use cdc_bench_model::event::{EventType, Generator, OutboxRow};
use serde::Serialize;
use serde_json::{Value, json};

/// Every generated event is of this run.
pub const RUN: &str = "0199a1b2c3d4";

/// A size of payload, by the name that benches show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub name: &'static str,
    pub payload_bytes: usize,
}

pub const SIZES: [Size; 3] = [
    Size {
        name: "300 B",
        payload_bytes: 300,
    },
    Size {
        name: "900 B",
        payload_bytes: 900,
    },
    Size {
        name: "8 KiB",
        payload_bytes: 8_192,
    },
];

/// The size that targets are given for.
pub const USUAL: Size = SIZES[1];

/// Generated rows whose payloads are about as long as `size` says.
pub fn rows(size: Size, seed: u64) -> impl Iterator<Item = OutboxRow> {
    Generator::new(seed, jiff::Timestamp::UNIX_EPOCH).map(move |mut row| {
        row.payload = sized(&row.payload, size.payload_bytes);
        row
    })
}

/// Rows as they are generated, of one type.
pub fn rows_of(event_type: EventType, seed: u64) -> impl Iterator<Item = OutboxRow> {
    Generator::new(seed, jiff::Timestamp::UNIX_EPOCH)
        .filter(move |row| row.event_type == event_type)
        .map(|mut row| {
            row.payload = as_jsonb(&serde_json::from_str(&row.payload).unwrap());
            row
        })
}

/// The record of a row: Debezium's envelope without schemas.
pub fn record(row: &OutboxRow) -> Vec<u8> {
    let number = |n: u64| i64::try_from(n).unwrap();
    let lsn = 24_023_128 + number(row.seq) * 312;
    let ts_ms = 1_795_486_293_000 + number(row.seq);
    let envelope = format!(
        concat!(
            r#"{{"before":null,"after":{{"id":"{id}","run_id":"{run}","seq":{seq},"event_type":"{kind}","aggregate_type":"{about}","#,
            r#""aggregate_id":"{aggregate}","payload":{payload},"created_at":"2026-11-24T02:11:33.123456Z"}},"#,
            r#""source":{{"version":"3.6.0.Final","connector":"postgresql","name":"postgres","ts_ms":{ts_ms},"snapshot":"false","db":"activity_db","#,
            r#""sequence":"[\"{lsn}\",\"{lsn}\"]","ts_us":{ts_ms}123,"ts_ns":{ts_ms}123000,"schema":"activity","table":"event_outbox","txId":{xid},"#,
            r#""lsn":{lsn},"xmin":null}},"transaction":null,"op":"c","ts_ms":{ts_ms},"ts_us":{ts_ms}456,"ts_ns":{ts_ms}456789}}"#
        ),
        id = row.id,
        run = RUN,
        seq = row.seq,
        kind = row.event_type,
        about = row.event_type.aggregate_type(),
        aggregate = row.aggregate_id,
        payload = Value::from(row.payload.as_str()),
        ts_ms = ts_ms,
        lsn = lsn,
        xid = 771 + row.seq,
    );
    envelope.into_bytes()
}

/// The payload with notes added, or members taken away, until it has about so many bytes.
fn sized(payload: &str, bytes: usize) -> String {
    let mut payload: Value = serde_json::from_str(payload).unwrap();
    let members = payload.as_object_mut().unwrap();
    for name in ["message", "description", "address", "phone", "location"] {
        if as_jsonb(&Value::Object(members.clone())).len() <= bytes {
            break;
        }
        members.remove(name);
    }
    let mut left = bytes.saturating_sub(as_jsonb(&payload).len() + r#", "notes": []"#.len());
    let mut notes = Vec::new();
    loop {
        let n = notes.len();
        let note = json!({ "at": "2026-11-24T02:11:33Z", "by": format!("user-{n}"), "stars": n % 5, "text": "Brings a \"guest\", and salad; will be ten minutes late." });
        let length = as_jsonb(&note).len() + 2;
        if length > left {
            break;
        }
        left -= length;
        notes.push(note);
    }
    if !notes.is_empty() {
        payload["notes"] = Value::from(notes);
    }
    as_jsonb(&payload)
}

/// JSON as PostgreSQL writes a jsonb: a space behind every colon and comma.
fn as_jsonb(value: &Value) -> String {
    struct Spaced;
    impl serde_json::ser::Formatter for Spaced {
        fn begin_array_value<W: ?Sized + io::Write>(
            &mut self,
            writer: &mut W,
            first: bool,
        ) -> io::Result<()> {
            writer.write_all(if first { b"" } else { b", " })
        }

        fn begin_object_key<W: ?Sized + io::Write>(
            &mut self,
            writer: &mut W,
            first: bool,
        ) -> io::Result<()> {
            writer.write_all(if first { b"" } else { b", " })
        }

        fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
            writer.write_all(b": ")
        }
    }
    let mut text = Vec::new();
    value
        .serialize(&mut serde_json::Serializer::with_formatter(
            &mut text, Spaced,
        ))
        .unwrap();
    String::from_utf8(text).unwrap()
}
