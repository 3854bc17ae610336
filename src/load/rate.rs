//! How many events a second, and when each of them is due.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::timeline::{Nanos, Stamp};

const NANOS_PER_SECOND: u128 = 1_000_000_000;
/// Rates are kept in events per million seconds, so that six decimals are exact.
const SCALE: u32 = 1_000_000;
const SCALE_DIGITS: usize = 6;
/// The highest rate that is a rate; beyond it only `max` makes sense.
const HIGHEST_PER_S: u64 = 10_000_000;

/// Events a second: a positive number with up to six decimals, or `max`, as fast as the connections go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(Option<u64>);

impl Rate {
    /// As fast as the connections go.
    pub const MAX: Self = Self(None);

    /// Events a second, or `None` for [`Rate::MAX`].
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // at most 10^13: exact
    pub fn per_second(self) -> Option<f64> {
        self.0.map(|micro| micro as f64 / f64::from(SCALE))
    }

    /// How long after the start event `index` is due; zero for every event at [`Rate::MAX`]. Exact to the nanosecond for
    /// any index: nothing is added up.
    #[must_use]
    pub fn due_after(self, index: u64) -> Nanos {
        let Some(micro) = self.0 else {
            return Nanos(0);
        };
        let after = u128::from(index) * NANOS_PER_SECOND * u128::from(SCALE) / u128::from(micro);
        Nanos(i64::try_from(after).unwrap_or(i64::MAX))
    }

    /// How many events are due within `span` from the start, or `None` for [`Rate::MAX`].
    #[must_use]
    pub fn events_in(self, span: Duration) -> Option<u64> {
        let scaled = span.as_nanos().saturating_mul(u128::from(self.0?));
        let events = scaled.div_ceil(NANOS_PER_SECOND * u128::from(SCALE));
        Some(u64::try_from(events).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(micro) = self.0 else {
            return f.write_str("max");
        };
        let (whole, fraction) = (micro / u64::from(SCALE), micro % u64::from(SCALE));
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{fraction:0SCALE_DIGITS$}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// As reports carry it: a number, or `"max"`.
impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.per_second() {
            Some(rate) => serializer.serialize_f64(rate),
            None => serializer.serialize_str("max"),
        }
    }
}

/// Why a text is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseRateError {
    /// Neither a decimal number nor `max`.
    #[error("{0:?} is no rate: give events per second, such as 167 or 0.5, or \"max\"")]
    NotANumber(String),
    /// Zero, or so little that it rounds to zero.
    #[error(
        "a rate of {0} sends nothing: give at least 0.000001 events per second, or \"max\" for as fast as possible"
    )]
    Zero(String),
    /// Below zero.
    #[error("a rate of {0} is negative: give a positive number of events per second, or \"max\"")]
    Negative(String),
    /// More decimals than are kept.
    #[error("a rate of {0} has more than six decimals: round it")]
    TooFine(String),
    /// Beyond any server.
    #[error(
        "a rate of {0} is more than 10000000 events per second: use \"max\" for as fast as possible"
    )]
    TooLarge(String),
}

impl FromStr for Rate {
    type Err = ParseRateError;

    fn from_str(text: &str) -> Result<Self, ParseRateError> {
        let text = text.trim();
        if text == "max" {
            return Ok(Self::MAX);
        }
        let not_a_number = || ParseRateError::NotANumber(text.to_owned());
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !digits(whole) || !digits(fraction) {
            return Err(not_a_number());
        }
        if text.starts_with('-') {
            return Err(ParseRateError::Negative(text.to_owned()));
        }
        let fraction = fraction.trim_end_matches('0');
        let is_zero = fraction.is_empty() && whole.bytes().all(|byte| byte == b'0');
        if is_zero {
            return Err(ParseRateError::Zero(text.to_owned()));
        }
        if fraction.len() > SCALE_DIGITS {
            return Err(ParseRateError::TooFine(text.to_owned()));
        }
        let too_large = || ParseRateError::TooLarge(text.to_owned());
        format!("{whole}{fraction:0<SCALE_DIGITS$}")
            .parse::<u64>()
            .ok()
            .filter(|micro| *micro <= HIGHEST_PER_S * u64::from(SCALE))
            .map(|micro| Self(Some(micro)))
            .ok_or_else(too_large)
    }
}

