//! Numbers of PostgreSQL's text format as JSON: integers, floating-point numbers, `numeric` and `money`.

use std::borrow::Cow;

use super::decimal::{Decimal, scale_of};
use super::json::{Malformed, WriteResult, base64, number, raw, string};

/// Form of `numeric` and `money`: `decimal.handling.mode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Decimals {
    /// The bytes of the unscaled number in Base64, with the scale if the column sets none.
    #[default]
    Precise,
    /// A JSON number; digits may be lost.
    Double,
    /// A string.
    Text,
}

/// An integer.
pub(super) fn integer(out: &mut Vec<u8>, text: &str) -> WriteResult {
    if !is_integer(text) {
        return Err(Malformed);
    }
    raw(out, text);
    Ok(())
}

/// Whether it is an integer in JSON: without leading zeros.
fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    is_digits(digits) && (digits.len() == 1 || !digits.starts_with('0'))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether it is a number in JSON: `-12.5e+20`.
fn is_number(text: &str) -> bool {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    is_integer(whole) && is_digits(fraction) && is_digits(exponent)
}

/// Whether it is a number that JSON lacks.
pub(super) fn is_special(text: &str) -> bool {
    matches!(text, "NaN" | "Infinity" | "-Infinity")
}

/// `float4` and `float8`. JSON has no NaN and no infinities: they are strings. A point distinguishes the others from
/// integers.
pub(super) fn float(out: &mut Vec<u8>, text: &str) -> WriteResult {
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

/// `numeric`.
pub(super) fn numeric(
    out: &mut Vec<u8>,
    text: &str,
    modifier: i32,
    decimals: Decimals,
) -> WriteResult {
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

/// A number as a text, with the column's scale; NaN and infinities have the names of Debezium's driver.
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
pub(super) fn money(out: &mut Vec<u8>, text: &str, decimals: Decimals) -> WriteResult {
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
