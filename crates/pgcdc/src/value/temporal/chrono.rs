//! The types of `chrono`.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};

use super::since_epoch::{self, from_number};

fn date(days: i64) -> Option<NaiveDate> {
    let (year, month, day) = since_epoch::date(days)?;
    NaiveDate::from_ymd_opt(year, month, day)
}

fn time(micros: i64) -> Option<NaiveTime> {
    let (hour, minute, second, micro) = since_epoch::time(micros)?;
    NaiveTime::from_hms_micro_opt(hour, minute, second, micro)
}

fn date_time(micros: i64) -> Option<NaiveDateTime> {
    let (day, micros) = since_epoch::day_and_time(micros);
    Some(NaiveDateTime::new(date(day)?, time(micros)?))
}

fn instant(micros: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(since_epoch::unix_micros(micros)?)
}

from_number!(
    NaiveDate, "a date of chrono", DATE, date;
    NaiveTime, "a time of chrono, which ends before 24:00", TIME, time;
    NaiveDateTime, "a date and time of chrono", TIMESTAMP, date_time;
    DateTime<Utc>, "an instant of chrono", TIMESTAMPTZ, instant
);
