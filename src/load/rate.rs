//! How many events a second, and when each of them is due.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use cdc_bench_model::timeline::{Nanos, Stamp};

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

    /// A whole number of events a second; zero is taken as one.
    #[must_use]
    pub fn whole(per_second: u32) -> Self {
        Self(Some(u64::from(per_second.max(1)) * u64::from(SCALE)))
    }

    /// So many times as fast, up to the highest rate there is. [`Rate::MAX`] stays as it is.
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

/// The rates a hand turns through, ascending, from one event in ten seconds.
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

/// When the transactions of a load are due: row `n` at `start + n / rate`, a transaction when its first row is. Where it
/// was changed on the way, it counts from the first row behind the change.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    start: Stamp,
    rate: Rate,
    /// The row that is due at `start`.
    first_row: u64,
}

impl Schedule {
    /// A schedule whose row 0 is due at `start`.
    #[must_use]
    pub fn new(start: Stamp, rate: Rate) -> Self {
        Self {
            start,
            rate,
            first_row: 0,
        }
    }

    /// When its first row is due: row 0, or the first behind the last change.
    #[must_use]
    pub fn start(&self) -> Stamp {
        self.start
    }

    /// The rate in force.
    #[must_use]
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// How many rows are due before `end`; all there are at [`Rate::MAX`].
    #[must_use]
    pub fn rows_before(&self, end: Stamp) -> u64 {
        let span = u64::try_from((end - self.start).0).map_or(Duration::ZERO, Duration::from_nanos);
        let more = self.rate.events_in(span).unwrap_or(u64::MAX);
        self.first_row.saturating_add(more)
    }

    /// The same schedule, later.
    #[must_use]
    pub fn moved_by(self, span: Nanos) -> Self {
        Self {
            start: self.start + span,
            ..self
        }
    }

    /// Another rate from row `first_row` on, which is due as long behind `previous_row` as the new rate says, but not
    /// before `now`.
    #[must_use]
    pub fn with_rate(
        self,
        rate: Rate,
        previous_row: Option<u64>,
        first_row: u64,
        now: Stamp,
    ) -> Self {
        let previous = previous_row.and_then(|row| Some((row, self.due(row)?)));
        let start = match previous {
            Some((row, due)) => now.max(due + rate.due_after(first_row - row)),
            None => self.due(first_row).map_or(now, |due| due.max(now)),
        };
        Self {
            start,
            rate,
            first_row,
        }
    }

    /// When the transaction that begins with row `first_row` is due. `None` at [`Rate::MAX`]: at once, and `ts` is `t0`.
    #[must_use]
    pub fn due(&self, first_row: u64) -> Option<Stamp> {
        self.rate.0?;
        let after = self
            .rate
            .due_after(first_row.saturating_sub(self.first_row));
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
    fn a_rate_times_a_factor_is_a_rate() {
        assert_eq!(Rate::whole(33), rate("33"));
        assert_eq!(rate("0.5").times(10), rate("5"));
        assert_eq!(rate("9000000").times(2), rate("10000000"));
        assert_eq!(Rate::MAX.times(3), Rate::MAX);
    }

    #[test]
    fn a_hand_turns_through_round_rates() {
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
    fn a_change_of_rate_counts_from_the_row_before_it() {
        let slow = Schedule::new(Stamp(0), rate("1"));
        let second = Nanos::from_millis(1_000);
        // Row 4 was due at 4 s; half a second later rows come ten times as fast.
        let now = Stamp(0) + Nanos::from_millis(4_050);
        let fast = slow.with_rate(rate("10"), Some(4), 5, now);
        assert_eq!(fast.due(5), Some(Stamp(4_100_000_000)));
        assert_eq!(fast.due(15), Some(Stamp(5_100_000_000)));
        // Where the new interval is over already, it begins now and not in the past.
        let late = Stamp(0) + Nanos::from_millis(4_500);
        assert_eq!(
            slow.with_rate(rate("10"), Some(4), 5, late).due(5),
            Some(late)
        );
        assert_eq!(fast.moved_by(second).due(5), Some(Stamp(5_100_000_000)));
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
