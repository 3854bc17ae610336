//! Conversion of column values to Rust types.

use std::fmt::Debug;
use std::hint::black_box;

use pgcdc::pgoutput::Value;
use pgcdc::{Column, FromValue, Lsn, SlotName, TypeKind};
use uuid::Uuid;

use super::most_memory;

/// Memory of an error's text, whatever the value.
const ERROR_MEMORY: usize = 1_024;

/// Converting any value to any type gives a value or an error, in no more memory than the value takes.
///
/// # Panics
/// When that does not hold.
pub fn holds(bytes: &[u8]) {
    each(Value::Binary(bytes));
    let text = String::from_utf8_lossy(bytes);
    each(Value::Text(&text));
    if let Ok(lsn) = text.parse::<Lsn>() {
        assert_eq!(lsn.to_string().parse(), Ok(lsn));
    }
    if let Ok(name) = SlotName::new(&text) {
        assert_eq!(name.as_str(), text);
    }
}

fn each(value: Value<'_>) {
    one::<&str>(value);
    one::<String>(value);
    one::<bool>(value);
    one::<i16>(value);
    one::<i32>(value);
    one::<i64>(value);
    one::<u32>(value);
    one::<f32>(value);
    one::<f64>(value);
    one::<Uuid>(value);
    one::<Vec<u8>>(value);
    // The memory of a JSON document is up to serde_json.
    drop(black_box(serde_json::Value::of(value, &column())));
}

fn one<'a, T: FromValue<'a> + Debug>(value: Value<'a>) {
    let column = column();
    let length = match value {
        Value::Text(text) => text.len(),
        Value::Binary(bytes) => bytes.len(),
        Value::Null | Value::Unchanged => 0,
    };
    let memory = most_memory(|| match T::of(value, &column) {
        Ok(found) => assert!(found.is_some(), "a value that is not null became null"),
        Err(error) => drop(black_box(error)),
    });
    assert!(
        memory <= length + ERROR_MEMORY,
        "{memory} bytes of memory for a value of {length}"
    );
}

fn column() -> Column {
    Column {
        name: "c".to_owned(),
        type_oid: 25,
        type_modifier: -1,
        kind: TypeKind::Text,
        key: false,
        not_null: None,
        default: None,
    }
}
