//! PostgreSQL's text format as the JSON that Debezium's JsonConverter writes for it.
//!
//! Source: Debezium's documentation, "PostgreSQL connector: Data type mappings", and what its connector was seen to write;
//! tests/on_a_stack/envelopes.rs compares the two.

use std::borrow::Cow;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::decimal::{Decimal, scale_of};
use super::time;
use pgcdc::{Column, FromValue, TypeKind};

/// PostgreSQL's `MAXDIM`: arrays are nested no deeper.
const DIMENSIONS: usize = 6;

/// A text that is no value of the type it is said to be of. What was written of it is to be thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

type Written = Result<(), Malformed>;

/// How `numeric` and `money` are written: `decimal.handling.mode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Decimals {
    /// The unscaled number's bytes in Base64, with its scale where the column sets none.
    #[default]
    Precise,
    /// A JSON number, which may lose digits.
    Double,
    /// A text.
    Text,
}

/// What stands for a value that the stream does not carry because it did not change.
pub const UNAVAILABLE: &str = "__debezium_unavailable_value";
/// The same as a UUID: the one that Java makes of these bytes.
const UNAVAILABLE_UUID: &str = "b68a35a7-17ad-35b3-af2a-ae46edb4545a";

/// Writes a value that is not null.
pub(super) fn write(
    out: &mut Vec<u8>,
    text: &str,
    kind: &TypeKind,
    modifier: i32,
    decimals: Decimals,
) -> Written {
    match kind {
        TypeKind::Bool => boolean(out, text)?,
        TypeKind::Integer => integer(out, text)?,
        TypeKind::Float => float(out, text)?,
        TypeKind::Numeric => numeric(out, text, modifier, decimals)?,
        TypeKind::Money => money(out, text, decimals)?,
        TypeKind::Text | TypeKind::Uuid | TypeKind::Other => string(out, text),
        TypeKind::Bytea => base64(out, &Vec::from_text(text).ok_or(Malformed)?),
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
        // There is no number for an infinite one.
        TypeKind::Interval if matches!(text, "infinity" | "-infinity") => raw(out, "null"),
        TypeKind::Interval => number(out, time::interval_micros(text).ok_or(Malformed)?),
        TypeKind::Bits => bits(out, text, modifier)?,
        TypeKind::Hstore => string(out, &hstore(text).ok_or(Malformed)?),
        TypeKind::Point => point(out, text)?,
        TypeKind::Array(element) => {
            let elements = Elements {
                kind: element,
                modifier,
                decimals,
            };
            elements.write(out, without_bounds(text), DIMENSIONS)?;
        }
    }
    Ok(())
}

/// Writes what stands for a value that is not there.
pub(super) fn write_unavailable(out: &mut Vec<u8>, kind: &TypeKind) {
    match kind {
        TypeKind::Bytea => base64(out, UNAVAILABLE.as_bytes()),
        TypeKind::Array(element) => unavailable_array(out, element),
        TypeKind::Hstore => string(out, &format!("{{\"{UNAVAILABLE}\":\"{UNAVAILABLE}\"}}")),
        _ => string(out, UNAVAILABLE),
    }
}

/// An array cannot hold the words, unless its elements are texts: numbers stand for their bytes.
fn unavailable_array(out: &mut Vec<u8>, element: &TypeKind) {
    match element {
        TypeKind::Text
        | TypeKind::TimestampTz
        | TypeKind::TimeTz
        | TypeKind::Hstore
        | TypeKind::Bytea => {
            out.push(b'[');
            write_unavailable(out, element);
            out.push(b']');
        }
        TypeKind::Uuid => {
            out.push(b'[');
            string(out, UNAVAILABLE_UUID);
            out.push(b']');
        }
        TypeKind::Integer | TypeKind::Date | TypeKind::Time | TypeKind::Timestamp => {
            let bytes: Vec<_> = UNAVAILABLE.bytes().map(|byte| byte.to_string()).collect();
            raw(out, &format!("[{}]", bytes.join(",")));
        }
        _ => raw(out, "null"),
    }
}

