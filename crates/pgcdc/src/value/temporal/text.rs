//! Dates and times of PostgreSQL's text format as numbers; nothing for what is infinite.

use crate::value::calendar::{EPOCH, ERA, MICROS_PER_DAY, civil, days_before, number, parse_time};

/// Days since 2000-01-01 of a date; `None` when there is no such date.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let of_march = year - i64::from(month <= 2);
    let (era, year_of_era) = (of_march.div_euclid(400), of_march.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * ERA + days_before(year_of_era) + day_of_year - EPOCH;
    (civil(days) == (year, month, day)).then_some(days)
}

/// Days since 2000-01-01 of a `date` that is not infinite.
pub(super) fn parse_date(text: &str) -> Option<i64> {
    let (date, is_before) = match text.strip_suffix(" BC") {
        Some(date) => (date, true),
        None => (text, false),
    };
    let (year, date) = date.split_once('-')?;
    let (month, day) = date.split_once('-')?;
    let year = number(year)?;
    let year = if is_before { 1 - year } else { year };
    let (month, day) = (number(month)?, number(day)?);
    let is_month = (1..=12).contains(&month) && (1..=31).contains(&day);
    is_month.then(|| days(year, month, day)).flatten()
}

/// Microseconds since 2000-01-01 of a `timestamp` that is not infinite.
pub(super) fn parse_timestamp(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(' ')?;
    let (time, date) = match time.strip_suffix(" BC") {
        Some(time) => (time, &*format!("{date} BC")),
        None => (time, date),
    };
    let micros = parse_time(time).filter(|micros| *micros <= MICROS_PER_DAY)?;
    let days = parse_date(date)?;
    days.checked_mul(MICROS_PER_DAY)?.checked_add(micros)
}

/// Microseconds since 2000-01-01 UTC of a `timestamptz` that is not infinite, written in UTC.
pub(super) fn parse_timestamptz(text: &str) -> Option<i64> {
    match text.strip_suffix(" BC") {
        Some(before) => parse_timestamp(&format!("{} BC", before.strip_suffix("+00")?)),
        None => parse_timestamp(text.strip_suffix("+00")?),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::calendar::{write_date, write_timestamp};

    fn written(write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn what_is_no_date_or_time_is_refused() {
        for text in [
            "infinity",
            "",
            "2000-02-30",
            "2001-02-29",
            "2000-13-01",
            "2000-1",
            "-1-01-01",
            "2000-01-01 AD",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
        for text in ["", "12:00", "12:60:00", "12:00:00.1234567", "-12:00:00"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
        for text in [
            "2000-01-01",
            "2000-01-01 25:00:00",
            "-infinity",
            "999999999999-01-01 00:00:00",
        ] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
        assert_eq!(parse_timestamptz("2000-01-01 00:00:00+01"), None);
    }

    proptest! {
        #[test]
        fn dates_and_times_are_read_back(days in -2_451_545..2_145_031_949_i32, micros in -211_813_488_000_000_000..9_223_371_331_200_000_000_i64) {
            prop_assert_eq!(parse_date(&written(|out| write_date(out, days))), Some(days.into()));
            let text = written(|out| write_timestamp(out, micros, ""));
            prop_assert_eq!(parse_timestamp(&text), Some(micros));
            let text = written(|out| write_timestamp(out, micros, "+00"));
            prop_assert_eq!(parse_timestamptz(&text), Some(micros));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in "[-0-9: .BCäinfty+]{0,30}") {
            let _ = (parse_date(&text), parse_time(&text), parse_timestamptz(&text), parse_timestamp(&text));
        }
    }
}
