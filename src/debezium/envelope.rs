//! Debezium's change event as its JsonConverter writes it, read without copying what needs no copy.
//!
//! Source of the fields: Debezium's documentation, "PostgreSQL connector: Data change events".

use std::borrow::Cow;

use uuid::Uuid;

use super::shape::{Shape, Trace};
use super::values::{Flaw, ReadPayload, Values};
use crate::json::{NotJson, Reader, TextBuffer};
use cdc_bench_model::event::EventId;
use cdc_bench_model::timeline::Stamp;

/// A change event of the outbox table.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope<'a> {
    /// `c`reate, `u`pdate, `d`elete, `r`ead (snapshot), `t`runcate, `m`essage.
    pub op: Cow<'a, str>,
    /// The row after the change.
    pub after: Option<OutboxAfter<'a>>,
    /// Where it came from.
    pub source: Source,
    /// When Debezium made this event, nanoseconds since the Unix epoch, on Connect's clock (microseconds in truth).
    pub ts_ns: Option<i64>,
    /// The same in milliseconds, in every version of Debezium.
    pub ts_ms: Option<i64>,
}

/// Where a change came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Source {
    /// Position of the row in the WAL.
    pub lsn: Option<u64>,
    /// Transaction.
    pub tx_id: Option<u64>,
}

/// A row of the outbox as Debezium writes it, but for its payload.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxAfter<'a> {
    /// Primary key.
    pub id: EventId,
    /// The run that made it.
    pub run_id: Cow<'a, str>,
    /// Its position in that run.
    pub seq: u64,
    /// What happened.
    pub event_type: Cow<'a, str>,
    /// To what kind of thing.
    pub aggregate_type: Cow<'a, str>,
    /// To which one.
    pub aggregate_id: Uuid,
    /// Microseconds since the Unix epoch; `timestamptz` is `io.debezium.time.ZonedTimestamp`, an ISO 8601 text.
    pub created_at_us: i64,
}

