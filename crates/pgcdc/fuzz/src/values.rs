//! Conversion of column values to Rust types.

use std::fmt::Debug;
use std::hint::black_box;
use std::sync::Arc;

use pgcdc::pgoutput::Value;
use pgcdc::{BinaryFormat, Column, FromValue, Interval, Lsn, Money, Range, SlotName, TypeKind};
use uuid::Uuid;

use super::most_memory;

/// Every binary format of values that are not made of others.
const FORMATS: [BinaryFormat; 20] = [
    BinaryFormat::Bool,
    BinaryFormat::Int2,
    BinaryFormat::Int4,
    BinaryFormat::Int8,
    BinaryFormat::Oid,
    BinaryFormat::Float4,
    BinaryFormat::Float8,
    BinaryFormat::Numeric,
    BinaryFormat::Money,
    BinaryFormat::Date,
    BinaryFormat::Time,
    BinaryFormat::TimeTz,
    BinaryFormat::Timestamp,
    BinaryFormat::TimestampTz,
    BinaryFormat::Interval,
    BinaryFormat::Uuid,
    BinaryFormat::Bytea,
    BinaryFormat::Text,
    BinaryFormat::VersionedText,
    BinaryFormat::Other,
];

/// Memory of an error's text, whatever the value.
const ERROR_MEMORY: usize = 1_024;
/// Memory of a number's text: a `numeric` of a few bytes may have this many digits, in a buffer that doubles.
const DIGITS: usize = 2 * (131_072 + 16_383);
/// Memory of a converted value for a byte of it: the elements of an array, and their texts, in buffers that double.
const PART_MEMORY: usize = 64;

/// Converting any value to any type gives a value or an error, in memory proportional to the value.
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
    for format in FORMATS {
        // The digits of numbers in arrays have no such limit.
        if format == BinaryFormat::Numeric {
            continue;
        }
        let part = Arc::new(format);
        composed(
            bytes,
            &text,
            &column(BinaryFormat::Array(Arc::clone(&part))),
        );
        composed(bytes, &text, &column(BinaryFormat::Range(part)));
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
    one::<Interval>(value, column);
    one::<Uuid>(value, column);
    one::<Vec<u8>>(value, column);
    // The memory of a JSON document is up to serde_json.
    drop(black_box(serde_json::Value::of(value, column)));
}

/// Values made of others.
fn composed(bytes: &[u8], text: &str, column: &Column) {
    for value in [Value::Binary(bytes), Value::Text(text)] {
        one::<String>(value, column);
        one::<Vec<Option<String>>>(value, column);
        one::<Vec<Vec<i64>>>(value, column);
        one::<Range<String>>(value, column);
    }
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
    let digits = match column.binary {
        BinaryFormat::Numeric => DIGITS,
        _ => 0,
    };
    let factor = match column.binary {
        BinaryFormat::Array(_) | BinaryFormat::Range(_) => PART_MEMORY,
        // Text of bytes, in hexadecimal.
        _ => 4,
    };
    assert!(
        memory <= factor * length + digits + ERROR_MEMORY,
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
