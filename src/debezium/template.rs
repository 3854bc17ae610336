//! The common text of a table's change events. Debezium writes the members of every event in the same order, and many of
//! them with the same value, so comparing an event with the previous one is faster than parsing it.
//!
//! A template reads the same fields as the parser: its text is JSON, the text between two slots is compared byte by byte,
//! and each slot is a value in the event as it is in the template. So the event has the same members, with their values in
//! the same slots.

use std::borrow::Cow;
use std::ops::Range;

use super::field::{Field, TextField};
use super::partial::{PartialEnvelope, ReadPayload};
use super::trace::{TracedValue, ValueTrace};
use crate::json::{Expected, JsonReader};

/// A value of the event that the template was made of.
#[derive(Debug)]
struct TemplateValue {
    field: Option<Field>,
    range: Range<usize>,
    /// Whether it is read: it is a field, or differs from event to event.
    is_read: bool,
}

/// A value that is read.
#[derive(Debug)]
struct TemplateSlot {
    field: Option<Field>,
    /// The text before it.
    before: Expected,
    /// The text before it and the value, where that is a text without escapes: it is likely to be the same again.
    with_value: Option<(TextField, Expected)>,
}

/// The common text of a table's events; empty until an event was learned.
#[derive(Debug, Default)]
pub(super) struct EventTemplate {
    /// The event it was made of last.
    text: String,
    /// All values of that event.
    values: Vec<TemplateValue>,
    slots: Vec<TemplateSlot>,
    /// The text after the last slot.
    end: Option<Expected>,
}

