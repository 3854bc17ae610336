//! A record's headers, as Connect's header converters write them: a text by SimpleHeaderConverter, JSON by JsonConverter.

use serde_json::Value;

use super::key::number_or_text;
use super::record::RawRecord;

/// The value of the last header of this name; `None` if there is none, or it is null.
pub(in crate::observe) fn header(record: &RawRecord<'_>, name: &str) -> Option<Value> {
    let (_, bytes) = record
        .headers
        .iter()
        .rev()
        .find(|(header, _)| *header == name)?;
    let text = std::str::from_utf8((*bytes)?).ok()?;
    let value = match serde_json::from_str(text) {
        Ok(Value::Object(mut wrapped)) => wrapped.remove("payload")?,
        Ok(Value::String(text)) => Value::String(text),
        _ => number_or_text(text),
    };
    match value {
        Value::Null => None,
        Value::String(text) if text == "null" => None,
        value => Some(value),
    }
}

/// A header as a text.
pub(super) fn header_text(record: &RawRecord<'_>, name: &str) -> Option<String> {
    Some(match header(record, name)? {
        Value::String(text) => text,
        value => value.to_string(),
    })
}
