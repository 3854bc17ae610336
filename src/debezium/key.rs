//! A record's key beside its row: Debezium's key has the columns of the row's identity, as the JsonConverter writes them.

use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::error::ParseFailure;
use super::scalars::{members, or_null};
use crate::json::JsonReader;

/// How the usual keys begin and end: by event, and by aggregate.
const BY_EVENT: &[u8] = b"{\"id\":\"";
const BY_AGGREGATE: &[u8] = b"{\"aggregate_id\":\"";
const END: &[u8] = b"\"}";

/// The columns that a key is compared by.
#[derive(Default)]
struct KeyColumns {
    id: Option<KeyValue>,
    aggregate_id: Option<KeyValue>,
}

enum KeyValue {
    Id(Uuid),
    /// Its JSON, where it is no UUID.
    Other(String),
}

/// The key of an event of this aggregate, where records are keyed by aggregate.
pub(crate) fn aggregate_key(aggregate_id: Uuid) -> Vec<u8> {
    let mut buffer = [0; Hyphenated::LENGTH];
    let id = aggregate_id.hyphenated().encode_lower(&mut buffer);
    [BY_AGGREGATE, id.as_bytes(), END].concat()
}

/// How a key differs from the row of its record: the column and the value that the key has. `None` where it does not, and where
/// it cannot be compared: another converter's, or one of other columns.
pub(crate) fn key_difference(
    key: &[u8],
    id: Uuid,
    aggregate_id: Uuid,
) -> Option<(&'static str, String)> {
    if is_usual(key, BY_EVENT, id) || is_usual(key, BY_AGGREGATE, aggregate_id) {
        return None;
    }
    let columns = KeyColumns::parse(key)?;
    let differs = |name, found: Option<KeyValue>, expected: Uuid| match found? {
        KeyValue::Id(found) if found == expected => None,
        KeyValue::Id(found) => Some((name, found.to_string())),
        KeyValue::Other(found) => Some((name, found)),
    };
    differs("id", columns.id, id)
        .or_else(|| differs("aggregate_id", columns.aggregate_id, aggregate_id))
}

/// Whether a key has this column alone, with this value, as converters usually write it.
fn is_usual(key: &[u8], begin: &[u8], expected: Uuid) -> bool {
    let inner = key.strip_prefix(begin);
    let inner = inner.and_then(|rest| rest.strip_suffix(END));
    let mut buffer = [0; Hyphenated::LENGTH];
    inner.is_some_and(|inner| inner == expected.hyphenated().encode_lower(&mut buffer).as_bytes())
}

impl KeyColumns {
    fn parse(key: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(key).ok()?;
        let mut json = JsonReader::new(text);
        let columns = Self::read(&mut json).ok()?;
        json.end().ok()?;
        Some(columns)
    }

    /// With the converter's schema or without.
    fn read(json: &mut JsonReader<'_>) -> Result<Self, ParseFailure> {
        let mut columns = Self::default();
        let mut wrapped = None;
        members(json, |name, json| {
            match name {
                "id" => columns.id = Some(KeyValue::read(json)?),
                "aggregate_id" => columns.aggregate_id = Some(KeyValue::read(json)?),
                "payload" if json.peek()? == b'{' => wrapped = or_null(json, Self::read)?,
                _ => {
                    json.peek()?;
                    json.skip()?;
                }
            }
            Ok(())
        })?;
        Ok(wrapped.unwrap_or(columns))
    }
}

impl KeyValue {
    fn read(json: &mut JsonReader<'_>) -> Result<Self, ParseFailure> {
        json.peek()?;
        let begin = json.at();
        json.skip()?;
        let text = json.since(begin);
        let id = text
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'));
        Ok(match id.and_then(|id| Uuid::try_parse(id).ok()) {
            Some(id) => Self::Id(id),
            None => Self::Other(text.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_another_row_is_told_in_every_form_of_the_converter() {
        let (id, aggregate) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let other = Uuid::from_u128(3);
        let differs = |key: &str| key_difference(key.as_bytes(), id, aggregate);
        let same = [
            format!(r#"{{"id":"{id}"}}"#),
            format!(r#"{{ "id" : "{}" }}"#, id.simple()),
            format!(r#"{{"schema":{{"type":"struct"}},"payload":{{"id":"{id}"}}}}"#),
            format!(r#"{{"aggregate_id":"{aggregate}"}}"#),
            // Keys that say nothing of these columns.
            format!(r#""{other}""#),
            format!("Struct{{id={other}}}"),
            "{}".to_owned(),
            "{\"payload\":null}".to_owned(),
            "{\"run_id\":\"r\"".to_owned(),
            String::new(),
        ];
        for key in same {
            assert_eq!(differs(&key), None, "{key}");
        }
        let id_differs = [
            format!(r#"{{"id":"{other}"}}"#),
            format!(r#"{{"schema":null,"payload":{{"id":"{other}"}}}}"#),
        ];
        for key in id_differs {
            assert_eq!(differs(&key), Some(("id", other.to_string())), "{key}");
        }
        assert_eq!(differs(r#"{"id":null}"#), Some(("id", "null".to_owned())));
        assert_eq!(differs(r#"{"id":17}"#), Some(("id", "17".to_owned())));
        let key = format!(r#"{{"aggregate_id":"{other}"}}"#);
        assert_eq!(differs(&key), Some(("aggregate_id", other.to_string())));
    }
}
