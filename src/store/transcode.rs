//! JSON text to BSON bytes in one pass: serde_json reads, this visitor writes, nothing stands in between.

use std::fmt;

use jiff::Timestamp;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, de};

use super::bson::{BsonBuffer, kind};

/// Deepest nesting of a payload. MongoDB takes 100 levels in all; the document and its `data` are two of them.
pub(super) const DEEPEST: usize = 98;

/// What stopped the transcoding, where serde's own error would not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    NotAnObject,
    TooDeep,
    NulInName,
}

/// Writes one JSON object's members into a buffer.
pub(super) struct Transcoder<'b> {
    pub buffer: &'b mut BsonBuffer,
    /// Set where the error is ours and not a matter of JSON's grammar.
    pub stop: Option<Stop>,
    /// The object's own `occurred_at` in milliseconds since the Unix epoch, where it is a time.
    pub occurred_at_ms: Option<i64>,
}

impl<'b> Transcoder<'b> {
    pub fn new(buffer: &'b mut BsonBuffer) -> Self {
        Self {
            buffer,
            stop: None,
            occurred_at_ms: None,
        }
    }

    /// Appends the object as the value of an element of kind document.
    pub fn object(&mut self, json: &str) -> serde_json::Result<()> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let value = Value {
            transcoder: self,
            depth: 0,
            is_occurred_at: false,
        };
        let written = value.deserialize(&mut deserializer)?;
        deserializer.end()?;
        if written != kind::DOCUMENT {
            self.stop = Some(Stop::NotAnObject);
            return Err(serde_json::Error::custom("not an object"));
        }
        Ok(())
    }

    fn stop<E: de::Error>(&mut self, stop: Stop) -> E {
        self.stop = Some(stop);
        E::custom("stopped")
    }
}

/// Writes one value, and says of which BSON kind it is.
struct Value<'t, 'b> {
    transcoder: &'t mut Transcoder<'b>,
    depth: usize,
    is_occurred_at: bool,
}

impl Value<'_, '_> {
    fn number(self, kind: u8, bytes: &[u8]) -> u8 {
        self.transcoder.buffer.raw(bytes);
        kind
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = u8;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u8, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = u8;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<u8, E> {
        Ok(kind::NULL)
    }

    fn visit_bool<E>(self, value: bool) -> Result<u8, E> {
        self.transcoder.buffer.raw(&[u8::from(value)]);
        Ok(kind::BOOLEAN)
    }

    fn visit_i64<E>(self, value: i64) -> Result<u8, E> {
        Ok(match i32::try_from(value) {
            Ok(small) => self.number(kind::INT32, &small.to_le_bytes()),
            Err(_) => self.number(kind::INT64, &value.to_le_bytes()),
        })
    }

    #[allow(clippy::cast_precision_loss)]
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<u8, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            // As serde_json does past 64 bits: jsonb spells 1e19 and 10000000000000000000 alike, so it may be either.
            Err(_) => self.visit_f64(value as f64),
        }
    }

    fn visit_f64<E>(self, value: f64) -> Result<u8, E> {
        Ok(self.number(kind::DOUBLE, &value.to_le_bytes()))
    }

    fn visit_str<E>(self, text: &str) -> Result<u8, E> {
        if self.is_occurred_at {
            let time = text.parse::<Timestamp>().ok();
            // Jiff truncates towards zero; milliseconds are cut downwards everywhere here.
            self.transcoder.occurred_at_ms = time.map(|time| floor_millis(time.as_microsecond()));
        }
        self.transcoder.buffer.string_value(text);
        Ok(kind::STRING)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<u8, A::Error> {
        let depth = self.depth + 1;
        if depth > DEEPEST {
            return Err(self.transcoder.stop(Stop::TooDeep));
        }
        let open = self.transcoder.buffer.begin();
        for index in 0.. {
            let item = Item {
                transcoder: &mut *self.transcoder,
                depth,
                index,
            };
            if items.next_element_seed(item)?.is_none() {
                break;
            }
        }
        self.transcoder.buffer.end(open);
        Ok(kind::ARRAY)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<u8, A::Error> {
        let depth = self.depth + 1;
        if depth > DEEPEST {
            return Err(self.transcoder.stop(Stop::TooDeep));
        }
        let open = self.transcoder.buffer.begin();
        loop {
            let Some(name) = members.next_key_seed(Name(&mut *self.transcoder))? else {
                break;
            };
            let value = Value {
                transcoder: &mut *self.transcoder,
                depth,
                is_occurred_at: depth == 1 && name.is_occurred_at,
            };
            let kind = members.next_value_seed(value)?;
            self.transcoder.buffer.set_kind(name.kind_at, kind);
        }
        self.transcoder.buffer.end(open);
        Ok(kind::DOCUMENT)
    }
}

/// Milliseconds out of microseconds since the Unix epoch, downwards, as BSON keeps times.
pub(super) fn floor_millis(us: i64) -> i64 {
    us.div_euclid(1_000)
}

/// An array's element: kind, index, value. At the array's end serde does not call it, and nothing is written.
struct Item<'t, 'b> {
    transcoder: &'t mut Transcoder<'b>,
    depth: usize,
    index: usize,
}

impl<'de> DeserializeSeed<'de> for Item<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let kind_at = self.transcoder.buffer.begin_element();
        self.transcoder.buffer.index_name(self.index);
        let value = Value {
            transcoder: &mut *self.transcoder,
            depth: self.depth,
            is_occurred_at: false,
        };
        let kind = value.deserialize(deserializer)?;
        self.transcoder.buffer.set_kind(kind_at, kind);
        Ok(())
    }
}

