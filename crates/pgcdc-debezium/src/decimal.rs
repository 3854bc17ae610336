//! Decimal numbers: their unscaled values as bytes.

use num_bigint::{BigInt, Sign};

/// A decimal number in text format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
}

/// The scale that a `numeric` column's modifier sets; `None` without a modifier.
pub(super) fn scale_of(modifier: i32) -> Option<usize> {
    // Debezium reads a negative scale (PostgreSQL 15) as a large one, and consumers expect its result.
    (modifier >= 4).then(|| usize::try_from((modifier - 4) & 0x7ff).unwrap_or(0))
}

impl<'a> Decimal<'a> {
    /// Parses a text such as `-12.340`.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        (all_digits(whole)
            && all_digits(fraction)
            && digits.len() > usize::from(digits.contains('.')))
        .then_some(Self {
            negative,
            whole,
            fraction,
        })
    }

    /// Number of digits after the point, without zeros at the end.
    pub(super) fn least_scale(&self) -> usize {
        self.fraction.trim_end_matches('0').len()
    }

    /// The number times ten to the power of `scale`: two's complement, most significant byte first, in as few bytes as
    /// possible.
    pub(super) fn unscaled(&self, scale: usize) -> Vec<u8> {
        let kept = self.fraction.len().min(scale);
        let digits: Vec<u8> = self
            .whole
            .bytes()
            .chain(self.fraction.bytes().take(kept))
            .chain(std::iter::repeat_n(b'0', scale - kept))
            .map(|digit| digit - b'0')
            .collect();
        let sign = if self.negative {
            Sign::Minus
        } else {
            Sign::Plus
        };
        // No digits at all, such as those of `.5` with a scale of 0, are zero.
        let number = BigInt::from_radix_be(sign, &digits, 10).unwrap_or_default();
        number.to_signed_bytes_be()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unscaled(text: &str, scale: usize) -> Vec<u8> {
        Decimal::parse(text).unwrap().unscaled(scale)
    }

    #[test]
    fn numbers_take_as_few_bytes_as_they_need() {
        assert_eq!(unscaled("0", 0), [0]);
        assert_eq!(unscaled("127", 0), [127]);
        assert_eq!(unscaled("128", 0), [0, 128]);
        assert_eq!(unscaled("-128", 0), [128]);
        assert_eq!(unscaled("-129", 0), [255, 127]);
        assert_eq!(unscaled("-0.05", 2), [0xfb]);
        assert_eq!(unscaled("1.50", 2), [0, 150]);
        assert_eq!(unscaled("1", 2), [100]);
        assert_eq!(
            unscaled("18446744073709551616", 0),
            [1, 0, 0, 0, 0, 0, 0, 0, 0]
        );
    }

    #[test]
    fn a_text_that_is_no_number_is_none() {
        for text in ["", "-", ".", "1e5", "NaN", "1.2.3", "+1"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        assert_eq!(Decimal::parse("123.4500").unwrap().least_scale(), 2);
        assert_eq!(Decimal::parse("100").unwrap().least_scale(), 0);
    }

    proptest! {
        #[test]
        fn the_bytes_are_the_number(number in any::<i128>()) {
            let bytes = unscaled(&number.to_string(), 0);
            let sign = if bytes[0] & 0x80 == 0 { 0 } else { 0xff };
            let mut whole = [sign; 16];
            whole[16 - bytes.len()..].copy_from_slice(&bytes);
            prop_assert_eq!(i128::from_be_bytes(whole), number);
            prop_assert!(bytes.len() == 1 || !(bytes[0] == sign && (bytes[1] & 0x80 == sign & 0x80)));
        }
    }
}
