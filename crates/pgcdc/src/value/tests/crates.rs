//! Conversion to the types of other crates.
#![cfg(any(
    feature = "chrono",
    feature = "jiff",
    feature = "time",
    feature = "bigdecimal",
    feature = "rust_decimal"
))]

use super::of;
#[cfg(feature = "jiff")]
use crate::Column;
use crate::FromValue;
use crate::pgoutput::Value;

/// A value's conversion from both formats, which is the same.
fn both<T>(type_name: &str, text: &str, binary: &[u8]) -> Option<T>
where
    T: for<'a> FromValue<'a> + PartialEq + std::fmt::Debug,
{
    let from_text = of::<T>(Value::Text(text), type_name);
    let from_binary = of::<T>(Value::Binary(binary), type_name);
    for error in [&from_text, &from_binary]
        .into_iter()
        .filter_map(|read| read.as_ref().err())
    {
        let words = error.to_string();
        assert!(
            words.contains(&format!("{text:?}")) && words.contains(T::NAME),
            "{words}"
        );
    }
    assert_eq!(from_text.as_ref().ok(), from_binary.as_ref().ok());
    from_text.ok().flatten()
}

/// Values of a day, an instant and a time, and those that only PostgreSQL has.
#[cfg(any(feature = "chrono", feature = "jiff", feature = "time"))]
fn dates_and_times<Date, Time, DateTime, Instant>(shown: [&str; 4])
where
    Date: for<'a> FromValue<'a> + PartialEq + std::fmt::Debug + ToString,
    Time: for<'a> FromValue<'a> + PartialEq + std::fmt::Debug + ToString,
    DateTime: for<'a> FromValue<'a> + PartialEq + std::fmt::Debug + ToString,
    Instant: for<'a> FromValue<'a> + PartialEq + std::fmt::Debug + ToString,
{
    let micros = 59 * 86_400_000_000 + 43_200_500_000_i64;
    let at = micros.to_be_bytes();
    let time = 43_200_500_000_i64.to_be_bytes();
    let date = both::<Date>("date", "2000-02-29", &59_i32.to_be_bytes());
    assert_eq!(date.unwrap().to_string(), shown[0]);
    let time = both::<Time>("time", "12:00:00.5", &time);
    assert_eq!(time.unwrap().to_string(), shown[1]);
    let date_time = both::<DateTime>("timestamp", "2000-02-29 12:00:00.5", &at);
    assert_eq!(date_time.unwrap().to_string(), shown[2]);
    let instant = both::<Instant>("timestamptz", "2000-02-29 12:00:00.5+00", &at);
    assert_eq!(instant.unwrap().to_string(), shown[3]);
    assert_eq!(
        both::<Date>("date", "infinity", &i32::MAX.to_be_bytes()),
        None
    );
    assert_eq!(
        both::<Date>("date", "5874897-12-31", &2_145_031_948_i32.to_be_bytes()),
        None
    );
    assert_eq!(
        both::<Time>("time", "24:00:00", &86_400_000_000_i64.to_be_bytes()),
        None
    );
    assert_eq!(
        both::<DateTime>("timestamp", "-infinity", &i64::MIN.to_be_bytes()),
        None
    );
    assert_eq!(
        both::<Instant>("timestamptz", "infinity", &i64::MAX.to_be_bytes()),
        None
    );
    // The year 44 before Christ is the year -43.
    let ides = both::<Date>("date", "0044-03-15 BC", &(-746_117_i32).to_be_bytes()).unwrap();
    assert!(
        ides.to_string().contains("43-03-15"),
        "{}",
        ides.to_string()
    );
}

#[cfg(feature = "jiff")]
#[test]
fn dates_and_times_of_jiff() {
    use jiff::{Span, Timestamp, civil};
    dates_and_times::<civil::Date, civil::Time, civil::DateTime, Timestamp>([
        "2000-02-29",
        "12:00:00.5",
        "2000-02-29T12:00:00.5",
        "2000-02-29T12:00:00.5Z",
    ]);
    let interval = |micros: i64, days: i32, months: i32| {
        [
            &micros.to_be_bytes()[..],
            &days.to_be_bytes(),
            &months.to_be_bytes(),
        ]
        .concat()
    };
    let span = both::<SpanByFields>(
        "interval",
        "1 year 2 days 00:00:01.5",
        &interval(1_500_000, 2, 12),
    );
    assert_eq!(
        span,
        Some(SpanByFields(
            Span::new().months(12).days(2).microseconds(1_500_000)
        ))
    );
    assert_eq!(
        both::<SpanByFields>("interval", "1 mon -2 days", &interval(0, -2, 1)),
        None
    );
    let infinite = interval(i64::MAX, i32::MAX, i32::MAX);
    assert_eq!(
        both::<SpanByFields>("interval", "infinity", &infinite),
        None
    );
}

/// Spans are not compared by jiff: a day has no fixed length.
#[cfg(feature = "jiff")]
#[derive(Debug)]
struct SpanByFields(jiff::Span);

#[cfg(feature = "jiff")]
impl PartialEq for SpanByFields {
    fn eq(&self, other: &Self) -> bool {
        self.0.fieldwise() == other.0.fieldwise()
    }
}

#[cfg(feature = "jiff")]
impl<'a> FromValue<'a> for SpanByFields {
    const NAME: &'static str = <jiff::Span as FromValue<'_>>::NAME;

    fn from_text(text: &'a str, column: &Column) -> Option<Self> {
        jiff::Span::from_text(text, column).map(Self)
    }

    fn from_binary(bytes: &'a [u8], column: &Column) -> Option<Self> {
        jiff::Span::from_binary(bytes, column).map(Self)
    }
}

#[cfg(feature = "chrono")]
#[test]
fn dates_and_times_of_chrono() {
    use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
    dates_and_times::<NaiveDate, NaiveTime, NaiveDateTime, DateTime<Utc>>([
        "2000-02-29",
        "12:00:00.500",
        "2000-02-29 12:00:00.500",
        "2000-02-29 12:00:00.500 UTC",
    ]);
}

#[cfg(feature = "time")]
#[test]
fn dates_and_times_of_time() {
    use time::{Date, OffsetDateTime, PrimitiveDateTime, Time};
    dates_and_times::<Date, Time, PrimitiveDateTime, OffsetDateTime>([
        "2000-02-29",
        "12:00:00.5",
        "2000-02-29 12:00:00.5",
        "2000-02-29 12:00:00.5 +00:00:00",
    ]);
}

#[cfg(any(feature = "bigdecimal", feature = "rust_decimal"))]
fn decimals<T>()
where
    T: for<'a> FromValue<'a> + PartialEq + std::fmt::Debug + ToString,
{
    // Two digits to the base of 10,000, the first of which is the whole part; two decimals.
    let number = [0, 2, 0, 0, 0x40, 0, 0, 2, 0, 12, 0x13, 0x88];
    let decimal = both::<T>("numeric", "-12.50", &number).unwrap();
    assert_eq!(decimal.to_string(), "-12.50");
    let nan = [0, 0, 0, 0, 0xc0, 0, 0, 0];
    assert_eq!(both::<T>("numeric", "NaN", &nan), None);
}

#[cfg(feature = "bigdecimal")]
#[test]
fn decimals_of_bigdecimal() {
    decimals::<bigdecimal::BigDecimal>();
}

#[cfg(feature = "rust_decimal")]
#[test]
fn decimals_of_rust_decimal_are_exact_or_an_error() {
    decimals::<rust_decimal::Decimal>();
    let long = Value::Text("0.12345678901234567890123456789");
    assert!(of::<rust_decimal::Decimal>(long, "numeric").is_err());
}
