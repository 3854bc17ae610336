//! A record's key as one text, the same whatever it is encoded in.

use serde_json::{Map, Value};

/// What stands for the key of a table without one.
pub(super) const NO_KEY: &str = "{}";

/// A key's columns as JSON without spaces, sorted by name.
#[must_use]
pub fn canonical_key(mut columns: Map<String, Value>) -> String {
    columns.sort_keys();
    Value::Object(columns).to_string()
}

/// A record's key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Key {
    /// The record has none.
    None,
    /// Columns by name.
    Columns(Map<String, Value>),
    /// A single value, as `ExtractField` leaves it or `EventRouter` takes it.
    Single(Value),
}

impl Key {
    /// The key in these bytes: JSON, with the converter's schema or without, or a text.
    pub fn of_text(bytes: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(bytes) {
            Ok(json) => Self::of_json(json),
            Err(_) => Self::of_plain_text(&String::from_utf8_lossy(bytes)),
        }
    }

    /// The key that is this JSON, with the converter's schema or without.
    pub fn of_json(json: Value) -> Self {
        match json {
            Value::Null => Self::None,
            Value::Object(mut members) => {
                // Of JsonConverter with schemas.enable=true.
                let is_wrapped = members.len() == 2
                    && members.contains_key("payload")
                    && members
                        .get("schema")
                        .is_some_and(|schema| schema.is_object() || schema.is_null());
                match members.remove("payload") {
                    Some(payload) if is_wrapped => Self::of_json(payload),
                    Some(column) => {
                        members.insert("payload".to_owned(), column);
                        Self::Columns(members)
                    }
                    None => Self::Columns(members),
                }
            }
            single => Self::Single(single),
        }
    }

    /// StringConverter writes a key of columns as Java prints it, `Struct{id=1,region=eu}`, which leaves their types open.
    pub fn of_plain_text(text: &str) -> Self {
        let columns = || {
            let columns = text.strip_prefix("Struct{")?.strip_suffix('}')?.split(',');
            let column = |column: &str| {
                let (name, value) = column.split_once('=')?;
                Some((name.to_owned(), number_or_text(value)))
            };
            columns.map(column).collect::<Option<Map<_, _>>>()
        };
        match columns() {
            Some(columns) => Self::Columns(columns),
            None => Self::Single(Value::from(text)),
        }
    }

    /// The names of its columns.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Columns(columns) => columns.keys().map(String::as_str).collect(),
            Self::None | Self::Single(_) => Vec::new(),
        }
    }

    pub fn has(&self, name: &str) -> bool {
        matches!(self, Self::Columns(columns) if columns.contains_key(name))
    }

    /// One text for it. `column` is the name of the column that a single value is of, where that is known.
    pub fn into_canonical(self, column: Option<&str>) -> String {
        match (self, column) {
            (Self::None, _) => NO_KEY.to_owned(),
            (Self::Columns(columns), _) => canonical_key(columns),
            (Self::Single(value), None) => value.to_string(),
            (Self::Single(value), Some(column)) => {
                canonical_key(Map::from_iter([(column.to_owned(), value)]))
            }
        }
    }
}

/// A value that lost its type on the way through a text.
pub(super) fn number_or_text(text: &str) -> Value {
    match text.parse::<i64>() {
        Ok(number) if number.to_string() == text => Value::from(number),
        _ => Value::from(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(bytes: &str) -> String {
        Key::of_text(bytes.as_bytes()).into_canonical(None)
    }

    #[test]
    fn a_key_is_one_text_however_it_is_written() {
        for key in [
            r#"{"region":"eu","id":1}"#,
            r#" {"id": 1, "region": "\u0065u"}"#,
            r#"{"schema":{"type":"struct","fields":[]},"payload":{"region":"eu","id":1}}"#,
            r#"{"schema":null,"payload":{"id":1,"region":"eu"}}"#,
            "Struct{region=eu,id=1}",
        ] {
            assert_eq!(canonical(key), r#"{"id":1,"region":"eu"}"#, "{key}");
        }
    }

    #[test]
    fn a_table_may_have_columns_named_as_the_converters_wrapping() {
        for key in [
            r#"{"payload":1,"schema":"a"}"#,
            r#"{"payload":1}"#,
            r#"{"id":2,"payload":1,"schema":null}"#,
        ] {
            assert_eq!(canonical(key), key);
        }
    }

    #[test]
    fn a_key_of_one_value_is_that_value_or_its_column() {
        assert_eq!(canonical("7"), "7");
        assert_eq!(canonical("\"7\""), "\"7\"");
        assert_eq!(canonical("c1a0-x"), "\"c1a0-x\"");
        assert_eq!(canonical("null"), NO_KEY);
        assert_eq!(Key::of_text(b"7").into_canonical(Some("id")), r#"{"id":7}"#);
    }

    #[test]
    fn a_number_in_a_text_is_one_only_as_it_would_be_written() {
        assert_eq!(number_or_text("-12"), Value::from(-12));
        assert_eq!(number_or_text("007"), Value::from("007"));
        assert_eq!(number_or_text("+1"), Value::from("+1"));
        assert_eq!(
            number_or_text("99999999999999999999"),
            Value::from("99999999999999999999")
        );
    }
}
