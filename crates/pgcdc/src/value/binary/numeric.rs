//! `numeric`: digits to the base of 10,000, in PostgreSQL's text format.

use std::fmt::Write;

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xc000;
const INFINITY: u16 = 0xd000;
const NEGATIVE_INFINITY: u16 = 0xf000;

/// Writes a `numeric`: number of digits, exponent of the first one, sign, number of decimals, digits.
pub(super) fn write(out: &mut String, bytes: &[u8]) -> Option<()> {
    let (header, digits) = bytes.split_first_chunk::<8>()?;
    let [count, weight, sign, decimals] = {
        let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        [field(0), field(2), field(4), field(6)]
    };
    let (digits, rest) = digits.as_chunks();
    if digits.len() != usize::from(count) || !rest.is_empty() {
        return None;
    }
    match sign {
        0 => {}
        NEGATIVE => out.push('-'),
        special => {
            out.push_str(match special {
                NAN => "NaN",
                INFINITY => "Infinity",
                NEGATIVE_INFINITY => "-Infinity",
                _ => return None,
            });
            return Some(());
        }
    }
    let weight = i32::from(weight.cast_signed());
    // The digit with this exponent.
    let digit = |exponent: i32| {
        let index = usize::try_from(weight - exponent).ok();
        let digit = index.and_then(|index| digits.get(index));
        digit.map_or(0, |digit| u16::from_be_bytes(*digit))
    };
    let _ = write!(out, "{}", digit(weight.max(0)));
    for exponent in (0..weight).rev() {
        let _ = write!(out, "{:04}", digit(exponent));
    }
    if decimals > 0 {
        out.push('.');
        let end = out.len() + usize::from(decimals);
        for exponent in 1..=i32::from(decimals.div_ceil(4)) {
            let _ = write!(out, "{:04}", digit(-exponent));
        }
        out.truncate(end);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(weight: i16, sign: u16, decimals: u16, digits: &[u16]) -> Option<String> {
        let mut bytes = u16::try_from(digits.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend(weight.to_be_bytes());
        bytes.extend(sign.to_be_bytes());
        bytes.extend(decimals.to_be_bytes());
        bytes.extend(digits.iter().flat_map(|digit| digit.to_be_bytes()));
        let mut out = String::new();
        write(&mut out, &bytes)?;
        Some(out)
    }

    #[test]
    fn numbers_have_all_of_their_digits() {
        let read =
            |weight, sign, decimals, digits: &[u16]| text(weight, sign, decimals, digits).unwrap();
        assert_eq!(read(0, 0, 0, &[]), "0");
        assert_eq!(read(0, 0, 2, &[]), "0.00");
        assert_eq!(read(1, NEGATIVE, 2, &[1, 2345, 6700]), "-12345.67");
        assert_eq!(read(2, 0, 0, &[12]), "1200000000");
        assert_eq!(read(-1, 0, 4, &[5]), "0.0005");
        assert_eq!(read(-3, 0, 10, &[1]), "0.0000000000");
        assert_eq!(read(-3, 0, 12, &[1]), "0.000000000001");
        assert_eq!(read(0, NAN, 0, &[]), "NaN");
        assert_eq!(read(0, NEGATIVE_INFINITY, 0, &[]), "-Infinity");
        assert_eq!(text(0, 1, 0, &[]), None);
    }
}
