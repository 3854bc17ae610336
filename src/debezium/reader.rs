//! Reads Debezium's change events as its JsonConverter writes them, without copying texts that have no escapes.

use super::envelope::Envelope;
use super::error::{EnvelopeFault, ParseFailure, ReadEnvelopeError};
use super::partial::{PartialEnvelope, ReadPayload};
use super::template::EventTemplate;
use super::trace::ValueTrace;
use crate::json::{JsonReader, NotJson, TextBuffer};

impl<'a> Envelope<'a> {
    /// Reads a record's value, with the converter's schemas or without. The row's payload is written to `payload`: a
    /// `jsonb` column is `io.debezium.data.Json`, a string with the JSON text of the event.
    ///
    /// # Errors
    /// When it is not JSON, a field is missing, or a field is not of its type.
    pub fn parse(value: &'a [u8], payload: &mut TextBuffer) -> Result<Self, ReadEnvelopeError> {
        let mut payload = |json: &mut JsonReader<'a>| json.resolved_into(payload);
        Self::parse_text(utf8(value)?, &mut payload, &mut ValueTrace::disabled())
    }

    fn parse_text(
        text: &'a str,
        payload: &mut impl ReadPayload<'a>,
        trace: &mut ValueTrace,
    ) -> Result<Self, ReadEnvelopeError> {
        let mut json = JsonReader::new(text);
        let mut whole = || {
            let event = PartialEnvelope::read(&mut json, payload, trace)?;
            json.end()?;
            event.into_envelope()
        };
        whole().map_err(|failure| match failure {
            ParseFailure::NotJson => ReadEnvelopeError(Box::new(EnvelopeFault::NotJson(json.at()))),
            ParseFailure::Envelope(fault) => ReadEnvelopeError(fault),
        })
    }
}

/// Reads events, each first with the template of the previous one, and with the parser where it does not match.
#[derive(Debug, Default)]
pub(crate) struct EnvelopeReader {
    pub(super) template: EventTemplate,
    trace: ValueTrace,
}

impl EnvelopeReader {
    /// As [`Envelope::parse`], with `payload` to read the string that is the row's payload. It may be called twice.
    ///
    /// # Errors
    /// As [`Envelope::parse`].
    pub(crate) fn read<'a>(
        &mut self,
        value: &'a [u8],
        mut payload: impl FnMut(&mut JsonReader<'a>) -> Result<(), NotJson>,
    ) -> Result<Envelope<'a>, ReadEnvelopeError> {
        let text = utf8(value)?;
        let matched = self.template.read(text, &mut payload);
        if let Some(envelope) = matched.and_then(|event| event.into_envelope().ok()) {
            return Ok(envelope);
        }
        self.trace.restart();
        let envelope = Envelope::parse_text(text, &mut payload, &mut self.trace)?;
        if envelope.after.is_some() {
            self.template.learn(text, &self.trace);
        }
        Ok(envelope)
    }
}

fn utf8(value: &[u8]) -> Result<&str, ReadEnvelopeError> {
    // compat: an error is to say where it is.
    simdutf8::compat::from_utf8(value)
        .map_err(|error| ReadEnvelopeError(Box::new(EnvelopeFault::NotUtf8(error.valid_up_to()))))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::debezium::EnvelopeSource;
    use cdc_bench_model::timeline::Stamp;
    use proptest::prelude::*;

    const EVENT: &str = r#"{"before":null,"after":{"id":"0199a1b2-0000-7000-8000-000000000001","run_id":"r-1","seq":41,"event_type":"UserCreated",
        "aggregate_type":"user","aggregate_id":"0199a1b2-0000-7000-8000-000000000002","payload":"{\"name\": \"A \\\"B\\\" C\"}","created_at":"2026-11-24T02:11:33.123456Z"},
        "source":{"version":"3.6.0.Final","connector":"postgresql","name":"postgres","ts_ms":1,"snapshot":"false","db":"activity_db","sequence":"[null,\"1\"]",
        "schema":"activity","table":"event_outbox","txId":771,"lsn":24023128,"xmin":null},"transaction":null,"op":"c","ts_ms":1795486293500,"ts_us":1795486293500123,"ts_ns":1795486293500123456}"#;

    fn parse(value: &[u8]) -> Result<Envelope<'_>, ReadEnvelopeError> {
        Envelope::parse(value, &mut TextBuffer::default())
    }

    #[test]
    fn an_insert_is_read_without_copying_plain_text() {
        let mut payload = TextBuffer::default();
        let envelope = Envelope::parse(EVENT.as_bytes(), &mut payload).unwrap();
        assert_eq!(
            envelope.source,
            EnvelopeSource {
                lsn: Some(24_023_128),
                tx_id: Some(771)
            }
        );
        assert_eq!(
            envelope.debezium_ts(),
            Some(Stamp(1_795_486_293_500_123_456))
        );
        let row = envelope.into_inserted().unwrap();
        assert_eq!(
            (row.seq, payload.as_str()),
            (41, r#"{"name": "A \"B\" C"}"#)
        );
        assert!(matches!(row.run_id, Cow::Borrowed("r-1")));
        assert_eq!(row.created_at_us, 1_795_486_293_123_456);
    }

    #[test]
    fn the_converters_schema_is_skipped() {
        let wrapped = format!(r#"{{"schema":{{"type":"struct"}},"payload":{EVENT}}}"#);
        assert_eq!(
            parse(wrapped.as_bytes()).unwrap(),
            parse(EVENT.as_bytes()).unwrap()
        );
    }

    #[test]
    fn what_is_not_an_insert_has_no_row() {
        let delete = r#"{"op":"d","after":null,"source":{"lsn":1,"txId":2}}"#;
        assert!(parse(delete.as_bytes()).unwrap().into_inserted().is_none());
    }

    #[test]
    fn names_may_have_escapes_and_any_order() {
        let spelled = EVENT.replacen("\"after\"", "\"\\u0061fter\"", 1);
        assert_eq!(
            parse(spelled.as_bytes()).unwrap(),
            parse(EVENT.as_bytes()).unwrap()
        );
        let turned = r#"{"source":{"txId":2,"ts_ms":[{}]},"ts_ms":7,"op":"d","after":null}"#;
        let envelope = parse(turned.as_bytes()).unwrap();
        assert_eq!(envelope.source.tx_id, Some(2));
        assert_eq!(envelope.debezium_ts(), Some(Stamp(7_000_000)));
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
