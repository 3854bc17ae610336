//! The types of `time`.

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

use super::since_epoch::{self, from_number};

fn date(days: i64) -> Option<Date> {
    let (year, month, day): (_, u8, _) = since_epoch::date(days)?;
    Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()
}

fn time(micros: i64) -> Option<Time> {
    let (hour, minute, second, micro) = since_epoch::time(micros)?;
    Time::from_hms_micro(hour, minute, second, micro).ok()
}

fn date_time(micros: i64) -> Option<PrimitiveDateTime> {
    let (day, micros) = since_epoch::day_and_time(micros);
    Some(PrimitiveDateTime::new(date(day)?, time(micros)?))
}

fn instant(micros: i64) -> Option<OffsetDateTime> {
    let micros = i128::from(since_epoch::unix_micros(micros)?);
    OffsetDateTime::from_unix_timestamp_nanos(micros * 1_000).ok()
}

from_number!(
    Date, "a date of time", DATE, date;
    Time, "a time of time, which ends before 24:00", TIME, time;
    PrimitiveDateTime, "a date and time of time", TIMESTAMP, date_time;
    OffsetDateTime, "an instant of time", TIMESTAMPTZ, instant
);
