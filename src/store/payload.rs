//! An event's payload: a JSON text, or the BSON that it was transcoded to while the envelope was read.

use super::bson::BsonBuffer;
use super::member_cache::MemberCache;
use super::transcode::{TranscodeError, transcode, transcode_cached};
use crate::json::{InString, JsonReader, NotJson, TextBuffer};

/// The value of a document's `data`, before it is written.
#[derive(Debug, Clone, Copy)]
pub enum Payload<'a> {
    /// A JSON text.
    Json(&'a str),
    /// A text that was transcoded while it was read.
    Transcoded(&'a Transcoded),
}

/// A payload's BSON.
#[derive(Debug, Clone, Default)]
pub struct Transcoded {
    bson: BsonBuffer,
    occurred_at_ms: Option<i64>,
}

impl Payload<'_> {
    /// Estimated bytes as BSON.
    pub(super) fn size_hint(&self) -> usize {
        match self {
            Self::Json(text) => text.len() * 5 / 4,
            Self::Transcoded(payload) => payload.bson.len(),
        }
    }

    /// Appends it as the value of an element of kind document, and returns its member `occurred_at` in milliseconds since
    /// the Unix epoch, where that is a time.
    pub(super) fn write_to(&self, buffer: &mut BsonBuffer) -> Result<Option<i64>, TranscodeError> {
        match self {
            Self::Json(text) => transcode(&mut JsonReader::new(text), buffer),
            Self::Transcoded(payload) => {
                buffer.raw(payload.bson.bytes());
                Ok(payload.occurred_at_ms)
            }
        }
    }
}

/// Reads payloads from envelopes, where each is a JSON text in a JSON string. The buffers are reused, and the members of
/// one payload are expected in the next.
#[derive(Debug, Default)]
pub(crate) struct PayloadBuffer {
    transcoded: Transcoded,
    members: MemberCache<InString>,
    text: TextBuffer,
    is_text: bool,
}

impl PayloadBuffer {
    /// Reads a payload: directly to BSON, where it is escaped as Debezium and PostgreSQL do; else to its text, so that an
    /// error in it is reported when the document is built.
    pub(crate) fn read(&mut self, json: &mut JsonReader<'_>) -> Result<(), NotJson> {
        let Transcoded {
            bson,
            occurred_at_ms,
        } = &mut self.transcoded;
        bson.truncate(0);
        let transcoded =
            json.text_within(|within| transcode_cached(within, bson, &mut self.members).ok());
        self.is_text = transcoded.is_none();
        match transcoded {
            Some(ms) => *occurred_at_ms = ms,
            None => json.resolved_into(&mut self.text)?,
        }
        Ok(())
    }

    /// The payload that was read last.
    pub(crate) fn payload(&self) -> Payload<'_> {
        if self.is_text {
            Payload::Json(self.text.as_str())
        } else {
            Payload::Transcoded(&self.transcoded)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type WrittenPayload = Result<(Option<i64>, Vec<u8>), String>;

    /// The BSON of a payload in this JSON string, by way of its text and directly.
    fn both_ways(string: &str) -> [WrittenPayload; 2] {
        both_ways_after(&mut PayloadBuffer::default(), string)
    }

    /// The same with a buffer that has read other payloads before.
    fn both_ways_after(buffer: &mut PayloadBuffer, string: &str) -> [WrittenPayload; 2] {
        let written = |payload: Payload<'_>| {
            let mut buffer = BsonBuffer::default();
            let occurred_at_ms = payload.write_to(&mut buffer);
            let occurred_at_ms = occurred_at_ms.map_err(|stopped| format!("{stopped:?}"))?;
            Ok((occurred_at_ms, buffer.into_bytes()))
        };
        let no_string = |NotJson| "no string".to_owned();
        let mut text = TextBuffer::default();
        let mut reader = JsonReader::new(string);
        let by_text = reader
            .resolved_into(&mut text)
            .and_then(|()| reader.end())
            .map_err(no_string)
            .and_then(|()| written(Payload::Json(text.as_str())));
        let mut reader = JsonReader::new(string);
        let at_once = buffer
            .read(&mut reader)
            .and_then(|()| reader.end())
            .map_err(no_string)
            .and_then(|()| written(buffer.payload()));
        [by_text, at_once]
    }

