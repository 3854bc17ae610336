//! Dates, times and intervals of PostgreSQL's ISO text format, in the units of Debezium's types.

const MICROS_OF_DAY: i64 = 86_400_000_000;
/// `infinity` and `-infinity` as Debezium writes them: the milliseconds of its driver, taken as the field's own unit.
const INFINITIES: (i64, i64) = (9_223_372_036_825_200_000, -9_223_372_036_832_400_000);
/// The same for a `date`, days.
const INFINITE_DAYS: (i64, i64) = (-2_147_472_692, -2_147_472_691);
/// Length of an average month, days.
const DAYS_OF_MONTH: f64 = 365.25 / 12.0;

/// A date and a time of day.
struct DateAndTime<'a> {
    year: i64,
    month: i64,
    day: i64,
    time: &'a str,
}

/// Parses `2026-11-24 12:34:56.789+00 BC`; time, offset and era are optional.
fn date_and_time(text: &str) -> Option<DateAndTime<'_>> {
    let (text, is_bc) = match text.strip_suffix(" BC") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let (date, time) = text.split_once(' ').unwrap_or((text, "00:00:00"));
    let mut parts = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let fits =
        (0..=6_000_000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    (fits && parts.next().is_none()).then_some(DateAndTime {
        // There is no year 0: 1 BC comes before 1.
        year: if is_bc { 1 - year } else { year },
        month,
        day,
        time,
    })
}

impl DateAndTime<'_> {
    /// Days since 1970-01-01 in the proleptic Gregorian calendar.
    ///
    /// By hand, because PostgreSQL's dates reach from 4713 BC to the year 5874897, and the calendar crates that were considered
    /// (jiff, time, chrono) do not cover that range.
    fn days(&self) -> i64 {
        // Counted from March, a year has its leap day last.
        let year = if self.month <= 2 {
            self.year - 1
        } else {
            self.year
        };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * ((self.month + 9) % 12) + 2) / 5 + self.day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }
}

/// `io.debezium.time.Date`: days since 1970-01-01.
pub(super) fn days(text: &str) -> Option<i64> {
    match text {
        "infinity" => Some(INFINITE_DAYS.0),
        "-infinity" => Some(INFINITE_DAYS.1),
        text => date_and_time(text).map(|parsed| parsed.days()),
    }
}

