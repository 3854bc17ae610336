//! JSON text to BSON bytes in one pass: each name, string and number is written to the document as it is read.

use super::bson::{BsonBuffer, kind};
use super::member_cache::{MemberCache, MemberHead, MemberPosition};
use crate::json::{EscapeLevel, JsonReader, NotJson, Number};
use cdc_bench_model::event::unix_micros;

/// Deepest nesting of a payload. MongoDB takes 100 levels in all; the document and its `data` are two of them.
pub(super) const MAX_DEPTH: usize = 98;

/// Why and where a text could not be transcoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TranscodeError {
    pub fault: TranscodeFault,
    /// Offset in the text, bytes.
    pub at: usize,
}

/// Why a text could not be transcoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TranscodeFault {
    NotJson,
    NumberOutOfRange,
    NotAnObject,
    TooDeep,
    NulInName,
}

impl From<NotJson> for TranscodeFault {
    fn from(NotJson: NotJson) -> Self {
        Self::NotJson
    }
}

/// Appends a JSON object as the value of an element of kind document. Returns its member `occurred_at` in milliseconds since the
/// Unix epoch, where that is a time. After an error a part of the object is in the buffer.
pub(super) fn transcode<S: EscapeLevel>(
    json: &mut JsonReader<'_, S>,
    buffer: &mut BsonBuffer,
) -> Result<Option<i64>, TranscodeError> {
    transcode_from(None, json, buffer, &mut MemberCache::default())
}

/// The same for an object whose members may be cached from earlier ones.
pub(super) fn transcode_cached<S: EscapeLevel>(
    json: &mut JsonReader<'_, S>,
    buffer: &mut BsonBuffer,
    cache: &mut MemberCache<S>,
) -> Result<Option<i64>, TranscodeError> {
    transcode_from(Some(MemberPosition::Outermost), json, buffer, cache)
}

fn transcode_from<S: EscapeLevel>(
    outermost: Option<MemberPosition>,
    json: &mut JsonReader<'_, S>,
    buffer: &mut BsonBuffer,
    cache: &mut MemberCache<S>,
) -> Result<Option<i64>, TranscodeError> {
    let mut transcoder = Transcoder {
        json,
        buffer,
        cache,
        occurred_at_ms: None,
    };
    let whole = transcoder.whole(outermost);
    let at = transcoder.json.at();
    whole.map_err(|fault| TranscodeError { fault, at })?;
    Ok(transcoder.occurred_at_ms)
}

/// Milliseconds from microseconds since the Unix epoch, rounded down, as BSON stores times.
pub(super) fn floor_millis(us: i64) -> i64 {
    us.div_euclid(1_000)
}

struct Transcoder<'t, 'j, S> {
    json: &'t mut JsonReader<'j, S>,
    buffer: &'t mut BsonBuffer,
    cache: &'t mut MemberCache<S>,
    occurred_at_ms: Option<i64>,
}

impl<S: EscapeLevel> Transcoder<'_, '_, S> {
    fn whole(&mut self, outermost: Option<MemberPosition>) -> Result<(), TranscodeFault> {
        let written = self.value(0, outermost, false)?;
        self.json.end()?;
        if written != kind::DOCUMENT {
            return Err(TranscodeFault::NotAnObject);
        }
        Ok(())
    }

    /// Writes a value, and returns its BSON kind. `inner` is the position of the first member of an object in it.
    fn value(
        &mut self,
        depth: usize,
        inner: Option<MemberPosition>,
        is_occurred_at: bool,
    ) -> Result<u8, TranscodeFault> {
        match self.json.peek()? {
            b'"' => self.string(is_occurred_at),
            b'{' => self.object(depth + 1, inner),
            b'[' => self.array(depth + 1, inner),
            b't' => self.literal("true", &[1], kind::BOOLEAN),
            b'f' => self.literal("false", &[0], kind::BOOLEAN),
            b'n' => self.literal("null", &[], kind::NULL),
            _ => self.number(),
        }
    }

    fn literal(&mut self, word: &str, value: &[u8], kind: u8) -> Result<u8, TranscodeFault> {
        self.json.literal(word)?;
        self.buffer.raw(value);
        Ok(kind)
    }