/// Writes an element's kind, still unknown, and its name.
struct Name<'t, 'b>(&'t mut Transcoder<'b>);

struct WrittenName {
    kind_at: usize,
    is_occurred_at: bool,
}

impl<'de> DeserializeSeed<'de> for Name<'_, '_> {
    type Value = WrittenName;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<WrittenName, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_, '_> {
    type Value = WrittenName;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<WrittenName, E> {
        if name.contains('\0') {
            return Err(self.0.stop(Stop::NulInName));
        }
        let kind_at = self.0.buffer.begin_element();
        self.0.buffer.name(name);
        Ok(WrittenName {
            kind_at,
            is_occurred_at: name == "occurred_at",
        })
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Bson, Document, RawDocumentBuf};
    use proptest::prelude::*;
    use serde_json::Value as Json;

    use super::*;

    fn transcode(json: &str) -> Result<Document, Option<Stop>> {
        let mut buffer = BsonBuffer::default();
        let mut transcoder = Transcoder::new(&mut buffer);
        transcoder.object(json).map_err(|_| transcoder.stop)?;
        let raw = RawDocumentBuf::from_bytes(buffer.into_bytes()).unwrap();
        Ok(Document::try_from(raw.as_ref()).unwrap())
    }

    /// The plain way, by a tree in between.
    fn tree(json: &Json) -> Bson {
        match json {
            Json::Null => Bson::Null,
            Json::Bool(value) => Bson::Boolean(*value),
            Json::Number(number) => match number.as_i64() {
                Some(n) => i32::try_from(n).map_or(Bson::Int64(n), Bson::Int32),
                None => Bson::Double(number.as_f64().unwrap()),
            },
            Json::String(text) => Bson::String(text.clone()),
            Json::Array(items) => Bson::Array(items.iter().map(tree).collect()),
            Json::Object(members) => Bson::Document(
                members
                    .iter()
                    .map(|(name, value)| (name.clone(), tree(value)))
                    .collect(),
            ),
        }
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let name = "[^\\x00]{0,8}";
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<i16>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            "\\PC{0,20}".prop_map(Json::from),
            "[\\x00-\\x7f]{0,8}".prop_map(Json::from),
        ];
        let inner = leaf.prop_recursive(5, 60, 12, move |value| {
            prop_oneof![
                prop::collection::vec(value.clone(), 0..12).prop_map(Json::from),
                prop::collection::btree_map(name, value, 0..6)
                    .prop_map(|members| Json::Object(members.into_iter().collect())),
            ]
        });
        prop::collection::btree_map(name, inner, 0..6)
            .prop_map(|members| Json::Object(members.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_the_plain_way(json in any_json()) {
            let expected = tree(&json);
            let written = Bson::Document(transcode(&json.to_string()).unwrap());
            prop_assert_eq!(written, expected);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}\",:0-9eE.+\\-\\\\unltrfas\\x00 ]{0,60}") {
            let _ = transcode(&text);
        }
    }

    #[test]
    fn what_is_no_object_or_too_deep_or_has_nul_in_a_name_says_so() {
        for json in ["1", "[]", "\"a\"", "null", "[{\"a\":1}]"] {
            assert_eq!(transcode(json), Err(Some(Stop::NotAnObject)), "{json}");
        }
        let nested = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        assert!(transcode(&nested(DEEPEST)).is_ok());
        assert_eq!(transcode(&nested(DEEPEST + 1)), Err(Some(Stop::TooDeep)));
        assert_eq!(transcode(&nested(100_000)), Err(Some(Stop::TooDeep)));
        let in_array = format!("{{\"a\":{}1{}}}", "[".repeat(98), "]".repeat(98));
        assert_eq!(transcode(&in_array), Err(Some(Stop::TooDeep)));
        assert_eq!(transcode("{\"a\\u0000b\":1}"), Err(Some(Stop::NulInName)));
        for json in ["", "{", "{\"a\":1} 2", "{\"a\":1e400}", "{\"a\":nan}"] {
            assert_eq!(transcode(json), Err(None), "{json}");
        }
    }
}
