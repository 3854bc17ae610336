//! Conversion of column values to Rust types, borrowed where possible.

mod array;
pub(crate) mod binary;
pub(crate) mod calendar;
mod decimal;
pub(crate) mod interval;
pub(crate) mod literal;
mod money;
mod range;
mod scalar;
mod temporal;
#[cfg(test)]
mod tests;

pub use interval::Interval;
pub use money::Money;
pub use range::Range;

use crate::pgoutput::Value;
use crate::{BinaryFormat, Column};

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
/// A value converts from binary format as it does from text: integers of any width to integers that hold them, `numeric` to
/// floating-point numbers, arrays to `Vec<T>` and `Vec<Option<T>>`, ranges to [`Range`]; everything to the `String` that the server
/// writes of it. What is no text in binary format, such as a number, does not convert to `&str`, which borrows.
///
/// Types of other crates convert with the feature of the crate's name: those for dates and times of `chrono`, `jiff` and `time`
/// (a value that they do not have, such as `infinity`, is an error), and the decimals of `bigdecimal` and `rust_decimal`.
pub trait FromValue<'a>: Sized {
    /// Name of the type in errors.
    const NAME: &'static str;

    /// Converts from text format; `None` when the text is no value of the type.
    fn from_text(text: &'a str, column: &Column) -> Option<Self>;

    /// Converts from binary format, which is [`Column::binary`]; `None` when the bytes are no value of the type.
    fn from_binary(bytes: &'a [u8], column: &Column) -> Option<Self>;

    /// The value for a NULL element of an array; `None` when the type has none.
    fn null_element() -> Option<Self> {
        None
    }

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
                Value::Binary(bytes) => shown(bytes, column),
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
fn shown(bytes: &[u8], column: &Column) -> String {
    use BinaryFormat as Format;
    let (length, oid, format) = (bytes.len(), column.type_oid, &column.binary);
    match format {
        Format::Other => format!(
            "{length} bytes in the binary format of the type with OID {oid}, unknown to pgcdc (without ReaderConfig::binary it comes as text)"
        ),
        Format::Bool | Format::Int2 | Format::Int4 | Format::Int8 | Format::Oid | Format::Text => {
            format!("{length} bytes in the binary format {format:?}")
        }
        format => match binary::text(bytes, format) {
            Some(text) => format!("{:?} in the binary format {format:?}", shortened(&text)),
            None => format!("{length} bytes in the binary format {format:?}"),
        },
    }
}