    #[test]
    fn what_debezium_writes_is_transcoded_where_it_stands() {
        let read = |string: &str| {
            let mut buffer = PayloadBuffer::default();
            buffer.read(&mut JsonReader::new(string)).unwrap();
            buffer.is_text
        };
        for inner in [
            r#"{"a": "b", "ü": [1, -2.5, null, true, {}], "occurred_at": "2026-11-14T22:13:20.5Z"}"#,
            r#"{"q": "say \"so\" \\ / \n\t", "": ""}"#,
        ] {
            assert!(!read(&serde_json::to_string(inner).unwrap()), "{inner}");
        }
        for string in [r#""{\u0022a\": 1}""#, r#""{\n}""#, r#""[]""#] {
            assert!(read(string), "{string}");
        }
    }

    /// Texts with few names, but more than are cached in one position; some are not JSON.
    fn any_alike() -> impl Strategy<Value = String> {
        let space = || prop::sample::select(vec!["", "", "", " ", "\n "]);
        let name = prop::sample::select(vec![
            "a",
            "b",
            "c",
            "d",
            "e",
            "f",
            "g",
            "h",
            "i",
            "aa",
            "occurred_at",
            "",
            r#"\""#,
            "ü",
            r"\u0061",
            "longer_than_what_is_compared_and_written_at_once",
        ]);
        let leaf = prop::sample::select(vec![
            "1",
            "12",
            "-5",
            "1.5",
            "99999999999",
            "true",
            "null",
            "\"\"",
            "\"x\"",
            r#""2026-11-24T02:11:33.123Z""#,
            r#""a\"\n\\""#,
            "[]",
            "{}",
            "nul",
            "",
        ])
        .prop_map(str::to_owned);
        let value = leaf.prop_recursive(3, 24, 4, move |value| {
            let item = (space(), value.clone(), space()).prop_map(|(a, item, b)| [a, &item, b].concat());
            let member = (space(), name.clone(), space(), item.clone());
            let member = member.prop_map(|(a, name, b, item)| format!("{a}\"{name}\"{b}:{item}"));
            prop_oneof![
                1 => prop::collection::vec(item, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
                4 => prop::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(","))),
            ]
        });
        prop::collection::vec(value, 1..4).prop_map(|values| {
            let member = |(n, value): (usize, &String)| format!("\"m{n}\": {value}");
            let members: Vec<String> = values.iter().enumerate().map(member).collect();
            format!("{{{}}}", members.join(", "))
        })
    }

    proptest! {
        #[test]
        fn what_came_before_changes_nothing(texts in prop::collection::vec(any_alike(), 1..12)) {
            let mut buffer = PayloadBuffer::default();
            for text in texts.iter().chain(&texts) {
                let string = serde_json::to_string(text).unwrap();
                let [by_text, at_once] = both_ways_after(&mut buffer, &string);
                prop_assert_eq!(by_text, at_once, "{}", string);
            }
        }

        #[test]
        fn both_ways_lead_to_the_same(inner in "[\\[\\]{}\",:0-9e.\\-\\\\untrualfsd\\n ü]{0,40}", tail in "[\"\\\\ ]{0,3}") {
            for text in [inner.clone(), format!("{{\"a\":{inner}}}"), format!("{{\"a\":\"{inner}\"}}")] {
                for string in [format!("{}{tail}", serde_json::to_string(&text).unwrap()), format!("\"{text}\"{tail}")] {
                    let [by_text, at_once] = both_ways(&string);
                    prop_assert_eq!(by_text, at_once, "{}", string);
                }
            }
        }

        #[test]
        fn both_ways_lead_to_the_same_with_any_texts(name in "[^\\x00]{0,8}", text in "(\\PC|[\\x00-\\x20\"\\\\/]){0,20}", n in any::<i64>()) {
            let inner = serde_json::json!({ name: text, "n": [n, { "occurred_at": null }], "occurred_at": "1969-12-31T23:59:59.9995Z" });
            let string = serde_json::to_string(&inner.to_string()).unwrap();
            let [by_text, at_once] = both_ways(&string);
            prop_assert!(by_text.is_ok());
            prop_assert_eq!(by_text, at_once, "{}", string);
        }
    }
}
