//! How many events a second.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use cdc_bench_model::timeline::Nanos;

const NANOS_PER_SECOND: u128 = 1_000_000_000;
/// Rates are stored in events per million seconds, so that six decimals are exact.
const SCALE: u32 = 1_000_000;
const SCALE_DIGITS: usize = 6;
/// The highest rate; beyond it only `max` makes sense.
const HIGHEST_PER_S: u64 = 10_000_000;

/// Events a second: a positive number with up to six decimals, or `max`, as fast as the connections allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(Option<u64>);

impl Rate {
    /// As fast as the connections allow.
    pub const MAX: Self = Self(None);

    /// A whole number of events a second; zero is taken as one.
    #[must_use]
    pub fn whole(per_second: u32) -> Self {
        Self(Some(u64::from(per_second.max(1)) * u64::from(SCALE)))
    }

    /// The rate times `factor`, up to the highest rate there is. [`Rate::MAX`] stays as it is.
    #[must_use]
    pub fn times(self, factor: u32) -> Self {
        let highest = HIGHEST_PER_S * u64::from(SCALE);
        Self(
            self.0
                .map(|micro| (micro * u64::from(factor.max(1))).min(highest)),
        )
    }

    /// Events a second, or `None` for [`Rate::MAX`].
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // at most 10^13: exact
    pub fn per_second(self) -> Option<f64> {
        self.0.map(|micro| micro as f64 / f64::from(SCALE))
    }

    /// How long after the start event `index` is due; zero for every event at [`Rate::MAX`]. Exact to the nanosecond for
    /// any index, because it is not a sum of intervals.
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

    /// The next higher rate of 1, 1.5, 2, 3, 5, 7 times a power of ten; the same at [`Rate::MAX`] and at the highest.
    #[must_use]
    pub fn step_up(self) -> Self {
        let above = |micro: u64| round_rates().find(|rate| *rate > micro);
        self.0.map_or(self, |micro| {
            above(micro).map_or(self, |micro| Self(Some(micro)))
        })
    }

    /// The next lower one; the same at [`Rate::MAX`] and at the lowest.
    #[must_use]
    pub fn step_down(self) -> Self {
        let below = |micro: u64| round_rates().take_while(|rate| *rate < micro).last();
        self.0.map_or(self, |micro| {
            below(micro).map_or(self, |micro| Self(Some(micro)))
        })
    }
}

/// The rates of [`Rate::step_up`] and [`Rate::step_down`], ascending, from one event in ten seconds.
fn round_rates() -> impl Iterator<Item = u64> {
    let decades = std::iter::successors(Some(u64::from(SCALE) / 100), |unit| unit.checked_mul(10));
    decades
        .flat_map(|unit| [10, 15, 20, 30, 50, 70].map(|part| unit * part))
        .take_while(|micro| *micro <= HIGHEST_PER_S * u64::from(SCALE))
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

/// Why a text is not a rate.
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
    /// More decimals than are stored.
    #[error("a rate of {0} has more than six decimals: round it")]
    TooFine(String),
    /// More than any server can take.
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
    fn what_is_not_a_rate_says_why() {
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
    fn a_rate_times_a_factor_is_a_rate() {
        assert_eq!(Rate::whole(33), rate("33"));
        assert_eq!(rate("0.5").times(10), rate("5"));
        assert_eq!(rate("9000000").times(2), rate("10000000"));
        assert_eq!(Rate::MAX.times(3), Rate::MAX);
    }

    #[test]
    fn steps_go_through_round_rates() {
        let up = |text: &str| rate(text).step_up().to_string();
        let down = |text: &str| rate(text).step_down().to_string();
        assert_eq!(
            (up("167"), down("167")),
            ("200".to_owned(), "150".to_owned())
        );
        assert_eq!((up("1"), down("1")), ("1.5".to_owned(), "0.7".to_owned()));
        assert_eq!(down("0.1"), "0.1", "the lowest");
        assert_eq!(up("10000000"), "10000000", "the highest");
        assert_eq!(Rate::MAX.step_down(), Rate::MAX);
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
