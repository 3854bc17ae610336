//! Conversion of column values to Rust types, borrowed where possible.

use uuid::Uuid;

use super::Column;
use super::pgoutput::Value;

/// Why a column's value cannot be converted to a Rust type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The column does not exist.
    #[error("{relation} has no column {column:?}")]
    NoColumn {
        /// Table.
        relation: String,
        /// Column.
        column: String,
    },
    /// The value is stored out of line and did not change: the stream does not carry it. It is not null.
    #[error(
        "column {column:?} did not change, and PostgreSQL does not send values that are stored out of line again; REPLICA IDENTITY FULL has it in the old row"
    )]
    Unchanged {
        /// Column.
        column: String,
    },
    /// The value has another format.
    #[error("column {column:?} holds {found}, which is not {expected}")]
    Other {
        /// Column.
        column: String,
        /// The value, shortened.
        found: String,
        /// The requested type.
        expected: &'static str,
    },
}

/// A Rust type that column values convert to.
pub trait FromValue<'a>: Sized {
    /// Name of the type in errors.
    const NAME: &'static str;

    /// Converts from text format; `None` when the text is no value of the type.
    fn from_text(text: &'a str) -> Option<Self>;

    /// Converts from binary format; `None` when the bytes are no value of the type.
    fn from_binary(bytes: &'a [u8]) -> Option<Self>;

    /// Converts from either format; `None` for NULL.
    ///
    /// # Errors
    /// When it is no value of the type, or the stream does not carry it.
    fn of(value: Value<'a>, column: &Column) -> Result<Option<Self>, ValueError> {
        let parsed = match value {
            Value::Null => return Ok(None),
            Value::Unchanged => {
                return Err(ValueError::Unchanged {
                    column: column.name.clone(),
                });
            }
            Value::Text(text) => Self::from_text(text),
            Value::Binary(bytes) => Self::from_binary(bytes),
        };
        parsed.map(Some).ok_or_else(|| ValueError::Other {
            column: column.name.clone(),
            found: match value {
                Value::Text(text) => format!("{:?}", shortened(text)),
                Value::Binary(bytes) => format!("{} bytes in binary format", bytes.len()),
                Value::Null | Value::Unchanged => String::new(),
            },
            expected: Self::NAME,
        })
    }
}

/// The beginning of a text, for an error message.
fn shortened(text: &str) -> &str {
    let end = text.char_indices().nth(40).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

impl<'a> FromValue<'a> for &'a str {
    const NAME: &'static str = "text";

    fn from_text(text: &'a str) -> Option<Self> {
        Some(text)
    }

    fn from_binary(bytes: &'a [u8]) -> Option<Self> {
        std::str::from_utf8(bytes).ok()
    }
}

impl<'a> FromValue<'a> for String {
    const NAME: &'static str = "text";

    fn from_text(text: &'a str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn from_binary(bytes: &'a [u8]) -> Option<Self> {
        <&str>::from_binary(bytes).map(str::to_owned)
    }
}

impl<'a> FromValue<'a> for bool {
    const NAME: &'static str = "a boolean";

    fn from_text(text: &'a str) -> Option<Self> {
        match text {
            "t" => Some(true),
            "f" => Some(false),
            _ => None,
        }
    }

    fn from_binary(bytes: &'a [u8]) -> Option<Self> {
        match bytes {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }
}

macro_rules! numbers {
    ($($type:ty, $name:literal);+) => { $(impl<'a> FromValue<'a> for $type {
        const NAME: &'static str = $name;

        fn from_text(text: &'a str) -> Option<Self> {
            text.parse().ok()
        }

        fn from_binary(bytes: &'a [u8]) -> Option<Self> {
            bytes.try_into().ok().map(Self::from_be_bytes)
        }
    })+ };
}

// `f32` and `f64` parse PostgreSQL's NaN, Infinity and -Infinity.
numbers!(
    i16, "a 16-bit integer";
    i32, "a 32-bit integer";
    i64, "a 64-bit integer";
    u32, "an unsigned 32-bit integer";
    f32, "a 32-bit floating-point number";
    f64, "a 64-bit floating-point number"
);

impl<'a> FromValue<'a> for Uuid {
    const NAME: &'static str = "a UUID";

    fn from_text(text: &'a str) -> Option<Self> {
        Uuid::try_parse(text).ok()
    }

    fn from_binary(bytes: &'a [u8]) -> Option<Self> {
        Uuid::from_slice(bytes).ok()
    }
}

/// `bytea`, in hexadecimal in text format.
impl<'a> FromValue<'a> for Vec<u8> {
    const NAME: &'static str = "bytea in hexadecimal";

    fn from_text(text: &'a str) -> Option<Self> {
        hex::decode(text.strip_prefix("\\x")?).ok()
    }

    fn from_binary(bytes: &'a [u8]) -> Option<Self> {
        Some(bytes.to_vec())
    }
}

/// `json` and `jsonb`.
impl<'a> FromValue<'a> for serde_json::Value {
    const NAME: &'static str = "JSON";

    fn from_text(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    fn from_binary(bytes: &'a [u8]) -> Option<Self> {
        // `jsonb` begins with a version byte, 1, which no JSON text does.
        serde_json::from_slice(bytes.strip_prefix(&[1]).unwrap_or(bytes)).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column() -> Column {
        Column {
            name: "c".to_owned(),
            type_oid: 25,
            type_modifier: -1,
            kind: crate::TypeKind::Text,
            key: false,
            not_null: None,
            default: None,
        }
    }

    fn of<'a, T: FromValue<'a>>(value: Value<'a>) -> Result<Option<T>, ValueError> {
        T::of(value, &column())
    }

    #[test]
    fn values_convert_to_the_requested_type() {
        assert_eq!(of::<&str>(Value::Text("a b")), Ok(Some("a b")));
        assert_eq!(of::<bool>(Value::Text("t")), Ok(Some(true)));
        assert_eq!(of::<i64>(Value::Text("-7")), Ok(Some(-7)));
        assert!(of::<f64>(Value::Text("NaN")).unwrap().unwrap().is_nan());
        assert_eq!(
            of::<f32>(Value::Text("-Infinity")),
            Ok(Some(f32::NEG_INFINITY))
        );
        assert_eq!(
            of::<Vec<u8>>(Value::Text("\\x00ff7A")),
            Ok(Some(vec![0, 255, 122]))
        );
        let id = Uuid::from_u128(7);
        assert_eq!(of::<Uuid>(Value::Text(&id.to_string())), Ok(Some(id)));
        assert_eq!(of::<i32>(Value::Binary(&[0, 0, 1, 0])), Ok(Some(256)));
        assert_eq!(of::<Uuid>(Value::Binary(id.as_bytes())), Ok(Some(id)));
        assert_eq!(
            of::<serde_json::Value>(Value::Binary(b"\x01[1]")),
            Ok(Some(serde_json::json!([1])))
        );
    }

    #[test]
    fn null_is_none_and_unchanged_is_neither() {
        assert_eq!(of::<i64>(Value::Null), Ok(None));
        assert!(matches!(
            of::<i64>(Value::Unchanged),
            Err(ValueError::Unchanged { .. })
        ));
    }

    /// Whether a value converts back from its text and its binary format.
    fn converts_back<T>(value: &T, text: &str, binary: &[u8]) -> bool
    where
        T: for<'a> FromValue<'a> + PartialEq,
    {
        [Value::Text(text), Value::Binary(binary)]
            .iter()
            .all(|written| of::<T>(*written).is_ok_and(|read| read.as_ref() == Some(value)))
    }

    proptest! {
        #[test]
        fn numbers_convert_back(n in any::<(i16, i32, i64, u32)>(), x in any::<(f32, f64)>()) {
            prop_assert!(converts_back(&n.0, &n.0.to_string(), &n.0.to_be_bytes()));
            prop_assert!(converts_back(&n.1, &n.1.to_string(), &n.1.to_be_bytes()));
            prop_assert!(converts_back(&n.2, &n.2.to_string(), &n.2.to_be_bytes()));
            prop_assert!(converts_back(&n.3, &n.3.to_string(), &n.3.to_be_bytes()));
            // PostgreSQL writes large and small ones with an exponent.
            let (small, large) = (format!("{:e}", x.0), format!("{:e}", x.1));
            prop_assert!(converts_back(&x.0, &small, &x.0.to_be_bytes()));
            prop_assert!(converts_back(&x.1, &large, &x.1.to_be_bytes()));
        }

        #[test]
        fn everything_else_converts_back(
            text in ".*",
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            number in any::<u128>(),
            yes in any::<bool>(),
        ) {
            prop_assert!(converts_back(&text, &text, text.as_bytes()));
            let digits = hex::encode(&bytes);
            let hexadecimal = ["\\x", &digits].concat();
            prop_assert!(converts_back(&bytes, &hexadecimal, &bytes));
            let id = Uuid::from_u128(number);
            prop_assert!(converts_back(&id, &id.to_string(), id.as_bytes()));
            let letter = if yes { "t" } else { "f" };
            prop_assert!(converts_back(&yes, letter, &[u8::from(yes)]));
            let json = serde_json::json!({ &text: [digits, yes, null_or(number)] });
            let written = json.to_string();
            prop_assert!(converts_back(&json, &written, written.as_bytes()));
            let jsonb = [&[1], written.as_bytes()].concat();
            prop_assert!(converts_back(&json, &written, &jsonb));
        }
    }

    fn null_or(number: u128) -> serde_json::Value {
        u64::try_from(number).map_or(serde_json::Value::Null, Into::into)
    }

    #[test]
    fn the_error_of_a_value_of_another_type_shows_the_value() {
        let error = of::<i16>(Value::Text("70000")).unwrap_err().to_string();
        assert_eq!(
            error,
            "column \"c\" holds \"70000\", which is not a 16-bit integer"
        );
        assert!(of::<Vec<u8>>(Value::Text("\\x0")).is_err());
        assert!(of::<bool>(Value::Text("yes")).is_err());
    }
}
