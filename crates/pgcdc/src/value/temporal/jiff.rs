//! The types of `jiff`.

use jiff::civil::{Date, DateTime, Time};
use jiff::{Span, Timestamp};

use super::since_epoch::{self, from_number};
use crate::value::FromValue;
use crate::{Column, Interval};

fn date(days: i64) -> Option<Date> {
    let (year, month, day) = since_epoch::date(days)?;
    Date::new(year, month, day).ok()
}

fn time(micros: i64) -> Option<Time> {
    let (hour, minute, second, micro): (_, _, _, i32) = since_epoch::time(micros)?;
    Time::new(hour, minute, second, micro * 1_000).ok()
}

fn date_time(micros: i64) -> Option<DateTime> {
    let (day, micros) = since_epoch::day_and_time(micros);
    Some(DateTime::from_parts(date(day)?, time(micros)?))
}

fn instant(micros: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(since_epoch::unix_micros(micros)?).ok()
}

from_number!(
    Date, "a date of jiff", DATE, date;
    Time, "a time of jiff, which ends before 24:00", TIME, time;
    DateTime, "a date and time of jiff", TIMESTAMP, date_time;
    Timestamp, "an instant of jiff", TIMESTAMPTZ, instant
);

/// An interval whose parts all have the same sign, as those of a span do.
impl<'a> FromValue<'a> for Span {
    const NAME: &'static str = "a span of jiff, whose parts have one sign";

    fn from_text(text: &'a str, column: &Column) -> Option<Self> {
        span(<Interval as FromValue<'_>>::from_text(text, column)?)
    }

    fn from_binary(bytes: &'a [u8], column: &Column) -> Option<Self> {
        span(<Interval as FromValue<'_>>::from_binary(bytes, column)?)
    }
}

fn span(interval: Interval) -> Option<Span> {
    let signs = [
        i64::from(interval.months).signum(),
        i64::from(interval.days).signum(),
        interval.micros.signum(),
    ];
    if signs.contains(&1) && signs.contains(&-1) {
        return None;
    }
    let months = Span::new().try_months(interval.months).ok()?;
    let days = months.try_days(interval.days).ok()?;
    days.try_microseconds(interval.micros).ok()
}
