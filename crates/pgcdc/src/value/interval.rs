//! PostgreSQL's `interval`.

use std::fmt;

use crate::value::calendar::{parse_time, write_time};

/// An `interval`. Months, days and microseconds stand side by side: a month has no fixed number of days, and a day none of hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interval {
    /// Months; twelve of them are written as a year.
    pub months: i32,
    /// Days.
    pub days: i32,
    /// Microseconds.
    pub micros: i64,
}

impl Interval {
    /// `infinity` (PostgreSQL 17 and later).
    pub const INFINITY: Self = Self {
        months: i32::MAX,
        days: i32::MAX,
        micros: i64::MAX,
    };
    /// `-infinity`.
    pub const NEGATIVE_INFINITY: Self = Self {
        months: i32::MIN,
        days: i32::MIN,
        micros: i64::MIN,
    };

    /// Parses PostgreSQL's text format (`intervalstyle` postgres): `1 year 2 mons -3 days 04:05:06.7`. `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "infinity" => return Some(Self::INFINITY),
            "-infinity" => return Some(Self::NEGATIVE_INFINITY),
            "" => return None,
            _ => {}
        }
        let mut read = Self {
            months: 0,
            days: 0,
            micros: 0,
        };
        let mut words = text.split(' ');
        while let Some(word) = words.next() {
            if word.contains(':') {
                let (time, is_negative) = match word.strip_prefix('-') {
                    Some(time) => (time, true),
                    None => (word.strip_prefix('+').unwrap_or(word), false),
                };
                let micros = parse_time(time)?;
                read.micros = if is_negative { -micros } else { micros };
                return words.next().is_none().then_some(read);
            }
            let count: i32 = word.parse().ok()?;
            match words.next()?.trim_end_matches('s') {
                "year" => read.months = count.checked_mul(12)?,
                "mon" => read.months = read.months.checked_add(count)?,
                "day" => read.days = count,
                _ => return None,
            }
        }
        Some(read)
    }

    /// From binary format.
    pub(crate) fn from_binary(bytes: &[u8]) -> Option<Self> {
        let (micros, rest) = bytes.split_first_chunk()?;
        let (days, months) = rest.split_first_chunk()?;
        Some(Self {
            months: i32::from_be_bytes(months.try_into().ok()?),
            days: i32::from_be_bytes(*days),
            micros: i64::from_be_bytes(*micros),
        })
    }
}

/// PostgreSQL's text format.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::INFINITY => return f.write_str("infinity"),
            Self::NEGATIVE_INFINITY => return f.write_str("-infinity"),
            _ => {}
        }
        let parts = [
            (self.months / 12, "year"),
            (self.months % 12, "mon"),
            (self.days, "day"),
        ];
        let mut separator = "";
        let mut is_negative = false;
        for (count, unit) in parts.into_iter().filter(|(count, _)| *count != 0) {
            let sign = if is_negative && count > 0 { "+" } else { "" };
            let plural = if count == 1 { "" } else { "s" };
            write!(f, "{separator}{sign}{count} {unit}{plural}")?;
            separator = " ";
            is_negative = count < 0;
        }
        if self.micros == 0 && !separator.is_empty() {
            return Ok(());
        }
        let sign = match self.micros {
            ..0 => "-",
            _ if is_negative => "+",
            _ => "",
        };
        let mut time = String::new();
        write_time(&mut time, self.micros.unsigned_abs());
        write!(f, "{separator}{sign}{time}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn intervals_are_written_as_postgresql_does() {
        // Each as PostgreSQL 18 answers.
        for (months, days, micros, text) in [
            (0, 0, 0, "00:00:00"),
            (14, -3, 14_706_700_000, "1 year 2 mons -3 days +04:05:06.7"),
            (-14, 1, -1, "-1 years -2 mons +1 day -00:00:00.000001"),
            (1, 0, 360_000_000_000, "1 mon 100:00:00"),
            (0, 2, 0, "2 days"),
        ] {
            let interval = Interval {
                months,
                days,
                micros,
            };
            assert_eq!(interval.to_string(), text);
            assert_eq!(Interval::parse(text), Some(interval));
        }
        for text in [
            "",
            "1",
            "1 fortnight",
            "x days",
            "00:00:00 1 day",
            "1 day ",
            "99999999999 days",
        ] {
            assert_eq!(Interval::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_interval_is_read_back(months: i32, days: i32, micros in -i64::MAX..i64::MAX) {
            let interval = Interval { months, days, micros };
            prop_assert_eq!(Interval::parse(&interval.to_string()), Some(interval));
        }
    }
}