/// Writes null. Where the column has a constant for a default, that stands for it (`replace.null.with.default`), and
/// where it may not be null, its type's zero: an old row has such nulls where the replica identity does not tell.
pub(super) fn write_null(out: &mut Vec<u8>, column: &Column, decimals: Decimals) {
    let zero = match &column.kind {
        TypeKind::Bool => "f",
        TypeKind::Integer | TypeKind::Float | TypeKind::Numeric | TypeKind::Money => "0",
        TypeKind::Date => "1970-01-01",
        TypeKind::Time => "00:00:00",
        TypeKind::Timestamp => "1970-01-01 00:00:00",
        TypeKind::TimestampTz => "1970-01-01 00:00:00+00",
        TypeKind::TimeTz => "00:00:00+00",
        TypeKind::Interval => "00:00:00",
        TypeKind::Bytea => "\\x",
        TypeKind::Array(_) => "{}",
        _ => "",
    };
    let text = match column.default.as_deref().and_then(constant) {
        Some(constant) => constant,
        None if column.not_null == Some(true) => zero.to_owned(),
        None => return raw(out, "null"),
    };
    let start = out.len();
    let modifier = column.type_modifier;
    if write(out, &text, &column.kind, modifier, decimals).is_err() {
        // A default that looked like a constant.
        out.truncate(start);
        raw(out, "null");
    }
}

/// `5`, `'it''s'::text`, `true`: an expression that is its value.
fn constant(expression: &str) -> Option<String> {
    match expression {
        "true" => return Some("t".to_owned()),
        "false" => return Some("f".to_owned()),
        _ => {}
    }
    if let Some(quoted) = expression.strip_prefix('\'') {
        let (text, cast) = quoted.rsplit_once('\'')?;
        return (cast.is_empty() || cast.starts_with("::")).then(|| text.replace("''", "'"));
    }
    let number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '.');
    (!expression.is_empty() && expression.chars().all(number)).then(|| expression.to_owned())
}

/// A JSON string.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    // Writing into memory does not fail, nor does a string.
    let _ = serde_json::to_writer(out, text);
}

pub(super) fn raw(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn number(out: &mut Vec<u8>, number: i64) {
    // Writing into memory does not fail.
    let _ = write!(out, "{number}");
}

fn boolean(out: &mut Vec<u8>, text: &str) -> Written {
    match text {
        "t" => raw(out, "true"),
        "f" => raw(out, "false"),
        _ => return Err(Malformed),
    }
    Ok(())
}

fn integer(out: &mut Vec<u8>, text: &str) -> Written {
    if !is_integer(text) {
        return Err(Malformed);
    }
    raw(out, text);
    Ok(())
}

/// As JSON has it: no zeros before it.
fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    is_digits(digits) && (digits.len() == 1 || !digits.starts_with('0'))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// As JSON has it: `-12.5e+20`.
fn is_number(text: &str) -> bool {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    is_integer(whole) && is_digits(fraction) && is_digits(exponent)
}

fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    string(out, &BASE64.encode(bytes));
}

fn is_special(text: &str) -> bool {
    matches!(text, "NaN" | "Infinity" | "-Infinity")
}

/// JSON has no NaN and no infinities: they are strings. A number is told from an integer by its point.
fn float(out: &mut Vec<u8>, text: &str) -> Written {
    if is_special(text) {
        string(out, text);
    } else if is_integer(text) {
        raw(out, text);
        raw(out, ".0");
    } else if is_number(text) {
        raw(out, text);
    } else {
        return Err(Malformed);
    }
    Ok(())
}

/// Milliseconds where the column has three digits or fewer, else microseconds.
fn in_unit(micros: i64, modifier: i32) -> i64 {
    if (0..=3).contains(&modifier) {
        micros.div_euclid(1_000)
    } else {
        micros
    }
}