impl EventTemplate {
    /// Reads an event that matches the template; `None` where it does not, or a value is not of its field's type.
    pub fn read<'a>(
        &self,
        text: &'a str,
        payload: &mut impl ReadPayload<'a>,
    ) -> Option<PartialEnvelope<'a>> {
        let end = self.end.as_ref()?;
        let mut json = JsonReader::new(text);
        let mut event = PartialEnvelope::default();
        for TemplateSlot {
            field,
            before,
            with_value,
        } in &self.slots
        {
            if let Some((field, expected)) = with_value
                && json.expected(expected).is_ok()
            {
                let value = expected.len() - before.len();
                let quoted = &text[json.at() - value..json.at()];
                *event.text(*field) = Some(Cow::Borrowed(&quoted[1..quoted.len() - 1]));
                continue;
            }
            json.expected(before).ok()?;
            match field {
                Some(field) => event.read_field(*field, &mut json, payload).ok()?,
                None => json.skip().ok()?,
            }
        }
        json.expected(end).ok()?;
        json.end().ok()?;
        Some(event)
    }

    /// Makes the template of this event. A value that is not a field is taken for constant until one event has another.
    pub fn learn(&mut self, text: &str, trace: &ValueTrace) {
        let fields = trace.values.iter().map(|(field, _)| *field);
        let has_same_fields = self.values.iter().map(|value| value.field).eq(fields);
        let varies = |n: usize, range: &Range<usize>| {
            let value = &self.values[n];
            value.is_read || self.text[value.range.clone()] != text[range.clone()]
        };
        let value = |(n, (field, range)): (usize, &TracedValue)| TemplateValue {
            field: *field,
            range: range.clone(),
            is_read: field.is_some() || has_same_fields && varies(n, range),
        };
        self.values = trace.values.iter().enumerate().map(value).collect();
        text.clone_into(&mut self.text);
        self.slots.clear();
        let mut end = 0;
        let expected = |range: Range<usize>| Expected::new(text[range].as_bytes());
        let read = self.values.iter().filter(|value| value.is_read);
        for TemplateValue { field, range, .. } in read.filter(|_| trace.is_recording) {
            let with_value = match field {
                Some(Field::Text(field)) if !text[range.clone()].contains('\\') => {
                    Some((*field, expected(end..range.end)))
                }
                _ => None,
            };
            self.slots.push(TemplateSlot {
                field: *field,
                before: expected(end..range.start),
                with_value,
            });
            end = range.end;
        }
        self.end = (!self.slots.is_empty()).then(|| expected(end..text.len()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::envelope::Envelope;
    use super::super::error::ReadEnvelopeError;
    use super::super::reader::EnvelopeReader;
    use crate::json::TextBuffer;

    fn after(seq: &str) -> String {
        format!(
            r#""after":{{"id":"0199a1b2-0000-7000-8000-000000000001","run_id":"r-1","seq":{seq},"event_type":"UserCreated",
            "aggregate_type":"user","aggregate_id":"0199a1b2-0000-7000-8000-000000000002","payload":"{{\"n\": {seq}}}","created_at":"2026-11-24T02:11:33.123456Z"}}"#
        )
    }

    fn event(seq: &str, source: &str, op: &str) -> String {
        let after = after(seq);
        format!(
            r#"{{"before":null,{after},
            "source":{source},"transaction":null,"op":{op},"ts_ms":1795486293500,"ts_ns":1795486293500123456}}"#
        )
    }

    const SOURCE: &str = r#"{"version":"3.6.0.Final","ts_ms":7,"sequence":"[null,\"1\"]","txId":771,"lsn":24023128,"xmin":null}"#;

    /// The envelope of a value, and the text of its payload.
    type ReadOutcome<'a> = (Result<Envelope<'a>, ReadEnvelopeError>, String);

    fn by_reader<'a>(reader: &mut EnvelopeReader, value: &'a [u8]) -> ReadOutcome<'a> {
        let mut text = TextBuffer::default();
        let envelope = reader.read(value, |json| json.resolved_into(&mut text));
        (envelope, text.as_str().to_owned())
    }

    fn anew(value: &[u8]) -> ReadOutcome<'_> {
        let mut text = TextBuffer::default();
        let envelope = Envelope::parse(value, &mut text);
        (envelope, text.as_str().to_owned())
    }

    fn by_template(reader: &EnvelopeReader, value: &str) -> bool {
        let mut text = TextBuffer::default();
        let mut payload = |json: &mut crate::json::JsonReader<'_>| json.resolved_into(&mut text);
        reader.template.read(value, &mut payload).is_some()
    }

    #[test]
    fn a_value_that_differed_once_is_read() {
        let other = SOURCE.replace("\"ts_ms\":7", "\"ts_ms\":8");
        let third = SOURCE.replace("\"ts_ms\":7", "\"ts_ms\":9.5e3");
        let [first, second, third] =
            [SOURCE, &other, &third].map(|source| event("41", source, "\"c\""));
        let mut reader = EnvelopeReader::default();
        assert!(!by_template(&reader, &first));
        by_reader(&mut reader, first.as_bytes()).0.unwrap();
        assert!(by_template(&reader, &first) && !by_template(&reader, &second));
        by_reader(&mut reader, second.as_bytes()).0.unwrap();
        assert!(by_template(&reader, &third));
        assert_eq!(
            by_reader(&mut reader, third.as_bytes()),
            anew(third.as_bytes())
        );
    }

    #[test]
    fn no_template_is_made_of_duplicate_members_or_of_other_changes_than_inserts() {
        let mut reader = EnvelopeReader::default();
        for source in [
            format!("{SOURCE},\"source\":{{\"lsn\":1}}"),
            format!("{SOURCE},\"after\":null"),
            // Complete, and so an insert.
            format!("{SOURCE},{}", after("42")),
        ] {
            let twice = event("41", &source, "\"c\"");
            assert!(
                by_reader(&mut reader, twice.as_bytes()).0.is_ok(),
                "{twice}"
            );
            assert!(!by_template(&reader, &twice), "{twice}");
        }
    }

    /// Events that are alike in part, wrapped by the converter or not.
    fn any_event() -> impl Strategy<Value = String> {
        let number = prop_oneof![
            Just("41".to_owned()),
            Just("null".to_owned()),
            Just("-0".to_owned()),
            Just("4.5e1".to_owned()),
            Just("99999999999999999999".to_owned()),
            any::<u64>().prop_map(|n| n.to_string()),
        ];
        let op = prop_oneof![Just("\"c\""), Just("\"d\""), Just("\"\\u0063\""), Just("7")];
        let change = prop_oneof![
            Just(("", "")),
            Just((",\"lsn\":24023128", "")),
            Just(("\"xmin\":null", "\"xmin\":null,\"lsn\":5")),
            Just(("\"version\":", "\"version\" : ")),
            Just(("\"ts_ms\":7", "\"ts_ms\":[{\"lsn\":2}]")),
            Just((":771", ":null")),
            Just(("3.6.0.Final", "3.6.0\\u0000")),
        ];
        let text = prop_oneof![
            Just(("", "")),
            Just(("UserCreated", "ParticipantJoined")),
            Just(("UserCreated", "UserCre\\u0061ted")),
            Just(("\"op\":", "\"op\": ")),
            Just(("\"r-1\"", " \"r-1\"")),
            Just(("\"user\"", "\"\"")),
        ];
        let parts = (number.clone(), number, op, change, text, 0..4);
        parts.prop_map(|(seq, ms, op, (from, to), (text, spelled), wrap)| {
            let source = SOURCE
                .replace(":7,", &format!(":{ms},"))
                .replacen(from, to, 1);
            let event = event(&seq, &source, op).replacen(text, spelled, 1);
            match wrap {
                0 => format!(r#"{{"schema":{{"type":"struct"}},"payload":{event},"ts_ms":5}}"#),
                1 => event.replacen("\"op\"", "\"payload\":{\"op\":\"d\"},\"op\"", 1),
                _ => event,
            }
        })
    }

    proptest! {
        #[test]
        fn any_events_are_read_as_without_a_template(events in prop::collection::vec(any_event(), 1..8)) {
            let mut reader = EnvelopeReader::default();
            for event in &events {
                prop_assert_eq!(by_reader(&mut reader, event.as_bytes()), anew(event.as_bytes()), "{}", event);
            }
        }

        #[test]
        fn damaged_events_are_read_as_without_a_template(at in 0usize..600, byte in any::<u8>(), cut in 0usize..600) {
            let whole = event("41", SOURCE, "\"c\"");
            let mut reader = EnvelopeReader::default();
            by_reader(&mut reader, whole.as_bytes()).0.unwrap();
            let mut damaged = whole.clone().into_bytes();
            let at = at % damaged.len();
            damaged[at] = byte;
            for value in [&damaged[..], &damaged[..cut.min(damaged.len())]] {
                let (by_reader, anew) = (by_reader(&mut reader, value), anew(value));
                prop_assert_eq!(&by_reader.0, &anew.0);
                if anew.0.is_ok() {
                    prop_assert_eq!(by_reader.1, anew.1);
                }
            }
        }
    }
}