/// Microseconds of the day of a time without a zone: `12:34:56.789012`.
pub(super) fn micros_of_day(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = whole.split(':').map(|part| part.parse::<i64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    let fits =
        (0..=24).contains(&hours) && (0..60).contains(&minutes) && (0..=60).contains(&seconds);
    if !fits || parts.next().is_some() {
        return None;
    }
    Some(((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros_of_fraction(fraction)?)
}

/// Microseconds of up to six digits after the point.
fn micros_of_fraction(digits: &str) -> Option<i64> {
    if digits.len() > 6 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{digits:0<6}").parse().ok()
}

/// Microseconds since 1970-01-01. A timestamp that does not fit overflows as in Debezium.
pub(super) fn timestamp_micros(text: &str) -> Option<i64> {
    match text {
        "infinity" => return Some(INFINITIES.0),
        "-infinity" => return Some(INFINITIES.1),
        _ => {}
    }
    let parsed = date_and_time(text)?;
    let of_day = micros_of_day(parsed.time)?;
    let seconds = parsed.days() * 86_400 + of_day.div_euclid(1_000_000);
    Some(
        seconds
            .saturating_mul(1_000_000)
            .wrapping_add(of_day.rem_euclid(1_000_000)),
    )
}

/// `io.debezium.time.ZonedTimestamp`: ISO 8601 in UTC, with the column's number of fractional digits.
pub(super) fn zoned_timestamp(text: &str, modifier: i32) -> String {
    let Some(parsed) = date_and_time(text) else {
        // `infinity` and `-infinity` keep their names.
        return text.to_owned();
    };
    // The session's zone is UTC: the offset is always +00.
    let time = parsed.time.strip_suffix("+00").unwrap_or(parsed.time);
    let (whole, fraction) = time.split_once('.').unwrap_or((time, ""));
    let digits = usize::try_from(modifier).unwrap_or(6).min(6);
    let year = match parsed.year {
        year @ 0..=9_999 => format!("{year:04}"),
        year if year > 0 => format!("+{year}"),
        year => format!("-{:04}", -year),
    };
    let (month, day) = (parsed.month, parsed.day);
    if digits == 0 {
        return format!("{year}-{month:02}-{day:02}T{whole}Z");
    }
    format!("{year}-{month:02}-{day:02}T{whole}.{fraction:0<digits$}Z")
}

/// `io.debezium.time.ZonedTime`: ISO 8601 in UTC, without trailing zeros.
pub(super) fn zoned_time(text: &str) -> String {
    let parsed = || {
        let at = text.rfind(['+', '-'])?;
        let (time, offset) = text.split_at(at);
        let negative = offset.starts_with('-');
        let mut parts = offset[1..].split(':').map(|part| part.parse::<i64>().ok());
        let hours = parts.next()??;
        let (minutes, seconds) = (
            parts.next().unwrap_or(Some(0))?,
            parts.next().unwrap_or(Some(0))?,
        );
        if [hours, minutes, seconds]
            .iter()
            .any(|part| !(0..60).contains(part))
        {
            return None;
        }
        let offset = (hours * 3_600 + minutes * 60 + seconds) * 1_000_000;
        Some((
            micros_of_day(time)?,
            if negative { -offset } else { offset },
        ))
    };
    let Some((micros, offset)) = parsed() else {
        return text.to_owned();
    };
    let micros = (micros - offset).rem_euclid(MICROS_OF_DAY);
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let whole = format!(
        "{:02}:{:02}:{:02}",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    );
    if fraction == 0 {
        return format!("{whole}Z");
    }
    let fraction = format!("{fraction:06}");
    format!("{whole}.{}Z", fraction.trim_end_matches('0'))
}

/// `io.debezium.time.MicroDuration`: microseconds, with months of average length. Parses the interval style `postgres`:
/// `1 year 2 mons -3 days 04:05:06.789`.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
pub(super) fn interval_micros(text: &str) -> Option<i64> {
    let (mut months, mut days, mut micros) = (0.0, 0.0, 0_i64);
    let mut words = text.split_ascii_whitespace();
    while let Some(word) = words.next() {
        if word.contains(':') {
            let (negative, time) = match word.strip_prefix('-') {
                Some(time) => (true, time),
                None => (false, word.strip_prefix('+').unwrap_or(word)),
            };
            let of_time = interval_time(time)?;
            micros = if negative { -of_time } else { of_time };
            continue;
        }
        let count = word.parse::<i64>().ok()? as f64;
        match words.next()? {
            "year" | "years" => months += count * 12.0,
            "mon" | "mons" => months += count,
            "day" | "days" => days += count,
            _ => return None,
        }
    }
    let seconds = (months * DAYS_OF_MONTH + days) * 86_400.0 + micros as f64 / 1e6;
    // Saturates, as in Java.
    Some((seconds * 1e6).round() as i64)
}

/// Time of an interval, microseconds: its hours are not limited to a day.
fn interval_time(text: &str) -> Option<i64> {
    let (hours, rest) = text.split_once(':')?;
    let hours: i64 = hours.parse().ok()?;
    let rest = micros_of_day(&format!("00:{rest}"))?;
    hours.checked_mul(3_600_000_000)?.checked_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970_in_both_directions() {
        assert_eq!(days("1970-01-01"), Some(0));
        assert_eq!(days("2026-11-24"), Some(20_781));
        assert_eq!(days("1969-12-31"), Some(-1));
        assert_eq!(days("2000-02-29"), Some(11_016));
        assert_eq!(days("0044-03-15 BC"), Some(-735_160));
        assert_eq!(days("5874897-12-31"), Some(2_145_042_905));
        assert_eq!(days("nonsense"), None);
    }

    #[test]
    fn timestamps_are_microseconds() {
        assert_eq!(
            timestamp_micros("2026-11-24 12:34:56.789012"),
            Some(1_795_523_696_789_012)
        );
        assert_eq!(timestamp_micros("1969-12-31 23:59:59.999999"), Some(-1));
        assert_eq!(micros_of_day("24:00:00"), Some(86_400_000_000));
        assert_eq!(micros_of_day("12:34:56.5"), Some(45_296_500_000));
    }

    #[test]
    fn zoned_times_are_in_utc() {
        assert_eq!(
            zoned_timestamp("2026-11-24 10:34:56.789012+00", -1),
            "2026-11-24T10:34:56.789012Z"
        );
        assert_eq!(
            zoned_timestamp("1000-01-01 00:00:00+00", -1),
            "1000-01-01T00:00:00.000000Z"
        );
        assert_eq!(zoned_timestamp("infinity", -1), "infinity");
        assert_eq!(zoned_time("23:59:59.999999-12:30"), "12:29:59.999999Z");
        assert_eq!(zoned_time("12:34:56+02"), "10:34:56Z");
        // No zone is that far away, and no number that large.
        let beyond = "12:34:56+9223372036854775807";
        assert_eq!(zoned_time(beyond), beyond);
    }

    #[test]
    fn a_month_of_an_interval_is_an_average_one() {
        assert_eq!(
            interval_micros("1 year 2 mons 3 days 04:05:06.789"),
            Some(37_091_106_789_000)
        );
        assert_eq!(
            interval_micros("-1 mons -00:00:01"),
            Some(-2_629_801_000_000)
        );
        assert_eq!(interval_micros("-178000000 years"), Some(i64::MIN));
        assert_eq!(interval_micros("100:00:00"), Some(360_000_000_000));
    }
}