fn numeric(out: &mut Vec<u8>, text: &str, modifier: i32, decimals: Decimals) -> Written {
    if is_special(text) {
        match decimals {
            Decimals::Text => string(out, &plain(text, modifier)),
            Decimals::Double => string(out, text),
            Decimals::Precise => raw(out, "null"),
        }
        return Ok(());
    }
    let decimal = Decimal::parse(text).ok_or(Malformed)?;
    match (decimals, scale_of(modifier)) {
        (Decimals::Text, _) => string(out, &plain(text, modifier)),
        (Decimals::Double, _) => float(out, text)?,
        (Decimals::Precise, Some(scale)) => base64(out, &decimal.unscaled(scale)),
        (Decimals::Precise, None) => {
            let scale = decimal.least_scale();
            raw(out, "{\"scale\":");
            number(out, i64::try_from(scale).unwrap_or(i64::MAX));
            raw(out, ",\"value\":");
            base64(out, &decimal.unscaled(scale));
            raw(out, "}");
        }
    }
    Ok(())
}

/// A number as a text, with as many digits behind the point as the column has; what is none by the names that
/// Debezium's driver has for it.
fn plain(text: &str, modifier: i32) -> Cow<'_, str> {
    match text {
        "NaN" => return "NAN".into(),
        "Infinity" => return "POSITIVE_INFINITY".into(),
        "-Infinity" => return "NEGATIVE_INFINITY".into(),
        _ => {}
    }
    let scale = scale_of(modifier).unwrap_or(0);
    let digits = text.split_once('.').map_or(0, |(_, digits)| digits.len());
    if digits >= scale {
        return text.into();
    }
    let point = if digits == 0 { "." } else { "" };
    format!("{text}{point}{}", "0".repeat(scale - digits)).into()
}

/// `money` in the C locale: `-$1,234.56`.
fn money(out: &mut Vec<u8>, text: &str, decimals: Decimals) -> Written {
    let plain: String = text.chars().filter(|c| !matches!(c, '$' | ',')).collect();
    let decimal = Decimal::parse(&plain).ok_or(Malformed)?;
    match decimals {
        Decimals::Precise => base64(out, &decimal.unscaled(2)),
        Decimals::Double if !is_number(&plain) => return Err(Malformed),
        Decimals::Double => raw(out, &plain),
        Decimals::Text => string(out, &plain),
    }
    Ok(())
}

/// One bit is a boolean; more are bytes, the last bit in the first byte's lowest.
fn bits(out: &mut Vec<u8>, text: &str, modifier: i32) -> Written {
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
    // As Java's BitSet has them: none that are zero at the end.
    let length = bytes.len() - bytes.iter().rev().take_while(|&&byte| byte == 0).count();
    base64(out, &bytes[..length]);
    Ok(())
}

/// `"a"=>"1", "b"=>NULL` as the text of a JSON object.
fn hstore(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len() + 2);
    out.push(b'{');
    let mut rest = text;
    while !rest.is_empty() {
        if out.len() > 1 {
            out.push(b',');
            rest = rest.strip_prefix(", ")?;
        }
        let (key, after) = quoted(rest)?;
        string(&mut out, &key);
        out.push(b':');
        let after = after.strip_prefix("=>")?;
        rest = if let Some(after) = after.strip_prefix("NULL") {
            raw(&mut out, "null");
            after
        } else {
            let (value, after) = quoted(after)?;
            string(&mut out, &value);
            after
        };
    }
    out.push(b'}');
    String::from_utf8(out).ok()
}

/// A string in double quotes with backslashes, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &inner[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

