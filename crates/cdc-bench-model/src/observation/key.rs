//! Keys of rows in one form, whatever they were read from.

use std::collections::BTreeMap;

use serde_json::Value;

/// The key of a row whose table has none.
pub const NO_KEY: &str = "{}";

/// A key, which is a JSON object, with its columns in the order of their names and without spaces. A record that was written
/// with schemas has the key in its `payload`. `None` if the text is no JSON object.
#[must_use]
pub fn canonical_key(json: &[u8]) -> Option<String> {
    let mut columns: BTreeMap<String, Value> = serde_json::from_slice(json).ok()?;
    if columns.len() == 2
        && columns.contains_key("schema")
        && let Some(Value::Object(payload)) = columns.get("payload")
    {
        columns = payload.clone().into_iter().collect();
    }
    serde_json::to_string(&columns).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_form() {
        for (given, key) in [
            (r#"{"b": 2, "a": "x"}"#, r#"{"a":"x","b":2}"#),
            (
                r#"{"schema":{"type":"struct"},"payload":{"id":7}}"#,
                r#"{"id":7}"#,
            ),
            // A table whose key has these very columns.
            (
                r#"{"schema":"public","payload":1}"#,
                r#"{"payload":1,"schema":"public"}"#,
            ),
            ("{}", NO_KEY),
        ] {
            assert_eq!(canonical_key(given.as_bytes()).as_deref(), Some(key));
        }
        assert_eq!(canonical_key(b"7"), None);
        assert_eq!(canonical_key(b"{\"a\":"), None);
    }
}