/// When the transactions of a load are due: row `n` at `start + n / rate`, a transaction when its first row is.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    start: Stamp,
    rate: Rate,
}

impl Schedule {
    /// A schedule whose row 0 is due at `start`.
    #[must_use]
    pub fn new(start: Stamp, rate: Rate) -> Self {
        Self { start, rate }
    }

    /// When row 0 is due.
    #[must_use]
    pub fn start(&self) -> Stamp {
        self.start
    }

    /// When the transaction that begins with row `first_row` is due. `None` at [`Rate::MAX`]: at once, and `ts` is `t0`.
    #[must_use]
    pub fn due(&self, first_row: u64) -> Option<Stamp> {
        self.rate.0?;
        let after = self.rate.due_after(first_row);
        Some(Stamp(self.start.0.saturating_add(after.0)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    #[test]
    fn a_rate_is_a_number_or_max() {
        assert_eq!(rate("167").to_string(), "167");
        assert_eq!(rate("0.50").to_string(), "0.5");
        assert_eq!(rate(".25").to_string(), "0.25");
        assert_eq!(rate("1000.000001").to_string(), "1000.000001");
        assert_eq!(rate("max"), Rate::MAX);
        assert_eq!(Rate::MAX.to_string(), "max");
        assert_eq!(serde_json::to_string(&rate("167")).unwrap(), "167.0");
    }

    #[test]
    fn what_is_no_rate_says_why() {
        let why = |text: &str| text.parse::<Rate>().unwrap_err();
        assert!(matches!(why("0"), ParseRateError::Zero(_)));
        assert!(matches!(why("0.000"), ParseRateError::Zero(_)));
        assert!(matches!(why("-1"), ParseRateError::Negative(_)));
        assert!(matches!(why("-0.5"), ParseRateError::Negative(_)));
        assert!(matches!(why("0.0000001"), ParseRateError::TooFine(_)));
        assert!(matches!(why("10000000.1"), ParseRateError::TooLarge(_)));
        let digits = "9".repeat(400);
        assert!(matches!(why(&digits), ParseRateError::TooLarge(_)));
        for text in [
            "", "NaN", "inf", "-inf", "fast", "1e3", "1,5", ".", "-", "+-1", "1.2.3",
        ] {
            assert!(matches!(why(text), ParseRateError::NotANumber(_)), "{text}");
        }
    }

    #[test]
    fn the_schedule_does_not_drift() {
        let schedule = Schedule::new(Stamp(1_000), rate("3"));
        assert_eq!(schedule.due(0), Some(Stamp(1_000)));
        assert_eq!(schedule.due(1), Some(Stamp(333_334_333)));
        // A thousand million thirds of a second on, still exact.
        let far = 3_000_000_000;
        assert_eq!(
            schedule.due(far),
            Some(Stamp(1_000 + 1_000_000_000_000_000_000))
        );
        assert_eq!(Schedule::new(Stamp(1_000), Rate::MAX).due(7), None);
    }

    #[test]
    fn a_duration_holds_the_events_due_within_it() {
        let second = Duration::from_secs(1);
        assert_eq!(rate("167").events_in(second), Some(167));
        assert_eq!(rate("0.5").events_in(second), Some(1));
        assert_eq!(rate("0.5").events_in(Duration::from_millis(2_001)), Some(2));
        assert_eq!(rate("5").events_in(Duration::ZERO), Some(0));
        assert_eq!(Rate::MAX.events_in(second), None);
    }

    proptest! {
        #[test]
        fn a_rate_survives_its_text(micro in 1..=10_000_000_000_000_u64) {
            let rate = Rate(Some(micro));
            prop_assert_eq!(rate.to_string().parse::<Rate>().unwrap(), rate);
        }

        #[test]
        fn parsing_never_panics(text in "\\PC*") {
            let _ = text.parse::<Rate>();
        }

        #[test]
        fn due_times_ascend_and_agree_with_the_count(
            micro in 1..=10_000_000_000_000_u64,
            index in 0..1_000_000_u64,
        ) {
            let rate = Rate(Some(micro));
            let due = rate.due_after(index);
            prop_assert!(rate.due_after(index + 1) >= due);
            // Event `index` is due strictly before the end of a span that is one nanosecond longer.
            let span = Duration::from_nanos(due.0.unsigned_abs() + 1);
            prop_assert!(rate.events_in(span).unwrap() > index);
        }
    }
}