/// `(1.5,2.5)`, with its well-known binary.
fn point(out: &mut Vec<u8>, text: &str) -> Written {
    let coordinates = text
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'))
        .and_then(|text| text.split_once(','));
    let (x, y) = coordinates.ok_or(Malformed)?;
    // Little-endian, a point.
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

/// An array that does not begin at 1 says so first: `[2:3]={1,2}`.
fn without_bounds(text: &str) -> &str {
    match text.split_once('=') {
        Some((bounds, rest)) if bounds.starts_with('[') => rest,
        _ => text,
    }
}

/// What the elements of an array are.
#[derive(Clone, Copy)]
struct Elements<'a> {
    kind: &'a TypeKind,
    modifier: i32,
    decimals: Decimals,
}

impl Elements<'_> {
    /// `{1,NULL,"a \"b\""}`, with arrays in it to this depth.
    fn write(self, out: &mut Vec<u8>, text: &str, depth: usize) -> Written {
        let depth = depth.checked_sub(1).ok_or(Malformed)?;
        let inner = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        let mut rest = inner.ok_or(Malformed)?;
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
                let end = rest.find(',').unwrap_or(rest.len());
                let (value, after) = rest.split_at(end);
                if value == "NULL" {
                    raw(out, "null");
                } else if *self.kind == TypeKind::Numeric && is_special(value) {
                    // One that has no such form takes the others with it, as it does in Debezium's events.
                    out.truncate(start);
                    raw(out, "null");
                    return Ok(());
                } else {
                    self.one(out, value)?;
                }
                after
            };
            rest = match after.strip_prefix(',') {
                Some("") => return Err(Malformed),
                Some(next) => next,
                None if after.is_empty() => after,
                None => return Err(Malformed),
            };
        }
        out.push(b']');
        Ok(())
    }

    fn one(self, out: &mut Vec<u8>, text: &str) -> Written {
        write(out, text, self.kind, self.modifier, self.decimals)
    }
}

/// What follows an inner array.
fn after_braces(text: &str) -> Option<&str> {
    let (mut depth, mut in_quotes, mut escaped) = (0_usize, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => in_quotes = !in_quotes,
            '{' if !in_quotes => depth += 1,
            '}' if !in_quotes => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(&text[at + 1..]);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn json(text: &str, kind: &TypeKind, modifier: i32) -> String {
        let mut out = Vec::new();
        write(&mut out, text, kind, modifier, Decimals::Precise).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn arrays_are_read_with_their_quotes_nulls_and_bounds() {
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
    fn hstores_become_objects_in_a_text() {
        assert_eq!(
            hstore(r#""a"=>"1", "b \"q\""=>NULL, "c"=>"x, y""#).unwrap(),
            r#"{"a":"1","b \"q\"":null,"c":"x, y"}"#
        );
        assert_eq!(hstore("").unwrap(), "{}");
    }

    #[test]
    fn bits_are_bytes_from_the_last_one_up() {
        assert_eq!(json("1", &TypeKind::Bits, 1), "true");
        assert_eq!(json("10101", &TypeKind::Bits, 5), "\"FQ==\"");
        assert_eq!(json("100000001", &TypeKind::Bits, 9), "\"AQE=\"");
    }

    proptest! {
        #[test]
        fn whatever_the_text_what_is_written_is_json(text in ".*", modifier in -1..2000_i32, which in 0..17_usize) {
            let element = Arc::new(TypeKind::Text);
            let kinds = [
                TypeKind::Bool, TypeKind::Numeric, TypeKind::Money, TypeKind::Text, TypeKind::Bytea, TypeKind::Date, TypeKind::Time, TypeKind::TimeTz,
                TypeKind::Timestamp, TypeKind::TimestampTz, TypeKind::Interval, TypeKind::Bits, TypeKind::Hstore, TypeKind::Other,
                TypeKind::Array(Arc::clone(&element)), TypeKind::Array(Arc::new(TypeKind::Timestamp)), TypeKind::Array(Arc::new(TypeKind::Numeric)),
            ];
            let mut written = Vec::new();
            if write(&mut written, &text, &kinds[which], modifier, Decimals::Precise).is_ok() {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&written).is_ok(), "{:?}", String::from_utf8(written));
            }
        }
    }
}