/// A value that is no change event of the outbox.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a Debezium change event of the outbox table: {0}")]
pub struct EnvelopeError(Box<Kind>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Kind {
    #[error("not UTF-8 from byte {0} on")]
    NotUtf8(usize),
    #[error("no JSON at byte {0}")]
    NotJson(usize),
    #[error("missing field `{0}`")]
    Missing(&'static str),
    #[error("{field} is {found}")]
    Field { field: &'static str, found: String },
}

impl<'a> Envelope<'a> {
    /// Reads a record's value, with the converter's schemas or without. The row's payload is left in `payload`: `jsonb` is
    /// `io.debezium.data.Json`, a string that holds the event as a JSON text.
    ///
    /// # Errors
    /// When it is not JSON, or lacks a field, or a field is not what it must be.
    pub fn parse(value: &'a [u8], payload: &mut TextBuffer) -> Result<Self, EnvelopeError> {
        let mut payload = |json: &mut Reader<'a>| json.resolved_into(payload);
        Self::parse_text(utf8(value)?, &mut payload, &mut Trace::none())
    }

    fn parse_text(
        text: &'a str,
        payload: &mut impl ReadPayload<'a>,
        trace: &mut Trace,
    ) -> Result<Self, EnvelopeError> {
        let mut json = Reader::new(text);
        let mut whole = || {
            let values = Values::read(&mut json, payload, trace)?;
            json.end()?;
            values.into_envelope()
        };
        whole().map_err(|flaw| match flaw {
            Flaw::NotJson => EnvelopeError(Box::new(Kind::NotJson(json.at()))),
            Flaw::Of(kind) => EnvelopeError(kind),
        })
    }

    /// The row, where this is an insert (or a row read by a snapshot).
    #[must_use]
    pub fn into_inserted(self) -> Option<OutboxAfter<'a>> {
        if matches!(&*self.op, "c" | "r") {
            self.after
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

/// Reads event after event, and takes each to be like the one before: what nobody asks for, names above all, is compared
/// with it rather than read.
#[derive(Debug, Default)]
pub(crate) struct EnvelopeReader {
    pub(super) shape: Shape,
    trace: Trace,
}

impl EnvelopeReader {
    /// As [`Envelope::parse`], with `payload` to read the string that is the row's payload; it may be asked twice.
    ///
    /// # Errors
    /// As [`Envelope::parse`].
    pub(crate) fn read<'a>(
        &mut self,
        value: &'a [u8],
        mut payload: impl FnMut(&mut Reader<'a>) -> Result<(), NotJson>,
    ) -> Result<Envelope<'a>, EnvelopeError> {
        let text = utf8(value)?;
        let alike = self.shape.read(text, &mut payload);
        if let Some(envelope) = alike.and_then(|values| values.into_envelope().ok()) {
            return Ok(envelope);
        }
        self.trace.begin();
        let envelope = Envelope::parse_text(text, &mut payload, &mut self.trace)?;
        if envelope.after.is_some() {
            self.shape.learn(text, &self.trace);
        }
        Ok(envelope)
    }
}

fn utf8(value: &[u8]) -> Result<&str, EnvelopeError> {
    // compat: an error is to say where it is.
    simdutf8::compat::from_utf8(value)
        .map_err(|error| EnvelopeError(Box::new(Kind::NotUtf8(error.valid_up_to()))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EVENT: &str = r#"{"before":null,"after":{"id":"0199a1b2-0000-7000-8000-000000000001","run_id":"r-1","seq":41,"event_type":"UserCreated",
        "aggregate_type":"user","aggregate_id":"0199a1b2-0000-7000-8000-000000000002","payload":"{\"name\": \"A \\\"B\\\" C\"}","created_at":"2026-11-24T02:11:33.123456Z"},
        "source":{"version":"3.6.0.Final","connector":"postgresql","name":"postgres","ts_ms":1,"snapshot":"false","db":"activity_db","sequence":"[null,\"1\"]",
        "schema":"activity","table":"event_outbox","txId":771,"lsn":24023128,"xmin":null},"transaction":null,"op":"c","ts_ms":1795486293500,"ts_us":1795486293500123,"ts_ns":1795486293500123456}"#;

    fn parse(value: &[u8]) -> Result<Envelope<'_>, EnvelopeError> {
        Envelope::parse(value, &mut TextBuffer::default())
    }

    #[test]
    fn an_insert_is_read_without_copying_plain_text() {
        let mut payload = TextBuffer::default();
        let envelope = Envelope::parse(EVENT.as_bytes(), &mut payload).unwrap();
        assert_eq!(
            envelope.source,
            Source {
                lsn: Some(24_023_128),
                tx_id: Some(771)
            }
        );
        assert_eq!(envelope.handed_on(), Some(Stamp(1_795_486_293_500_123_456)));
        let row = envelope.into_inserted().unwrap();
        assert_eq!(
            (row.seq, payload.as_str()),
            (41, r#"{"name": "A \"B\" C"}"#)
        );
        assert!(matches!(row.run_id, Cow::Borrowed("r-1")));
        assert_eq!(row.created_at_us, 1_795_486_293_123_456);
    }

    #[test]
    fn the_converters_schema_is_looked_through() {
        let wrapped = format!(r#"{{"schema":{{"type":"struct"}},"payload":{EVENT}}}"#);
        assert_eq!(
            parse(wrapped.as_bytes()).unwrap(),
            parse(EVENT.as_bytes()).unwrap()
        );
    }

    #[test]
    fn what_is_no_insert_is_told_apart() {
        let delete = r#"{"op":"d","after":null,"source":{"lsn":1,"txId":2}}"#;
        assert!(parse(delete.as_bytes()).unwrap().into_inserted().is_none());
    }

    #[test]
    fn names_may_be_spelled_with_escapes_and_come_in_any_order() {
        let spelled = EVENT.replacen("\"after\"", "\"\\u0061fter\"", 1);
        assert_eq!(
            parse(spelled.as_bytes()).unwrap(),
            parse(EVENT.as_bytes()).unwrap()
        );
        let turned = r#"{"source":{"txId":2,"ts_ms":[{}]},"ts_ms":7,"op":"d","after":null}"#;
        let envelope = parse(turned.as_bytes()).unwrap();
        assert_eq!(envelope.source.tx_id, Some(2));
        assert_eq!(envelope.handed_on(), Some(Stamp(7_000_000)));
    }

    #[test]
    fn an_error_names_the_field() {
        let damaged = EVENT.replace("\"seq\":41,", "");
        let error = parse(damaged.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("missing field `seq`"), "{error}");
        let error = parse(EVENT.replace("2026-11-24T", "yesterday").as_bytes())
            .unwrap_err()
            .to_string();
        assert!(error.contains("created_at"), "{error}");
        for (from, to, says) in [
            ("\"seq\":41", "\"seq\":-1", "seq is -1"),
            ("\"seq\":41", "\"seq\":\"41\"", "seq is no number"),
            ("\"UserCreated\"", "{}", "event_type is no string"),
            ("0000000001\"", "01\"", "no UUID"),
            ("\"lsn\":24023128", "\"lsn\":024", "no JSON at byte"),
        ] {
            let error = parse(EVENT.replacen(from, to, 1).as_bytes()).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
        let error = parse(b"{\"op\":\"\xff\"}").unwrap_err();
        assert!(
            error.to_string().contains("not UTF-8 from byte 7"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_damaged_event_makes_the_parser_panic(at in 0..EVENT.len(), byte in any::<u8>(), cut in 0..EVENT.len()) {
            let mut bytes = EVENT.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = parse(&bytes);
            let _ = parse(&bytes[..cut]);
        }
    }
}
