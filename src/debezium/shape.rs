//! What the change events of a table have in common: all of their text but some values. Debezium writes the members of each
//! in the same order and says the same in many of them, so an event is read faster by comparing it with the one before
//! than by looking for its members.
//!
//! What a shape reads is what would be read without it. Its text is a JSON text, and what stands between two values of it
//! is compared byte by byte; each value is one in the text that is read as well. So the members are the same, and their
//! values are in the same places.

use std::borrow::Cow;
use std::ops::Range;

use super::values::{Field, ReadPayload, TextField, Values};
use crate::json::{Expected, Reader};

/// A value and where it stands; no field where it is passed over.
type Placed = (Option<Field>, Range<usize>);

/// The values of one event, in their order, as they are met with.
#[derive(Debug, Default)]
pub(super) struct Trace {
    values: Vec<Placed>,
    is_kept: bool,
}

impl Trace {
    /// One that keeps nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Forgets what there was, and begins anew.
    pub fn begin(&mut self) {
        self.values.clear();
        self.is_kept = true;
    }

    /// Nothing can be learned from this event.
    pub fn give_up(&mut self) {
        self.is_kept = false;
    }

    pub fn value(&mut self, field: Option<Field>, place: Range<usize>) {
        if self.is_kept {
            self.values.push((field, place));
        }
    }

    /// How many values there are so far.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// These values were read in vain.
    pub fn disregard(&mut self, which: Range<usize>) {
        for (field, _) in self.values.get_mut(which).unwrap_or_default() {
            *field = None;
        }
    }
}

/// A value of an event that was learned from.
#[derive(Debug)]
struct Known {
    field: Option<Field>,
    place: Range<usize>,
    /// Whether it must be read: it is asked for, or another from event to event.
    is_read: bool,
}

/// A value that must be read.
#[derive(Debug)]
struct Slot {
    field: Option<Field>,
    /// The text before it.
    before: Expected,
    /// The same with the value, if that is a text that stands for itself: it may well be the same again.
    same: Option<(TextField, Expected)>,
}

/// The shape of a table's events; at first of none.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// The event it was learned from last.
    text: String,
    /// All of its values.
    values: Vec<Known>,
    slots: Vec<Slot>,
    /// The text behind the last of them.
    end: Option<Expected>,
}

impl Shape {
    /// The values of an event of this shape; of another, or where a value is not what it must be, `None`.
    pub fn read<'a>(
        &self,
        text: &'a str,
        payload: &mut impl ReadPayload<'a>,
    ) -> Option<Values<'a>> {
        let end = self.end.as_ref()?;
        let mut json = Reader::new(text);
        let mut values = Values::default();
        for Slot {
            field,
            before,
            same,
        } in &self.slots
        {
            if let Some((field, with_value)) = same
                && json.expected(with_value).is_ok()
            {
                let value = with_value.len() - before.len();
                let quoted = &text[json.at() - value..json.at()];
                *values.text(*field) = Some(Cow::Borrowed(&quoted[1..quoted.len() - 1]));
                continue;
            }
            json.expected(before).ok()?;
            match field {
                Some(field) => values.read_field(*field, &mut json, payload).ok()?,
                None => json.skip().ok()?,
            }
        }
        json.expected(end).ok()?;
        json.end().ok()?;
        Some(values)
    }

    /// Takes the shape of this event. A value that nobody asks for is taken to be the same in every event until it is another.
    pub fn learn(&mut self, text: &str, trace: &Trace) {
        let fields = trace.values.iter().map(|(field, _)| *field);
        let is_known = self.values.iter().map(|known| known.field).eq(fields);
        let varies = |n: usize, place: &Range<usize>| {
            let known = &self.values[n];
            known.is_read || self.text[known.place.clone()] != text[place.clone()]
        };
        let known = |(n, (field, place)): (usize, &Placed)| Known {
            field: *field,
            place: place.clone(),
            is_read: field.is_some() || is_known && varies(n, place),
        };
        self.values = trace.values.iter().enumerate().map(known).collect();
        text.clone_into(&mut self.text);
        self.slots.clear();
        let mut end = 0;
        let expected = |range: Range<usize>| Expected::new(text[range].as_bytes());
        let read = self.values.iter().filter(|value| value.is_read);
        for Known { field, place, .. } in read.filter(|_| trace.is_kept) {
            let same = match field {
                Some(Field::Text(field)) if !text[place.clone()].contains('\\') => {
                    Some((*field, expected(end..place.end)))
                }
                _ => None,
            };
            self.slots.push(Slot {
                field: *field,
                before: expected(end..place.start),
                same,
            });
            end = place.end;
        }
        self.end = (!self.slots.is_empty()).then(|| expected(end..text.len()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::envelope::{Envelope, EnvelopeError, EnvelopeReader};
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

    /// What is read of a value, and the text of its payload.
    type Outcome<'a> = (Result<Envelope<'a>, EnvelopeError>, String);

    fn by_reader<'a>(reader: &mut EnvelopeReader, value: &'a [u8]) -> Outcome<'a> {
        let mut text = TextBuffer::default();
        let envelope = reader.read(value, |json| json.resolved_into(&mut text));
        (envelope, text.as_str().to_owned())
    }

    fn anew(value: &[u8]) -> Outcome<'_> {
        let mut text = TextBuffer::default();
        let envelope = Envelope::parse(value, &mut text);
        (envelope, text.as_str().to_owned())
    }

    fn by_shape(reader: &EnvelopeReader, value: &str) -> bool {
        let mut text = TextBuffer::default();
        let mut payload = |json: &mut crate::json::Reader<'_>| json.resolved_into(&mut text);
        reader.shape.read(value, &mut payload).is_some()
    }

    #[test]
    fn what_differs_twice_is_known_to_differ() {
        let other = SOURCE.replace("\"ts_ms\":7", "\"ts_ms\":8");
        let third = SOURCE.replace("\"ts_ms\":7", "\"ts_ms\":9.5e3");
        let [first, second, third] =
            [SOURCE, &other, &third].map(|source| event("41", source, "\"c\""));
        let mut reader = EnvelopeReader::default();
        assert!(!by_shape(&reader, &first));
        by_reader(&mut reader, first.as_bytes()).0.unwrap();
        assert!(by_shape(&reader, &first) && !by_shape(&reader, &second));
        by_reader(&mut reader, second.as_bytes()).0.unwrap();
        assert!(by_shape(&reader, &third));
        assert_eq!(
            by_reader(&mut reader, third.as_bytes()),
            anew(third.as_bytes())
        );
    }

    #[test]
    fn nothing_is_learned_from_members_that_come_twice_or_from_what_is_no_insert() {
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
            assert!(!by_shape(&reader, &twice), "{twice}");
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
        fn any_events_are_read_as_without_a_shape(events in prop::collection::vec(any_event(), 1..8)) {
            let mut reader = EnvelopeReader::default();
            for event in &events {
                prop_assert_eq!(by_reader(&mut reader, event.as_bytes()), anew(event.as_bytes()), "{}", event);
            }
        }

        #[test]
        fn damaged_events_are_read_as_without_a_shape(at in 0usize..600, byte in any::<u8>(), cut in 0usize..600) {
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