    fn object(
        &mut self,
        depth: usize,
        first: Option<MemberPosition>,
    ) -> Result<u8, TranscodeFault> {
        if depth > MAX_DEPTH {
            return Err(TranscodeFault::TooDeep);
        }
        let document = self.buffer.begin();
        let (mut position, mut is_first) = (first, true);
        loop {
            let kind_at = self.buffer.len();
            let Some(member) = self.member(position, is_first)? else {
                break;
            };
            let inner = member.member.map(MemberPosition::In);
            let kind = self.value(depth, inner, member.is_occurred_at && depth == 1)?;
            self.buffer.set_kind(kind_at, kind);
            (position, is_first) = (member.member.map(MemberPosition::After), false);
        }
        self.buffer.end(document);
        Ok(kind::DOCUMENT)
    }

    fn array(&mut self, depth: usize, inner: Option<MemberPosition>) -> Result<u8, TranscodeFault> {
        if depth > MAX_DEPTH {
            return Err(TranscodeFault::TooDeep);
        }
        let array = self.buffer.begin();
        let mut more = self.json.begin(b'[', b']')?;
        let mut index = 0;
        while more {
            let kind_at = self.buffer.begin_element();
            self.buffer.index_name(index);
            let kind = self.value(depth, inner, false)?;
            self.buffer.set_kind(kind_at, kind);
            more = self.json.has_next(b']')?;
            index += 1;
        }
        self.buffer.end(array);
        Ok(kind::ARRAY)
    }

    /// Writes the next member up to its value, its kind still unset; `None` at the end of the object.
    #[inline]
    fn member(
        &mut self,
        position: Option<MemberPosition>,
        is_first: bool,
    ) -> Result<Option<MemberHead>, TranscodeFault> {
        let cached = position.and_then(|position| self.cache.read(position, self.json));
        if let Some((member, head)) = cached {
            self.buffer.head(head);
            return Ok(Some(member));
        }
        self.new_member(position, is_first)
    }

    fn new_member(
        &mut self,
        position: Option<MemberPosition>,
        is_first: bool,
    ) -> Result<Option<MemberHead>, TranscodeFault> {
        let begin = self.json.at();
        let more = if is_first {
            self.json.begin(b'{', b'}')?
        } else {
            self.json.has_next(b'}')?
        };
        if !more {
            return Ok(None);
        }
        let head = self.buffer.begin_element();
        self.json.peek()?;
        let has_escapes = self.json.resolved(self.buffer.tail())?;
        let name = &self.buffer.bytes()[head + 1..];
        if has_escapes && name.contains(&0) {
            return Err(TranscodeFault::NulInName);
        }
        let is_occurred_at = name == b"occurred_at";
        self.buffer.raw(&[0]);
        self.json.colon()?;
        self.json.peek()?;
        let head = &self.buffer.bytes()[head..];
        let member = position.and_then(|position| {
            let before = self.json.since(begin);
            self.cache.learn(position, before, head, is_occurred_at)
        });
        Ok(Some(MemberHead {
            member,
            is_occurred_at,
        }))
    }

    fn string(&mut self, is_occurred_at: bool) -> Result<u8, TranscodeFault> {
        let string = self.buffer.begin_string();
        let begin = self.buffer.len();
        self.json.resolved(self.buffer.tail())?;
        if is_occurred_at {
            let text = std::str::from_utf8(&self.buffer.bytes()[begin..]).ok();
            let us = text.and_then(|text| unix_micros(text).ok());
            self.occurred_at_ms = us.map(floor_millis);
        }
        self.buffer.end_string(string);
        Ok(kind::STRING)
    }

