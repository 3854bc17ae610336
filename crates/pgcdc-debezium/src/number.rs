//! Numbers of PostgreSQL's text format as JSON: integers, floating-point numbers, `numeric` and `money`.

use std::borrow::Cow;

use num_bigint::BigInt;
use pgcdc::Money;

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

/// How numbers are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct NumberFormat {
    pub(super) decimals: Decimals,
    /// Scale of `money` with [`Decimals::Precise`].
    pub(super) money_scale: u8,
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

/// `money`.
pub(super) fn money(
    out: &mut Vec<u8>,
    text: &str,
    decimals_of_locale: u8,
    format: NumberFormat,
) -> WriteResult {
    let amount = Money::parse(text, decimals_of_locale).ok_or(Malformed)?;
    match format.decimals {
        Decimals::Precise => base64(out, &rescaled(amount, format.money_scale)?),
        Decimals::Double => float(out, &amount.to_string())?,
        Decimals::Text => string(out, &amount.to_string()),
    }
    Ok(())
}

/// The bytes of an amount with another number of decimals, rounded half up as Debezium rounds.
fn rescaled(amount: Money, scale: u8) -> Result<Vec<u8>, Malformed> {
    let power = |digits: u8| 10_i128.checked_pow(digits.into()).ok_or(Malformed);
    let units = i128::from(amount.units);
    let units = match scale.checked_sub(amount.decimals) {
        Some(more) => units.checked_mul(power(more)?).ok_or(Malformed)?,
        None => {
            let divisor = power(amount.decimals - scale)?;
            (units + units.signum() * divisor / 2) / divisor
        }
    };
    Ok(BigInt::from(units).to_signed_bytes_be())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money_of(text: &str, decimals_of_locale: u8, decimals: Decimals, scale: u8) -> String {
        let mut out = Vec::new();
        let format = NumberFormat {
            decimals,
            money_scale: scale,
        };
        money(&mut out, text, decimals_of_locale, format).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn money_has_the_locales_decimals_in_every_mode() {
        assert_eq!(money_of("￥1,234", 0, Decimals::Text, 2), "\"1234\"");
        assert_eq!(money_of("￥1,234", 0, Decimals::Double, 2), "1234.0");
        // 123400 and 1234.
        assert_eq!(money_of("￥1,234", 0, Decimals::Precise, 2), "\"AeII\"");
        assert_eq!(money_of("￥1,234", 0, Decimals::Precise, 0), "\"BNI=\"");
        assert_eq!(money_of("-$0.05", 2, Decimals::Text, 2), "\"-0.05\"");
        assert_eq!(money_of("-$0.05", 2, Decimals::Precise, 2), "\"+w==\"");
        // Half up: 1.235 and -1.235.
        for (text, encoded) in [("KD 1.235", "\"fA==\""), ("KD-1.235", "\"hA==\"")] {
            assert_eq!(money_of(text, 3, Decimals::Precise, 2), encoded);
        }
        let least = "-$92,233,720,368,547,758.08";
        assert_eq!(money_of(least, 2, Decimals::Precise, 2), "\"gAAAAAAAAAA=\"");
    }
}
