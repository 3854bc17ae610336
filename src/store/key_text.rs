//! An `_id` as text, in the form that keys of records have.

use mongodb::bson::Bson;
use mongodb::bson::spec::BinarySubtype;
use serde_json::{Map, Value};

/// JSON without spaces, fields sorted by name.
pub(super) fn key_text(id: Bson) -> String {
    let mut json = plain(id);
    if let Value::Object(fields) = &mut json {
        fields.sort_keys();
    }
    json.to_string()
}

/// Values as a key of JSON has them: a UUID is its text, a date milliseconds.
pub(super) fn plain(value: Bson) -> Value {
    match value {
        Bson::Null | Bson::Undefined => Value::Null,
        Bson::Boolean(value) => Value::from(value),
        Bson::Int32(value) => Value::from(value),
        Bson::Int64(value) => Value::from(value),
        Bson::Double(value) => Value::from(value),
        Bson::String(value) => Value::from(value),
        Bson::DateTime(at) => Value::from(at.timestamp_millis()),
        Bson::ObjectId(id) => Value::from(id.to_hex()),
        Bson::Binary(binary) if binary.subtype == BinarySubtype::Uuid => binary
            .to_uuid()
            .map_or(Value::Null, |uuid| Value::from(uuid.to_string())),
        Bson::Document(document) => {
            let fields = document.into_iter();
            Value::Object(
                fields
                    .map(|(name, value)| (name, plain(value)))
                    .collect::<Map<_, _>>(),
            )
        }
        Bson::Array(values) => values.into_iter().map(plain).collect(),
        other => Value::from(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Uuid, bson, doc};

    use super::*;

    #[test]
    fn an_id_reads_as_the_key_of_its_record() {
        let uuid = Uuid::parse_str("0197e3b0-0000-7000-8000-000000000001").unwrap();
        for (id, text) in [
            (
                bson!({ "region": "eu", "id": 7_i64 }),
                r#"{"id":7,"region":"eu"}"#,
            ),
            (Bson::Int32(7), "7"),
            (bson!("x"), r#""x""#),
            (
                Bson::Document(doc! { "id": uuid }),
                r#"{"id":"0197e3b0-0000-7000-8000-000000000001"}"#,
            ),
        ] {
            assert_eq!(key_text(id), text);
        }
    }
}
