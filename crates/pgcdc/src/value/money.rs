//! Amounts of PostgreSQL's `money`, whatever the locale of the server.

use std::fmt;

/// A value of `money`: a number of the locale's smallest units, and the number of decimals of one unit of its currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// The amount in the smallest units: cents, where there are two decimals.
    pub units: i64,
    /// Number of decimals of the server's locale (`lc_monetary`): two for most currencies, none for the yen.
    pub decimals: u8,
}

impl Money {
    /// Parses PostgreSQL's text format in any locale: `-$1,234.56`, `￥1,234`, `(1.234,56 €)`. `None` for any other text.
    ///
    /// A locale chooses symbols and separators, but PostgreSQL always writes every decimal, and digits nowhere else.
    #[must_use]
    pub fn parse(text: &str, decimals: u8) -> Option<Self> {
        let mut digits = text.bytes().filter(u8::is_ascii_digit).peekable();
        digits.peek()?;
        let is_negative = text.contains(['-', '(', '\u{2212}']);
        // Negative, because the smallest value has no positive counterpart.
        let units = digits.try_fold(0_i64, |units, digit| {
            units.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))
        })?;
        Some(Self {
            units: if is_negative {
                units
            } else {
                units.checked_neg()?
            },
            decimals,
        })
    }
}

/// The number alone, with all decimals: `-1234.56`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = usize::from(self.decimals);
        let sign = if self.units < 0 { "-" } else { "" };
        let digits = format!("{:0>1$}", self.units.unsigned_abs(), decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        let point = if decimals > 0 { "." } else { "" };
        write!(f, "{sign}{whole}{point}{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn money_of_any_locale_is_the_amount() {
        // What PostgreSQL writes with lc_monetary of C, ja_JP, de_DE, de_CH, en_IN, ar_KW, en_DK, sv_SE, es_PY and nl_NL.
        for (text, decimals, amount) in [
            ("-$1,234.56", 2, "-1234.56"),
            ("￥1,234", 0, "1234"),
            ("-￥1,234", 0, "-1234"),
            ("-1.234,56 €", 2, "-1234.56"),
            ("CHF-1'234.56", 2, "-1234.56"),
            ("₹ 12,34,567.00", 2, "1234567.00"),
            ("د.ك.\u{200f} -1,234.567", 3, "-1234.567"),
            ("kr.-1.234,56", 2, "-1234.56"),
            ("1\u{202f}234,56 kr", 2, "1234.56"),
            ("(Gs. 1.234)", 0, "-1234"),
            ("€ 0,05-", 2, "-0.05"),
            ("-$92,233,720,368,547,758.08", 2, "-92233720368547758.08"),
        ] {
            let money = Money::parse(text, decimals).unwrap();
            assert_eq!(money.to_string(), amount, "{text}");
        }
        for text in ["", "$", "-", "$92,233,720,368,547,758.08"] {
            assert_eq!(Money::parse(text, 2), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_amount_is_read_back(units in any::<i64>(), decimals in 0..11_u8) {
            let money = Money { units, decimals };
            prop_assert_eq!(Money::parse(&money.to_string(), decimals), Some(money));
        }
    }
}
