//! Values in binary format as the text that the server writes of them. Source: the `_send` and `_out` functions of PostgreSQL's
//! types.

mod array;
mod float;
mod numeric;
mod range;

pub(crate) use array::BinaryArray;
pub(crate) use range::BinaryRange;

use std::fmt::Write;

use uuid::Uuid;

use crate::BinaryFormat;
use crate::value::calendar::{write_date, write_offset, write_time, write_timestamp};
use crate::value::interval::Interval;

/// The text of a value in binary format; `None` when the bytes are no value of the format, or the format has no text here:
/// `money`, whose text is the locale's, and those that are not known.
pub(crate) fn text(bytes: &[u8], format: &BinaryFormat) -> Option<String> {
    let mut out = String::new();
    write(&mut out, bytes, format)?;
    Some(out)
}

fn write(out: &mut String, bytes: &[u8], format: &BinaryFormat) -> Option<()> {
    match format {
        BinaryFormat::Bool => out.push(match bytes {
            [0] => 'f',
            [1] => 't',
            _ => return None,
        }),
        BinaryFormat::Int2 => display(out, i16::from_be_bytes(bytes.try_into().ok()?)),
        BinaryFormat::Int4 => display(out, i32::from_be_bytes(bytes.try_into().ok()?)),
        BinaryFormat::Int8 => display(out, i64::from_be_bytes(bytes.try_into().ok()?)),
        BinaryFormat::Oid => display(out, u32::from_be_bytes(bytes.try_into().ok()?)),
        BinaryFormat::Float4 => float::write_f32(out, f32::from_be_bytes(bytes.try_into().ok()?)),
        BinaryFormat::Float8 => float::write_f64(out, f64::from_be_bytes(bytes.try_into().ok()?)),
        BinaryFormat::Numeric => numeric::write(out, bytes)?,
        BinaryFormat::Date => write_date(out, i32::from_be_bytes(bytes.try_into().ok()?)),
        BinaryFormat::Time => write_time(out, micros_of_day(bytes)?),
        BinaryFormat::TimeTz => {
            let (micros, west) = bytes.split_at_checked(8)?;
            write_time(out, micros_of_day(micros)?);
            write_offset(out, i32::from_be_bytes(west.try_into().ok()?));
        }
        BinaryFormat::Timestamp => {
            write_timestamp(out, i64::from_be_bytes(bytes.try_into().ok()?), "");
        }
        BinaryFormat::TimestampTz => {
            write_timestamp(out, i64::from_be_bytes(bytes.try_into().ok()?), "+00");
        }
        BinaryFormat::Interval => display(out, Interval::from_binary(bytes)?),
        BinaryFormat::Uuid => display(out, Uuid::from_slice(bytes).ok()?),
        BinaryFormat::Bytea => {
            out.push_str("\\x");
            out.push_str(&hex::encode(bytes));
        }
        BinaryFormat::Text => out.push_str(std::str::from_utf8(bytes).ok()?),
        BinaryFormat::VersionedText => {
            out.push_str(std::str::from_utf8(bytes.strip_prefix(&[1])?).ok()?);
        }
        BinaryFormat::Array(element) => {
            BinaryArray::parse(bytes)?.write(out, |bytes| text(bytes, element))?;
        }
        BinaryFormat::Range(bound) => {
            BinaryRange::parse(bytes)?.write(out, |bytes| text(bytes, bound))?;
        }
        BinaryFormat::Money | BinaryFormat::Other => return None,
    }
    Some(())
}

fn display(out: &mut String, value: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{value}");
}

/// A `time`.
fn micros_of_day(bytes: &[u8]) -> Option<u64> {
    let micros = i64::from_be_bytes(bytes.try_into().ok()?);
    u64::try_from(micros).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn formats() -> Vec<BinaryFormat> {
        use BinaryFormat::*;
        let scalars = [
            Bool,
            Int2,
            Int4,
            Int8,
            Oid,
            Float4,
            Float8,
            Numeric,
            Money,
            Date,
            Time,
            TimeTz,
            Timestamp,
            TimestampTz,
            Interval,
            Uuid,
            Bytea,
            Text,
            VersionedText,
            Other,
        ];
        let mut formats = scalars.to_vec();
        for scalar in scalars {
            formats.push(Array(Arc::new(scalar.clone())));
            formats.push(Range(Arc::new(scalar)));
        }
        formats
    }

    #[test]
    fn an_array_with_a_dimension_of_no_elements_is_empty_or_none() {
        let header = |lengths: &[i32]| {
            let mut bytes = vec![
                0,
                0,
                0,
                u8::try_from(lengths.len()).unwrap(),
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                23,
            ];
            for length in lengths {
                bytes.extend(length.to_be_bytes());
                bytes.extend(1_i32.to_be_bytes());
            }
            bytes
        };
        let format = BinaryFormat::Array(Arc::new(BinaryFormat::Int4));
        for lengths in [&[][..], &[0], &[i32::MAX, 0], &[i32::MAX, i32::MAX, 0, 1]] {
            let mut bytes = header(lengths);
            assert_eq!(text(&bytes, &format).as_deref(), Some("{}"), "{lengths:?}");
            bytes.extend([0, 0, 0, 4, 0, 0, 0, 1]);
            assert_eq!(text(&bytes, &format), None, "{lengths:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, small in proptest::collection::vec(0..3_u8, 0..40)) {
            for format in formats() {
                let _ = (text(&bytes, &format), text(&small, &format));
            }
        }
    }
}
