//! Floating-point numbers in PostgreSQL's text format: the shortest digits that are read back as the same number.

use std::fmt::{LowerExp, Write};

/// Writes a `float4`.
pub(super) fn write_f32(out: &mut String, number: f32) {
    write(out, number, number.into(), 6);
}

/// Writes a `float8`.
pub(super) fn write_f64(out: &mut String, number: f64) {
    write(out, number, number, 15);
}

/// Writes a number; with an exponent when that is `limit` or more, or less than -4.
fn write(out: &mut String, shortest: impl LowerExp, number: f64, limit: usize) {
    if !number.is_finite() {
        out.push_str(match number {
            f64::INFINITY => "Infinity",
            f64::NEG_INFINITY => "-Infinity",
            _ => "NaN",
        });
        return;
    }
    let written = format!("{shortest:e}");
    // Rust always writes one digit before the point, and an exponent.
    let (mantissa, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    out.push_str(sign);
    let digits = mantissa.replace('.', "");
    match usize::try_from(exponent) {
        Ok(places) if places < limit => {
            let (whole, fraction) = digits.split_at(digits.len().min(places + 1));
            let _ = write!(out, "{whole:0<0$}", places + 1);
            if !fraction.is_empty() {
                let _ = write!(out, ".{fraction}");
            }
        }
        Err(_) if exponent >= -4 => {
            let zeros = usize::try_from(-exponent - 1).unwrap_or(0);
            let _ = write!(out, "0.{:0<zeros$}{digits}", "");
        }
        _ => {
            let sign = if exponent < 0 { '-' } else { '+' };
            let _ = write!(out, "{mantissa}e{sign}{:02}", exponent.unsigned_abs());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(number: f64) -> String {
        let mut out = String::new();
        write_f64(&mut out, number);
        out
    }

    #[test]
    fn numbers_are_written_as_postgresql_does() {
        // Each as PostgreSQL 18 answers.
        for (number, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (-120.25, "-120.25"),
            (100.0, "100"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e15, "1e+15"),
            (-1.25e-300, "-1.25e-300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(text(number), expected);
        }
        let mut out = String::new();
        write_f32(&mut out, 1_234_567.0);
        assert_eq!(out, "1.234567e+06");
    }

    proptest! {
        #[test]
        fn a_number_is_read_back(number: f64) {
            prop_assert_eq!(text(number).parse::<f64>().unwrap().to_bits(), number.to_bits());
        }
    }
}
