//! Values of PostgreSQL's text format as the JSON that Debezium's JsonConverter writes for them.
//!
//! Sources: Debezium's documentation, "PostgreSQL connector: Data type mappings", and the output of its connector.

use pgcdc::TypeKind;

use super::extension::{geometry, sparse_vector, vector};
use super::json::{Malformed, WriteResult, base64, number, raw, string};
use super::literal::{after_braces, hstore, quoted, without_bounds};
use super::number::{NumberFormat, float, integer, is_special, money, numeric};
use super::time;

/// PostgreSQL's `MAXDIM`: arrays are nested no deeper.
const DIMENSIONS: usize = 6;

/// Writes a value that is not null.
pub(super) fn write(
    out: &mut Vec<u8>,
    text: &str,
    kind: &TypeKind,
    modifier: i32,
    numbers: NumberFormat,
) -> WriteResult {
    match kind {
        TypeKind::Bool => boolean(out, text)?,
        TypeKind::Integer => integer(out, text)?,
        TypeKind::Float => float(out, text)?,
        TypeKind::Numeric => numeric(out, text, modifier, numbers.decimals)?,
        TypeKind::Money { decimals } => money(out, text, *decimals, numbers)?,
        TypeKind::Text | TypeKind::Json | TypeKind::Uuid | TypeKind::Other => string(out, text),
        TypeKind::Bytea => base64(out, &bytes(text).ok_or(Malformed)?),
        TypeKind::Date => number(out, time::days(text).ok_or(Malformed)?),
        TypeKind::Time => {
            let micros = time::micros_of_day(text).ok_or(Malformed)?;
            number(out, in_unit(micros, modifier));
        }
        TypeKind::Timestamp => {
            let micros = time::timestamp_micros(text).ok_or(Malformed)?;
            number(out, in_unit(micros, modifier));
        }
        TypeKind::TimestampTz => string(out, &time::zoned_timestamp(text, modifier)),
        TypeKind::TimeTz => string(out, &time::zoned_time(text)),
        // No number stands for an infinite interval.
        TypeKind::Interval if matches!(text, "infinity" | "-infinity") => raw(out, "null"),
        TypeKind::Interval => number(out, time::interval_micros(text).ok_or(Malformed)?),
        TypeKind::Bits => bits(out, text, modifier)?,
        TypeKind::Hstore => string(out, &hstore(text).ok_or(Malformed)?),
        TypeKind::Point => point(out, text)?,
        TypeKind::Vector | TypeKind::HalfVector => vector(out, text)?,
        TypeKind::SparseVector => sparse_vector(out, text)?,
        TypeKind::Geometry => geometry(out, text)?,
        TypeKind::Array(element) => {
            let elements = ArrayElements {
                kind: element,
                modifier,
                numbers,
            };
            elements.write(out, without_bounds(text), DIMENSIONS)?;
        }
    }
    Ok(())
}

/// The bytes of a `bytea`.
fn bytes(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix("\\x")?).ok()
}

fn boolean(out: &mut Vec<u8>, text: &str) -> WriteResult {
    match text {
        "t" => raw(out, "true"),
        "f" => raw(out, "false"),
        _ => return Err(Malformed),
    }
    Ok(())
}

/// Milliseconds for a column with at most three digits of the second, otherwise microseconds.
fn in_unit(micros: i64, modifier: i32) -> i64 {
    if (0..=3).contains(&modifier) {
        micros.div_euclid(1_000)
    } else {
        micros
    }
}

/// One bit is a boolean; several are bytes, the last bit being the lowest of the first byte.
fn bits(out: &mut Vec<u8>, text: &str, modifier: i32) -> WriteResult {
    if !text.bytes().all(|bit| matches!(bit, b'0' | b'1')) {
        return Err(Malformed);
    }
    if modifier == 1 && text.len() == 1 {
        raw(out, if text == "1" { "true" } else { "false" });
        return Ok(());
    }
    let mut bytes = vec![0_u8; text.len().div_ceil(8)];
    for (index, bit) in text.bytes().rev().enumerate() {
        if bit == b'1' {
            bytes[index / 8] |= 1 << (index % 8);
        }
    }
    // Without zeros at the end, as in Java's BitSet.
    let length = bytes.len() - bytes.iter().rev().take_while(|&&byte| byte == 0).count();
    base64(out, &bytes[..length]);
    Ok(())
}

/// A point, `(1.5,2.5)`, with its well-known binary (WKB).
fn point(out: &mut Vec<u8>, text: &str) -> WriteResult {
    let coordinates = text
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'))
        .and_then(|text| text.split_once(','));
    let (x, y) = coordinates.ok_or(Malformed)?;
    // WKB: little-endian, type 1, a point.
    let mut wkb = vec![1_u8, 1, 0, 0, 0];
    for coordinate in [x, y] {
        let coordinate: f64 = coordinate.parse().map_err(|_| Malformed)?;
        wkb.extend(coordinate.to_le_bytes());
    }
    raw(out, "{\"x\":");
    float(out, x)?;
    raw(out, ",\"y\":");
    float(out, y)?;
    raw(out, ",\"wkb\":");
    base64(out, &wkb);
    raw(out, ",\"srid\":null}");
    Ok(())
}