    fn number(&mut self) -> Result<u8, TranscodeFault> {
        if let Some(small) = self.json.short_unsigned::<i32>() {
            self.buffer.raw(&small.to_le_bytes());
            return Ok(kind::INT32);
        }
        let Number { text, whole } = self.json.number()?;
        // -0 is a double: there is no such integer.
        if whole && text != "-0" {
            if let Ok(small) = text.parse::<i32>() {
                self.buffer.raw(&small.to_le_bytes());
                return Ok(kind::INT32);
            }
            if let Ok(value) = text.parse::<i64>() {
                self.buffer.raw(&value.to_le_bytes());
                return Ok(kind::INT64);
            }
        }
        // Beyond 64 bits an integer is a double too: jsonb prints 1e19 and 10000000000000000000 in the same way.
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => {
                self.buffer.raw(&value.to_le_bytes());
                Ok(kind::DOUBLE)
            }
            _ => Err(TranscodeFault::NumberOutOfRange),
        }
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Bson, Document, RawDocumentBuf};
    use proptest::prelude::*;
    use serde_json::Value as Json;

    use super::*;

    fn transcode(json: &str) -> Result<Document, TranscodeFault> {
        let mut buffer = BsonBuffer::default();
        super::transcode(&mut JsonReader::new(json), &mut buffer)
            .map_err(|stopped| stopped.fault)?;
        let raw = RawDocumentBuf::from_bytes(buffer.into_bytes()).unwrap();
        Ok(Document::try_from(raw.as_ref()).unwrap())
    }

    /// By way of serde_json's tree.
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

    /// serde_json and `transcode` both accept it, with the same result, or both refuse it.
    fn assert_read_alike(json: &str) -> Result<(), TestCaseError> {
        match (serde_json::from_str::<Json>(json), transcode(json)) {
            (Ok(expected), Ok(document)) => {
                prop_assert_eq!(Bson::Document(document), tree(&expected), "{}", json);
            }
            (Ok(expected), Err(stop)) => {
                let ours = stop == TranscodeFault::NulInName
                    || stop == TranscodeFault::NotAnObject && !expected.is_object();
                prop_assert!(ours, "{}: {:?}", json, stop);
            }
            (Err(error), outcome) => {
                // What is refused for another reason may be no JSON further on.
                prop_assert!(outcome.is_err(), "{}: {}", json, error);
            }
        }
        Ok(())
    }

    #[test]
    fn a_number_that_no_double_holds_is_refused() {
        assert_eq!(
            transcode("{\"a\":1e400}"),
            Err(TranscodeFault::NumberOutOfRange)
        );
        assert!(transcode("{\"a\":-1e308}").is_ok());
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_the_plain_way(json in any_json()) {
            let expected = tree(&json);
            let written = Bson::Document(transcode(&json.to_string()).unwrap());
            prop_assert_eq!(written, expected);
        }

        #[test]
        fn any_text_is_read_as_serde_json_reads_it(text in "[\\[\\]{}\",:0-9eE.+\\-\\\\unltrfasdD\\x00\\n ü]{0,60}") {
            assert_read_alike(&format!("{{\"a\":{text}}}"))?;
            assert_read_alike(&text)?;
        }

        #[test]
        fn any_token_is_read_as_serde_json_reads_it(
            token in "-?[0-9]{0,21}(\\.[0-9]{0,3})?([eE][+-]?[0-9]{0,3})?|\"([a-z]|\\\\[nrtbfu/\"\\\\x]|\\\\u[0-9a-fA-F+]{4}|\\\\u[dD][89a-fA-F][0-9]{2}|\\x1f|ü){0,12}\"?|(true|false|null)[a-z]?",
            space in "[ \\n\\t\\r\\x0b]{0,2}",
        ) {
            assert_read_alike(&format!("{{\"a\"{space}:{space}{token}{space}}}{space}"))?;
            assert_read_alike(&format!("{{\"a\":[{token},{token}]}}"))?;
        }
    }

    #[test]
    fn what_is_no_object_or_too_deep_or_has_nul_in_a_name_says_so() {
        for json in ["1", "[]", "\"a\"", "null", "[{\"a\":1}]"] {
            assert_eq!(transcode(json), Err(TranscodeFault::NotAnObject), "{json}");
        }
        let nested = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        assert!(transcode(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(
            transcode(&nested(MAX_DEPTH + 1)),
            Err(TranscodeFault::TooDeep)
        );
        assert_eq!(transcode(&nested(100_000)), Err(TranscodeFault::TooDeep));
        let in_array = format!("{{\"a\":{}1{}}}", "[".repeat(98), "]".repeat(98));
        assert_eq!(transcode(&in_array), Err(TranscodeFault::TooDeep));
        assert_eq!(
            transcode("{\"a\\u0000b\":1}"),
            Err(TranscodeFault::NulInName)
        );
        for json in ["", "{", "{\"a\":1} 2", "{\"a\":nan}"] {
            assert_eq!(transcode(json), Err(TranscodeFault::NotJson), "{json}");
        }
    }
}
