//! Conversion of column values to Rust types, borrowed where possible.

use uuid::Uuid;

use super::pgoutput::Value;
use super::{BinaryFormat, Column, Money, TypeKind};

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
///
/// A value converts from binary format as it does from text: integers of any width to integers that hold them, `jsonb`, enums and
/// `citext` to text. What is no text in binary format, such as a number, does not convert to `&str`.
pub trait FromValue<'a>: Sized {
    /// Name of the type in errors.
    const NAME: &'static str;

    /// Converts from text format; `None` when the text is no value of the type.
    fn from_text(text: &'a str, column: &Column) -> Option<Self>;

    /// Converts from binary format, which is [`Column::binary`]; `None` when the bytes are no value of the type.
    fn from_binary(bytes: &'a [u8], column: &Column) -> Option<Self>;

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
            Value::Text(text) => Self::from_text(text, column),
            Value::Binary(bytes) => Self::from_binary(bytes, column),
        };
        parsed.map(Some).ok_or_else(|| ValueError::Other {
            column: column.name.clone(),
            found: match value {
                Value::Text(text) => format!("{:?}", shortened(text)),
                Value::Binary(bytes) => binary(bytes, column),
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

/// A value in binary format, for an error message.
fn binary(bytes: &[u8], column: &Column) -> String {
    let (length, oid) = (bytes.len(), column.type_oid);
    match column.binary {
        BinaryFormat::Other => format!(
            "{length} bytes in the binary format of the type with OID {oid}, unknown to pgcdc (without ReaderConfig::binary it comes as text)"
        ),
        format => format!("{length} bytes in the binary format {format:?}"),
    }
}

/// The text of a value in binary format, if its format is text.
fn binary_text<'a>(bytes: &'a [u8], column: &Column) -> Option<&'a str> {
    let text = match column.binary {
        BinaryFormat::Text => bytes,
        BinaryFormat::VersionedText => bytes.strip_prefix(&[1])?,
        _ => return None,
    };
    std::str::from_utf8(text).ok()
}

/// An integer in binary format, of any width.
fn binary_integer(bytes: &[u8], column: &Column) -> Option<i64> {
    match column.binary {
        BinaryFormat::Int2 => Some(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        BinaryFormat::Int4 => Some(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        BinaryFormat::Int8 => Some(i64::from_be_bytes(bytes.try_into().ok()?)),
        BinaryFormat::Oid => Some(u32::from_be_bytes(bytes.try_into().ok()?).into()),
        _ => None,
    }
}

/// A number in binary format.
#[allow(clippy::cast_precision_loss)]
fn binary_number(bytes: &[u8], column: &Column) -> Option<f64> {
    match column.binary {
        BinaryFormat::Float4 => Some(f32::from_be_bytes(bytes.try_into().ok()?).into()),
        BinaryFormat::Float8 => Some(f64::from_be_bytes(bytes.try_into().ok()?)),
        // Rounded, as when the text is parsed.
        _ => binary_integer(bytes, column).map(|number| number as f64),
    }
}

impl<'a> FromValue<'a> for &'a str {
    const NAME: &'static str = "text";

    fn from_text(text: &'a str, _: &Column) -> Option<Self> {
        Some(text)
    }

    fn from_binary(bytes: &'a [u8], column: &Column) -> Option<Self> {
        binary_text(bytes, column)
    }
}

/// Text; a `uuid` also in binary format.
impl<'a> FromValue<'a> for String {
    const NAME: &'static str = "text";

    fn from_text(text: &'a str, _: &Column) -> Option<Self> {
        Some(text.to_owned())
    }

    fn from_binary(bytes: &'a [u8], column: &Column) -> Option<Self> {
        match column.binary {
            BinaryFormat::Uuid => Uuid::from_slice(bytes).ok().map(|id| id.to_string()),
            _ => binary_text(bytes, column).map(str::to_owned),
        }
    }
}

impl<'a> FromValue<'a> for bool {
    const NAME: &'static str = "a boolean";

    fn from_text(text: &'a str, _: &Column) -> Option<Self> {
        match text {
            "t" => Some(true),
            "f" => Some(false),
            _ => None,
        }
    }

    fn from_binary(bytes: &'a [u8], column: &Column) -> Option<Self> {
        match (column.binary, bytes) {
            (BinaryFormat::Bool, [0]) => Some(false),
            (BinaryFormat::Bool, [1]) => Some(true),
            _ => Self::from_text(binary_text(bytes, column)?, column),
        }
    }
}

macro_rules! numbers {
    ($($type:ty, $name:literal, $from_binary:expr);+) => { $(impl<'a> FromValue<'a> for $type {
        const NAME: &'static str = $name;

        fn from_text(text: &'a str, _: &Column) -> Option<Self> {
            text.parse().ok()
        }

        fn from_binary(bytes: &'a [u8], column: &Column) -> Option<Self> {
            match binary_text(bytes, column) {
                Some(text) => Self::from_text(text, column),
                None => $from_binary(bytes, column),
            }
        }
    })+ };
}

/// An integer in binary format, if it fits.
fn integer<T: TryFrom<i64>>(bytes: &[u8], column: &Column) -> Option<T> {
    T::try_from(binary_integer(bytes, column)?).ok()
}

#[allow(clippy::cast_possible_truncation)]
fn float(bytes: &[u8], column: &Column) -> Option<f32> {
    binary_number(bytes, column).map(|number| number as f32)
}

// `f32` and `f64` parse PostgreSQL's NaN, Infinity and -Infinity.
numbers!(
    i16, "a 16-bit integer", integer;
    i32, "a 32-bit integer", integer;
    i64, "a 64-bit integer", integer;
    u32, "an unsigned 32-bit integer", integer;
    f32, "a 32-bit floating-point number", float;
    f64, "a 64-bit floating-point number", binary_number
);

impl<'a> FromValue<'a> for Money {
    const NAME: &'static str = "an amount of money";

    fn from_text(text: &'a str, column: &Column) -> Option<Self> {
        match column.kind {
            TypeKind::Money { decimals } => Self::parse(text, decimals),
            _ => None,
        }
    }

    fn from_binary(bytes: &'a [u8], column: &Column) -> Option<Self> {
        match column.kind {
            TypeKind::Money { decimals } => Some(Self {
                units: i64::from_be_bytes(bytes.try_into().ok()?),
                decimals,
            }),
            _ => None,
        }
    }
}

impl<'a> FromValue<'a> for Uuid {
    const NAME: &'static str = "a UUID";

    fn from_text(text: &'a str, _: &Column) -> Option<Self> {
        Uuid::try_parse(text).ok()
    }

    fn from_binary(bytes: &'a [u8], column: &Column) -> Option<Self> {
        match column.binary {
            BinaryFormat::Uuid => Uuid::from_slice(bytes).ok(),
            _ => Self::from_text(binary_text(bytes, column)?, column),
        }
    }
}

/// `bytea`, in hexadecimal in text format.
impl<'a> FromValue<'a> for Vec<u8> {
    const NAME: &'static str = "bytea";

    fn from_text(text: &'a str, _: &Column) -> Option<Self> {
        hex::decode(text.strip_prefix("\\x")?).ok()
    }

    fn from_binary(bytes: &'a [u8], column: &Column) -> Option<Self> {
        (column.binary == BinaryFormat::Bytea).then(|| bytes.to_vec())
    }
}

/// `json` and `jsonb`.
impl<'a> FromValue<'a> for serde_json::Value {
    const NAME: &'static str = "JSON";

    fn from_text(text: &'a str, _: &Column) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    fn from_binary(bytes: &'a [u8], column: &Column) -> Option<Self> {
        Self::from_text(binary_text(bytes, column)?, column)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::type_kind::BUILT_IN;

    /// A column of a built-in type.
    fn column(type_name: &str) -> Column {
        let built_in = BUILT_IN.iter().find(|built_in| built_in.name == type_name);
        let built_in = built_in.unwrap();
        Column {
            name: "c".to_owned(),
            type_oid: built_in.oid,
            type_modifier: -1,
            kind: built_in.kind.clone(),
            binary: built_in.binary,
            key: false,
            not_null: None,
            default: None,
        }
    }

    fn of<'a, T: FromValue<'a>>(
        value: Value<'a>,
        type_name: &str,
    ) -> Result<Option<T>, ValueError> {
        T::of(value, &column(type_name))
    }

    #[test]
    fn values_convert_to_the_requested_type() {
        assert_eq!(of::<&str>(Value::Text("a b"), "text"), Ok(Some("a b")));
        assert_eq!(of::<bool>(Value::Text("t"), "bool"), Ok(Some(true)));
        assert_eq!(of::<i64>(Value::Text("-7"), "int4"), Ok(Some(-7)));
        let nan = of::<f64>(Value::Text("NaN"), "float8");
        assert!(nan.unwrap().unwrap().is_nan());
        assert_eq!(
            of::<f32>(Value::Text("-Infinity"), "float4"),
            Ok(Some(f32::NEG_INFINITY))
        );
        assert_eq!(
            of::<Vec<u8>>(Value::Text("\\x00ff7A"), "bytea"),
            Ok(Some(vec![0, 255, 122]))
        );
        let id = Uuid::from_u128(7);
        let text = id.to_string();
        assert_eq!(of::<Uuid>(Value::Text(&text), "uuid"), Ok(Some(id)));
        assert_eq!(
            of::<Money>(Value::Text("-$1.50"), "money"),
            Ok(Some(Money {
                units: -150,
                decimals: 2
            }))
        );
    }

    #[test]
    fn values_in_binary_format_convert_by_the_columns_type() {
        let int4 = Value::Binary(&[0, 0, 1, 0]);
        assert_eq!(of::<i16>(int4, "int4"), Ok(Some(256)));
        assert_eq!(of::<i64>(int4, "int4"), Ok(Some(256)));
        assert_eq!(of::<u32>(int4, "int4"), Ok(Some(256)));
        assert_eq!(of::<f64>(int4, "int4"), Ok(Some(256.0)));
        let negative = Value::Binary(&[255; 4]);
        assert_eq!(of::<i64>(negative, "int4"), Ok(Some(-1)));
        assert_eq!(of::<i64>(negative, "oid"), Ok(Some(4_294_967_295)));
        assert!(of::<u32>(negative, "int4").is_err());
        let float4 = 1.5_f32.to_be_bytes();
        assert_eq!(of::<f64>(Value::Binary(&float4), "float4"), Ok(Some(1.5)));
        assert!(of::<i64>(Value::Binary(&float4), "float4").is_err());
        assert_eq!(of::<&str>(Value::Binary(b"12"), "varchar"), Ok(Some("12")));
        assert_eq!(of::<i64>(Value::Binary(b"12"), "varchar"), Ok(Some(12)));
        let jsonb = Value::Binary(b"\x01[1]");
        assert_eq!(of::<&str>(jsonb, "jsonb"), Ok(Some("[1]")));
        assert_eq!(
            of::<serde_json::Value>(jsonb, "jsonb"),
            Ok(Some(serde_json::json!([1])))
        );
        let id = Uuid::from_u128(7);
        let binary = Value::Binary(id.as_bytes());
        assert_eq!(of::<Uuid>(binary, "uuid"), Ok(Some(id)));
        assert_eq!(of::<String>(binary, "uuid"), Ok(Some(id.to_string())));
        let money = Value::Binary(&[255, 255, 255, 255, 255, 255, 255, 106]);
        let amount = of::<Money>(money, "money").unwrap().unwrap();
        assert_eq!(amount.to_string(), "-1.50");
    }

    #[test]
    fn a_value_in_binary_format_that_is_no_text_is_an_error_that_says_so() {
        let int4 = Value::Binary(&[0, 0, 0, 65]);
        assert_eq!(
            of::<&str>(int4, "int4").unwrap_err().to_string(),
            "column \"c\" holds 4 bytes in the binary format Int4, which is not text"
        );
        assert_eq!(
            of::<String>(int4, "inet").unwrap_err().to_string(),
            "column \"c\" holds 4 bytes in the binary format of the type with OID 869, unknown to pgcdc (without \
             ReaderConfig::binary it comes as text), which is not text"
        );
        assert!(of::<Vec<u8>>(int4, "int4").is_err());
        assert!(of::<bool>(Value::Binary(&[1]), "char").is_err());
        // Of another length than the type's.
        assert!(of::<i64>(Value::Binary(&[0; 8]), "int4").is_err());
        assert!(of::<&str>(Value::Binary(b"[1]"), "jsonb").is_err());
        assert!(of::<i64>(Value::Binary(&[0; 8]), "money").is_err());
    }

    #[test]
    fn null_is_none_and_unchanged_is_neither() {
        assert_eq!(of::<i64>(Value::Null, "int8"), Ok(None));
        assert!(matches!(
            of::<i64>(Value::Unchanged, "int8"),
            Err(ValueError::Unchanged { .. })
        ));
    }

    /// Whether a value converts back from its text and its binary format.
    fn converts_back<T>(value: &T, type_name: &str, text: &str, binary: &[u8]) -> bool
    where
        T: for<'a> FromValue<'a> + PartialEq,
    {
        let values = [Value::Text(text), Value::Binary(binary)];
        values.iter().all(|written| {
            of::<T>(*written, type_name).is_ok_and(|read| read.as_ref() == Some(value))
        })
    }

    proptest! {
        #[test]
        fn numbers_convert_back(n in any::<(i16, i32, i64, u32)>(), x in any::<(f32, f64)>()) {
            prop_assert!(converts_back(&n.0, "int2", &n.0.to_string(), &n.0.to_be_bytes()));
            prop_assert!(converts_back(&n.1, "int4", &n.1.to_string(), &n.1.to_be_bytes()));
            prop_assert!(converts_back(&n.2, "int8", &n.2.to_string(), &n.2.to_be_bytes()));
            prop_assert!(converts_back(&n.3, "oid", &n.3.to_string(), &n.3.to_be_bytes()));
            prop_assert!(converts_back(&i64::from(n.1), "int4", &n.1.to_string(), &n.1.to_be_bytes()));
            // PostgreSQL writes large and small ones with an exponent.
            let (small, large) = (format!("{:e}", x.0), format!("{:e}", x.1));
            prop_assert!(converts_back(&x.0, "float4", &small, &x.0.to_be_bytes()));
            prop_assert!(converts_back(&x.1, "float8", &large, &x.1.to_be_bytes()));
        }

        #[test]
        fn everything_else_converts_back(
            text in ".*",
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            number in any::<u128>(),
            yes in any::<bool>(),
        ) {
            prop_assert!(converts_back(&text, "text", &text, text.as_bytes()));
            let digits = hex::encode(&bytes);
            let hexadecimal = ["\\x", &digits].concat();
            prop_assert!(converts_back(&bytes, "bytea", &hexadecimal, &bytes));
            let id = Uuid::from_u128(number);
            prop_assert!(converts_back(&id, "uuid", &id.to_string(), id.as_bytes()));
            let letter = if yes { "t" } else { "f" };
            prop_assert!(converts_back(&yes, "bool", letter, &[u8::from(yes)]));
            let json = serde_json::json!({ &text: [digits, yes, null_or(number)] });
            let written = json.to_string();
            prop_assert!(converts_back(&json, "json", &written, written.as_bytes()));
            let jsonb = [&[1], written.as_bytes()].concat();
            prop_assert!(converts_back(&json, "jsonb", &written, &jsonb));
        }
    }

    fn null_or(number: u128) -> serde_json::Value {
        u64::try_from(number).map_or(serde_json::Value::Null, Into::into)
    }

    #[test]
    fn the_error_of_a_value_of_another_type_shows_the_value() {
        let error = of::<i16>(Value::Text("70000"), "int4")
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "column \"c\" holds \"70000\", which is not a 16-bit integer"
        );
        assert!(of::<Vec<u8>>(Value::Text("\\x0"), "bytea").is_err());
        assert!(of::<bool>(Value::Text("yes"), "bool").is_err());
    }
}
