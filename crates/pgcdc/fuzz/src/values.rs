//! Conversion of column values to Rust types.

use std::fmt::Debug;
use std::hint::black_box;

use pgcdc::pgoutput::Value;
use pgcdc::{BinaryFormat, Column, FromValue, Lsn, Money, SlotName, TypeKind};
use uuid::Uuid;

use super::most_memory;

/// Every binary format.
const FORMATS: [BinaryFormat; 13] = [
    BinaryFormat::Bool,
    BinaryFormat::Int2,
    BinaryFormat::Int4,
    BinaryFormat::Int8,
    BinaryFormat::Oid,
    BinaryFormat::Float4,
    BinaryFormat::Float8,
    BinaryFormat::Money,
    BinaryFormat::Uuid,
    BinaryFormat::Bytea,
    BinaryFormat::Text,
    BinaryFormat::VersionedText,
    BinaryFormat::Other,
];

/// Memory of an error's text, whatever the value.
const ERROR_MEMORY: usize = 1_024;

/// Converting any value to any type gives a value or an error, in no more memory than the value takes.
///
/// # Panics
/// When that does not hold.
pub fn holds(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for format in FORMATS {
        let column = column(format);
        each(Value::Binary(bytes), &column);
        each(Value::Text(&text), &column);
    }
    if let Ok(lsn) = text.parse::<Lsn>() {
        assert_eq!(lsn.to_string().parse(), Ok(lsn));
    }
    if let Ok(name) = SlotName::new(&text) {
        assert_eq!(name.as_str(), text);
    }
}

fn each(value: Value<'_>, column: &Column) {
    one::<&str>(value, column);
    one::<String>(value, column);
    one::<bool>(value, column);
    one::<i16>(value, column);
    one::<i32>(value, column);
    one::<i64>(value, column);
    one::<u32>(value, column);
    one::<f32>(value, column);
    one::<f64>(value, column);
    one::<Money>(value, column);
    one::<Uuid>(value, column);
    one::<Vec<u8>>(value, column);
    // The memory of a JSON document is up to serde_json.
    drop(black_box(serde_json::Value::of(value, column)));
}

fn one<'a, T: FromValue<'a> + Debug>(value: Value<'a>, column: &Column) {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::Binary(bytes) => bytes.len(),
        Value::Null | Value::Unchanged => 0,
    };
    let memory = most_memory(|| match T::of(value, column) {
        Ok(found) => assert!(found.is_some(), "a value that is not null became null"),
        Err(error) => drop(black_box(error)),
    });
    assert!(
        memory <= length + ERROR_MEMORY,
        "{memory} bytes of memory for a value of {length}"
    );
}

fn column(binary: BinaryFormat) -> Column {
    Column {
        name: "c".to_owned(),
        type_oid: 25,
        type_modifier: -1,
        kind: match binary {
            BinaryFormat::Money => TypeKind::Money { decimals: 3 },
            _ => TypeKind::Text,
        },
        binary,
        key: false,
        not_null: None,
        default: None,
    }
}
