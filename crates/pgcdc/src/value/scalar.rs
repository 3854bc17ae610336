//! Conversion to numbers, texts, bytes, and types for which there is one crate.

use uuid::Uuid;

use super::{FromValue, binary};
use crate::{BinaryFormat, Column, Interval, Money, TypeKind};

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

/// The text of any value, as the server writes it; not that of `money` in binary format, which depends on the locale.
impl<'a> FromValue<'a> for String {
    const NAME: &'static str = "text";

    fn from_text(text: &'a str, _: &Column) -> Option<Self> {
        Some(text.to_owned())
    }

    fn from_binary(bytes: &'a [u8], column: &Column) -> Option<Self> {
        binary::text(bytes, &column.binary)
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
        match (&column.binary, bytes) {
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
            match &column.binary {
                BinaryFormat::Numeric => binary::text(bytes, &column.binary)?.parse().ok(),
                _ => match binary_text(bytes, column) {
                    Some(text) => Self::from_text(text, column),
                    None => $from_binary(bytes, column),
                },
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

impl<'a> FromValue<'a> for Interval {
    const NAME: &'static str = "an interval";

    fn from_text(text: &'a str, _: &Column) -> Option<Self> {
        Self::parse(text)
    }

    fn from_binary(bytes: &'a [u8], column: &Column) -> Option<Self> {
        match column.binary {
            BinaryFormat::Interval => Self::from_binary(bytes),
            _ => Self::parse(binary_text(bytes, column)?),
        }
    }
}
