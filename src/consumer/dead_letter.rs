//! A dead letter: a record that could not be written, where it came from, and why. Its form in a file is this struct as JSON;
//! its form in a topic is the record itself, with the rest in headers (`dead_letter_record`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::DeadLetterReason;
use cdc_bench_model::event::EventId;

/// A record that could not be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Why it could not, as a word.
    pub reason: DeadLetterReason,
    /// The same as a sentence.
    pub message: String,
    /// The store's error code, where it was the store that refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_code: Option<i32>,
    /// The topic that it was first consumed from.
    pub topic: String,
    /// Its partition there.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// The event, where it could be read.
    pub id: Option<EventId>,
    /// How often it was tried to write it; at least once.
    #[serde(default = "once")]
    pub attempts: u32,
    /// When it was first put aside.
    #[serde(default)]
    pub first_seen: jiff::Timestamp,
    /// The record's key.
    #[serde(default)]
    pub key: Option<Bytes>,
    /// The record's own headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, Option<Bytes>)>,
    /// The record's value.
    pub value: Option<Bytes>,
    /// Size of the value in bytes, where it was too large for the topic that the dead letter was read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub omitted_bytes: Option<u64>,
}

fn once() -> u32 {
    1
}

/// Bytes as JSON: a string where they are UTF-8, else `{"base64": "…"}`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum BytesForm<'a> {
    Text(std::borrow::Cow<'a, str>),
    Binary { base64: String },
}

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => BytesForm::Binary {
                base64: STANDARD.encode(&self.0),
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match BytesForm::deserialize(deserializer)? {
            BytesForm::Text(text) => Ok(Self(text.into_owned().into_bytes())),
            BytesForm::Binary { base64 } => STANDARD
                .decode(base64)
                .map(Self)
                .map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead_letter() -> DeadLetter {
        DeadLetter {
            reason: DeadLetterReason::RefusedByStore,
            message: "refused by the store: no (code 121)".to_owned(),
            store_code: Some(121),
            topic: "t".to_owned(),
            partition: 3,
            offset: 7,
            id: Some(EventId(uuid::Uuid::from_u128(5))),
            attempts: 2,
            first_seen: jiff::Timestamp::UNIX_EPOCH,
            key: Some(Bytes(b"{\"id\":1}".to_vec())),
            headers: vec![
                ("trace".to_owned(), Some(Bytes(vec![0xff, 0]))),
                ("empty".to_owned(), None),
            ],
            value: Some(Bytes(b"\xffnot text".to_vec())),
            omitted_bytes: None,
        }
    }

    #[test]
    fn a_dead_letter_comes_back_whole_from_a_file_and_from_a_topic() {
        let whole = dead_letter();
        let line = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<DeadLetter>(&line).unwrap(), whole);
        let bytes = |bytes: &Option<Bytes>| bytes.as_ref().map(|bytes| bytes.0.clone());
        let (key, value) = (bytes(&whole.key), bytes(&whole.value));
        let read = DeadLetter::of_topic(key.as_deref(), value.as_deref(), whole.topic_headers());
        assert_eq!(read.unwrap(), whole);
    }

    #[test]
    fn a_line_of_an_older_version_is_read() {
        let line = r#"{"reason":"not JSON","message":"","topic":"t","partition":0,"offset":1,"id":null,"value":"x"}"#;
        let read: DeadLetter = serde_json::from_str(line).unwrap();
        assert_eq!((read.attempts, read.key), (1, None));
        assert_eq!(
            read.reason,
            DeadLetterReason::Foreign("not JSON".to_owned())
        );
    }

    #[test]
    fn a_dead_letter_of_kafka_connect_says_where_it_is_from_and_why() {
        let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
        let headers = vec![
            header("own", "1"),
            header("__connect.errors.topic", "shop.orders"),
            header("__connect.errors.partition", "2"),
            header("__connect.errors.offset", "41"),
            header("__connect.errors.stage", "VALUE_CONVERTER"),
            header("__connect.errors.exception.class.name", "DataException"),
            header("__connect.errors.exception.message", "no schema"),
        ];
        let read = DeadLetter::of_topic(None, Some(b"v"), headers).unwrap();
        assert_eq!(
            (&*read.topic, read.partition, read.offset, &*read.message),
            ("shop.orders", 2, 41, "no schema")
        );
        assert_eq!(read.reason.to_string(), "DataException");
        assert_eq!(
            read.headers.len(),
            3,
            "its own, and those of Connect that have no place here"
        );
        assert_eq!(
            DeadLetter::of_topic(None, None, vec![header("own", "1")]),
            None
        );
    }
}
