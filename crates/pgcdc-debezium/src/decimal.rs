//! Decimal numbers as their unscaled digits, and those as bytes.

/// A decimal number, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
}

/// The scale that a `numeric` column's modifier sets; `None` where there is none.
pub(super) fn scale_of(modifier: i32) -> Option<usize> {
    // Debezium takes a negative scale (PostgreSQL 15) for a large one, and so do we: its consumers know no other.
    (modifier >= 4).then(|| usize::try_from((modifier - 4) & 0x7ff).unwrap_or(0))
}

impl<'a> Decimal<'a> {
    /// A text such as `-12.340`.
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

    /// Digits behind the point, without zeros at the end.
    pub(super) fn least_scale(&self) -> usize {
        self.fraction.trim_end_matches('0').len()
    }

    /// The number times ten to the power of `scale`, in two's complement, most significant byte first, in as few bytes as
    /// it takes.
    pub(super) fn unscaled(&self, scale: usize) -> Vec<u8> {
        let kept = self.fraction.len().min(scale);
        let digits = self
            .whole
            .bytes()
            .chain(self.fraction.bytes().take(kept))
            .chain(std::iter::repeat_n(b'0', scale - kept))
            .map(|digit| digit - b'0');
        let mut bytes = magnitude(digits);
        if self.negative {
            negate(&mut bytes);
        }
        bytes
    }
}

/// Base 10 to base 256, with a zero first where the highest bit is set: it is the sign.
fn magnitude(digits: impl Iterator<Item = u8>) -> Vec<u8> {
    // Limbs of 32 bits, least significant first; nine digits at a time.
    let mut limbs: Vec<u32> = Vec::new();
    let mut add = |value: u64, power: u64| {
        let mut carry = value;
        for limb in &mut limbs {
            let sum = u64::from(*limb) * power + carry;
            *limb = low(sum);
            carry = sum >> 32;
        }
        if carry > 0 {
            limbs.push(low(carry));
        }
    };
    let (mut chunk, mut power) = (0_u64, 1_u64);
    for digit in digits {
        chunk = chunk * 10 + u64::from(digit);
        power *= 10;
        if power == 1_000_000_000 {
            add(chunk, power);
            (chunk, power) = (0, 1);
        }
    }
    add(chunk, power);
    let mut bytes: Vec<u8> = limbs
        .iter()
        .rev()
        .flat_map(|limb| limb.to_be_bytes())
        .collect();
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    bytes.drain(..zeros);
    if bytes.first().is_none_or(|&byte| byte & 0x80 != 0) {
        bytes.insert(0, 0);
    }
    bytes
}

#[allow(clippy::cast_possible_truncation)]
fn low(value: u64) -> u32 {
    // The lower half is what is meant.
    value as u32
}

fn negate(bytes: &mut Vec<u8>) {
    let mut carry = true;
    for byte in bytes.iter_mut().rev() {
        let (sum, overflow) = (!*byte).overflowing_add(u8::from(carry));
        *byte = sum;
        carry = overflow;
    }
    // As few as it takes: the sign may fit into the byte behind.
    while bytes.len() > 1
        && ((bytes[0] == 0xff && bytes[1] & 0x80 != 0) || (bytes[0] == 0 && bytes[1] & 0x80 == 0))
    {
        bytes.remove(0);
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
    fn what_is_no_number_is_none() {
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