/// The elements of an array.
#[derive(Clone, Copy)]
struct ArrayElements<'a> {
    kind: &'a TypeKind,
    modifier: i32,
    numbers: NumberFormat,
}

impl ArrayElements<'_> {
    /// Writes an array, `{1,NULL,"a \"b\""}`, with inner arrays to this depth.
    fn write(self, out: &mut Vec<u8>, text: &str, depth: usize) -> WriteResult {
        let depth = depth.checked_sub(1).ok_or(Malformed)?;
        let inner = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        let mut rest = inner.ok_or(Malformed)?;
        // `typdelim` of PostGIS's types.
        let delimiter = match self.kind {
            TypeKind::Geometry => [',', ':'],
            _ => [',', ','],
        };
        let start = out.len();
        out.push(b'[');
        while !rest.is_empty() {
            if out.len() > start + 1 {
                out.push(b',');
            }
            let after = if rest.starts_with('"') {
                let (value, after) = quoted(rest).ok_or(Malformed)?;
                self.one(out, &value)?;
                after
            } else if rest.starts_with('{') {
                let after = after_braces(rest).ok_or(Malformed)?;
                self.write(out, &rest[..rest.len() - after.len()], depth)?;
                after
            } else {
                let end = rest.find(delimiter).unwrap_or(rest.len());
                let (value, after) = rest.split_at(end);
                if value == "NULL" {
                    raw(out, "null");
                } else if *self.kind == TypeKind::Numeric && is_special(value) {
                    // NaN or an infinity makes the whole array null, as in Debezium's events.
                    out.truncate(start);
                    raw(out, "null");
                    return Ok(());
                } else {
                    self.one(out, value)?;
                }
                after
            };
            rest = match after.strip_prefix(delimiter) {
                Some("") => return Err(Malformed),
                Some(next) => next,
                None if after.is_empty() => after,
                None => return Err(Malformed),
            };
        }
        out.push(b']');
        Ok(())
    }

    fn one(self, out: &mut Vec<u8>, text: &str) -> WriteResult {
        write(out, text, self.kind, self.modifier, self.numbers)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::number::Decimals;
    use super::*;

    const PRECISE: NumberFormat = NumberFormat {
        decimals: Decimals::Precise,
        money_scale: 2,
    };

    fn json(text: &str, kind: &TypeKind, modifier: i32) -> String {
        let mut out = Vec::new();
        write(&mut out, text, kind, modifier, PRECISE).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn arrays_are_written_with_quotes_nulls_and_bounds() {
        let texts = TypeKind::Array(Arc::new(TypeKind::Text));
        assert_eq!(
            json(r#"{a,NULL,"NULL","b,\"c\\"}"#, &texts, -1),
            r#"["a",null,"NULL","b,\"c\\"]"#
        );
        let numbers = TypeKind::Array(Arc::new(TypeKind::Integer));
        assert_eq!(json("[2:3]={1,2}", &numbers, -1), "[1,2]");
        assert_eq!(json("{{1,2},{3,4}}", &numbers, -1), "[[1,2],[3,4]]");
        assert_eq!(json("{}", &numbers, -1), "[]");
    }

    #[test]
    fn bits_are_bytes_from_the_last_one_up() {
        assert_eq!(json("1", &TypeKind::Bits, 1), "true");
        assert_eq!(json("10101", &TypeKind::Bits, 5), "\"FQ==\"");
        assert_eq!(json("100000001", &TypeKind::Bits, 9), "\"AQE=\"");
    }

    proptest! {
        #[test]
        fn whatever_the_text_what_is_written_is_json(text in ".*", modifier in -1..2000_i32, which in 0..21_usize) {
            let element = Arc::new(TypeKind::Text);
            let kinds = [
                TypeKind::Bool, TypeKind::Numeric, TypeKind::Money { decimals: 2 }, TypeKind::Text, TypeKind::Bytea, TypeKind::Date, TypeKind::Time, TypeKind::TimeTz,
                TypeKind::Timestamp, TypeKind::TimestampTz, TypeKind::Interval, TypeKind::Bits, TypeKind::Hstore, TypeKind::Other,
                TypeKind::Vector, TypeKind::SparseVector, TypeKind::Geometry, TypeKind::Array(Arc::new(TypeKind::Vector)),
                TypeKind::Array(Arc::clone(&element)), TypeKind::Array(Arc::new(TypeKind::Timestamp)), TypeKind::Array(Arc::new(TypeKind::Numeric)),
            ];
            let mut written = Vec::new();
            if write(&mut written, &text, &kinds[which], modifier, PRECISE).is_ok() {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&written).is_ok(), "{:?}", String::from_utf8(written));
            }
        }
    }
}
