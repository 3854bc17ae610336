//! Dates and times as PostgreSQL counts them, and as it writes them (`datestyle` ISO, `timezone` UTC).

use std::fmt::Write;

/// Days from 0000-03-01 to 2000-01-01.
pub(crate) const EPOCH: i64 = 730_425;
/// Days of 400 years.
pub(crate) const ERA: i64 = 146_097;
const MICROS_PER_SECOND: i64 = 1_000_000;
pub(crate) const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// Year, month and day of a number of days since 2000-01-01. The year before 1 is 0. Years begin in March here, so that a leap
/// day is the last of its year.
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    let since = days + EPOCH;
    let (era, day_of_era) = (since.div_euclid(ERA), since.rem_euclid(ERA));
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - days_before(year_of_era);
    let month_of_year = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_of_year + 2) / 5 + 1;
    let month = (month_of_year + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

/// Days of an era before this year of it.
pub(crate) fn days_before(year_of_era: i64) -> i64 {
    365 * year_of_era + year_of_era / 4 - year_of_era / 100
}

/// Writes a date of these days since 2000-01-01, without its era. True when it is before Christ.
fn write_civil(out: &mut String, days: i64) -> bool {
    let (year, month, day) = civil(days);
    let is_before = year < 1;
    let year = if is_before { 1 - year } else { year };
    // Writing to a string cannot fail.
    let _ = write!(out, "{year:04}-{month:02}-{day:02}");
    is_before
}

/// Writes a `date`.
pub(crate) fn write_date(out: &mut String, days: i32) {
    match days {
        i32::MAX => out.push_str("infinity"),
        i32::MIN => out.push_str("-infinity"),
        days => {
            if write_civil(out, days.into()) {
                out.push_str(" BC");
            }
        }
    }
}

/// Writes a `time`, or the hours, minutes and seconds of an interval.
pub(crate) fn write_time(out: &mut String, micros: u64) {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let _ = write!(out, "{hours:02}:{minutes:02}:{seconds:02}");
    if fraction > 0 {
        let fraction = format!(".{fraction:06}");
        out.push_str(fraction.trim_end_matches('0'));
    }
}

/// Writes a `timestamp`, or a `timestamptz` with the zone "+00".
pub(crate) fn write_timestamp(out: &mut String, micros: i64, zone: &str) {
    match micros {
        i64::MAX => return out.push_str("infinity"),
        i64::MIN => return out.push_str("-infinity"),
        _ => {}
    }
    let is_before = write_civil(out, micros.div_euclid(MICROS_PER_DAY));
    out.push(' ');
    write_time(out, micros.rem_euclid(MICROS_PER_DAY).unsigned_abs());
    out.push_str(zone);
    if is_before {
        out.push_str(" BC");
    }
}

/// Writes the offset of a `timetz`, in seconds west of UTC.
pub(crate) fn write_offset(out: &mut String, west: i32) {
    let seconds = west.unsigned_abs();
    let sign = if west > 0 { '-' } else { '+' };
    let _ = write!(out, "{sign}{:02}", seconds / 3_600);
    if !seconds.is_multiple_of(3_600) {
        let _ = write!(out, ":{:02}", seconds / 60 % 60);
    }
    if !seconds.is_multiple_of(60) {
        let _ = write!(out, ":{:02}", seconds % 60);
    }
}

/// Microseconds of a `time`, up to 24:00:00, or of the hours, minutes and seconds of an interval.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let (hours, rest) = text.split_once(':')?;
    let (minutes, seconds) = rest.split_once(':')?;
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    if fraction.len() > 6 {
        return None;
    }
    let fraction = number(&format!("{fraction:0<6}"))?;
    let (minutes, seconds) = (number(minutes)?, number(seconds)?);
    if minutes > 59 || seconds > 59 {
        return None;
    }
    let minutes = number(hours)?.checked_mul(60)?.checked_add(minutes)?;
    let seconds = minutes.checked_mul(60)?.checked_add(seconds)?;
    seconds
        .checked_mul(MICROS_PER_SECOND)?
        .checked_add(fraction)
}

/// Digits alone: no sign.
pub(crate) fn number(digits: &str) -> Option<i64> {
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn dates_and_times_are_written_as_postgresql_does() {
        // Each as PostgreSQL 18 answers.
        for (days, text) in [
            (0, "2000-01-01"),
            (-1, "1999-12-31"),
            (59, "2000-02-29"),
            (-730_119, "0001-01-01"),
            (-730_120, "0001-12-31 BC"),
            (-2_451_545, "4714-11-24 BC"),
            (2_145_031_948, "5874897-12-31"),
            (i32::MAX, "infinity"),
            (i32::MIN, "-infinity"),
        ] {
            assert_eq!(written(|out| write_date(out, days)), text);
        }
        for (micros, text) in [
            (0, "2000-01-01 00:00:00+00"),
            (-1, "1999-12-31 23:59:59.999999+00"),
            (1_500_000, "2000-01-01 00:00:01.5+00"),
            (-63_113_904_000_000_000, "0001-01-01 00:00:00+00 BC"),
            (i64::MAX, "infinity"),
        ] {
            assert_eq!(written(|out| write_timestamp(out, micros, "+00")), text);
        }
        for (west, text) in [
            (-7_200, "+02"),
            (12_600, "-03:30"),
            (-19_815, "+05:30:15"),
            (0, "+00"),
        ] {
            assert_eq!(written(|out| write_offset(out, west)), text);
        }
    }
}
