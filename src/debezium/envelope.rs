//! Debezium's change event as its JsonConverter writes it, read without copying what needs no copy.
//!
//! Source of the fields: Debezium's documentation, "PostgreSQL connector: Data change events".

use std::borrow::Cow;

use serde::Deserialize;
use uuid::Uuid;

use crate::event::EventId;
use crate::timeline::Stamp;

/// A change event of the outbox table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Envelope<'a> {
    /// `c`reate, `u`pdate, `d`elete, `r`ead (snapshot), `t`runcate, `m`essage.
    #[serde(borrow)]
    pub op: Cow<'a, str>,
    /// The row after the change.
    #[serde(borrow, default)]
    pub after: Option<OutboxAfter<'a>>,
    /// Where it came from.
    pub source: Source,
    /// When Debezium made this event, nanoseconds since the Unix epoch, on Connect's clock (microseconds in truth).
    #[serde(default)]
    pub ts_ns: Option<i64>,
    /// The same in milliseconds, in every version of Debezium.
    #[serde(default)]
    pub ts_ms: Option<i64>,
}

/// Where a change came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Source {
    /// Position of the row in the WAL.
    #[serde(default)]
    pub lsn: Option<u64>,
    /// Transaction.
    #[serde(default, rename = "txId")]
    pub tx_id: Option<u64>,
}

/// A row of the outbox as Debezium writes it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct OutboxAfter<'a> {
    /// Primary key.
    pub id: EventId,
    /// The run that made it.
    #[serde(borrow)]
    pub run_id: Cow<'a, str>,
    /// Its position in that run.
    pub seq: u64,
    /// What happened.
    #[serde(borrow)]
    pub event_type: Cow<'a, str>,
    /// To what kind of thing.
    #[serde(borrow)]
    pub aggregate_type: Cow<'a, str>,
    /// To which one.
    pub aggregate_id: Uuid,
    /// The event as a JSON text: `jsonb` is `io.debezium.data.Json`, a string.
    #[serde(borrow)]
    pub payload: Cow<'a, str>,
    /// Microseconds since the Unix epoch; `timestamptz` is `io.debezium.time.ZonedTimestamp`, an ISO 8601 text.
    #[serde(rename = "created_at", deserialize_with = "zoned_timestamp")]
    pub created_at_us: i64,
}

/// A value that is no change event of the outbox.
#[derive(Debug, thiserror::Error)]
#[error("not a Debezium change event of the outbox table: {0}")]
pub struct EnvelopeError(#[from] serde_json::Error);

/// With `schemas.enable` the converter wraps the event.
#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(borrow)]
    payload: Envelope<'a>,
}

impl<'a> Envelope<'a> {
    /// Reads a record's value, with the converter's schemas or without.
    ///
    /// # Errors
    /// When it is not JSON, or lacks a field, or a field is not what it must be.
    pub fn parse(value: &'a [u8]) -> Result<Self, EnvelopeError> {
        match serde_json::from_slice(value) {
            Ok(envelope) => Ok(envelope),
            Err(error) if error.is_data() => match serde_json::from_slice::<Wrapped<'a>>(value) {
                Ok(wrapped) => Ok(wrapped.payload),
                // What the usual form lacked says more.
                Err(_) => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// The row, where this is an insert (or a row read by a snapshot).
    #[must_use]
    pub fn inserted(&self) -> Option<&OutboxAfter<'a>> {
        if matches!(&*self.op, "c" | "r") {
            self.after.as_ref()
        } else {
            None
        }
    }

    /// Td: when Debezium handed the event on, on Connect's clock.
    #[must_use]
    pub fn handed_on(&self) -> Option<Stamp> {
        self.ts_ns
            .or_else(|| self.ts_ms?.checked_mul(1_000_000))
            .map(Stamp)
    }
}

fn zoned_timestamp<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    let instant: jiff::Timestamp = text.parse().map_err(|e| {
        serde::de::Error::custom(format!("created_at {text:?} is no timestamp: {e}"))
    })?;
    Ok(instant.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EVENT: &str = r#"{"before":null,"after":{"id":"0199a1b2-0000-7000-8000-000000000001","run_id":"r-1","seq":41,"event_type":"UserCreated",
        "aggregate_type":"user","aggregate_id":"0199a1b2-0000-7000-8000-000000000002","payload":"{\"name\": \"A \\\"B\\\" C\"}","created_at":"2026-11-24T02:11:33.123456Z"},
        "source":{"version":"3.6.0.Final","connector":"postgresql","name":"postgres","ts_ms":1,"snapshot":"false","db":"activity_db","sequence":"[null,\"1\"]",
        "schema":"activity","table":"event_outbox","txId":771,"lsn":24023128,"xmin":null},"transaction":null,"op":"c","ts_ms":1795486293500,"ts_us":1795486293500123,"ts_ns":1795486293500123456}"#;

    #[test]
    fn an_insert_is_read_without_copying_plain_text() {
        let envelope = Envelope::parse(EVENT.as_bytes()).unwrap();
        let row = envelope.inserted().unwrap();
        assert_eq!((row.seq, &*row.payload), (41, r#"{"name": "A \"B\" C"}"#));
        assert!(matches!(row.run_id, Cow::Borrowed("r-1")));
        assert_eq!(row.created_at_us, 1_795_486_293_123_456);
        assert_eq!(
            envelope.source,
            Source {
                lsn: Some(24_023_128),
                tx_id: Some(771)
            }
        );
        assert_eq!(envelope.handed_on(), Some(Stamp(1_795_486_293_500_123_456)));
    }

    #[test]
    fn the_converters_schema_is_looked_through() {
        let wrapped = format!(r#"{{"schema":{{"type":"struct"}},"payload":{EVENT}}}"#);
        assert_eq!(
            Envelope::parse(wrapped.as_bytes()).unwrap(),
            Envelope::parse(EVENT.as_bytes()).unwrap()
        );
    }

    #[test]
    fn what_is_no_insert_is_told_apart() {
        let delete = r#"{"op":"d","after":null,"source":{"lsn":1,"txId":2}}"#;
        assert!(
            Envelope::parse(delete.as_bytes())
                .unwrap()
                .inserted()
                .is_none()
        );
    }

    #[test]
    fn an_error_names_the_field() {
        let damaged = EVENT.replace("\"seq\":41,", "");
        let error = Envelope::parse(damaged.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("missing field `seq`"), "{error}");
        let error = Envelope::parse(EVENT.replace("2026-11-24T", "yesterday").as_bytes())
            .unwrap_err()
            .to_string();
        assert!(error.contains("created_at"), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Envelope::parse(&bytes);
        }

        #[test]
        fn no_damaged_event_makes_the_parser_panic(at in 0..EVENT.len(), byte in any::<u8>(), cut in 0..EVENT.len()) {
            let mut bytes = EVENT.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = Envelope::parse(&bytes);
            let _ = Envelope::parse(&bytes[..cut]);
        }
    }
}
