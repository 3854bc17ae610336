//! Times as events carry them: RFC 3339 texts in UTC.
//!
//! Only the digits are read by hand: the calendar is jiff's. That takes about 25 ns a text, and jiff's parser, which takes
//! every spelling, about 90 ns.

use jiff::civil::{Date, Time};
use jiff::tz::Offset;

/// Bytes of the usual spelling with all the digits that there can be.
pub const USUAL_BYTES: usize = "2026-11-24T02:11:33.123456Z".len();

/// Microseconds since the Unix epoch. The one spelling that PostgreSQL, Debezium and the generator use is read by hand,
/// because there are two of them in every event; jiff reads every other.
///
/// # Errors
/// jiff's, where it is no time.
pub fn unix_micros(text: &str) -> Result<i64, jiff::Error> {
    match usual_micros(text.as_bytes()) {
        Some(us) => Ok(us),
        None => text.parse().map(jiff::Timestamp::as_microsecond),
    }
}

/// The same of the usual spelling alone: `2026-11-24T02:11:33.123456Z`, with or without a fraction of up to six digits, from
/// 1970 to 9998.
#[inline]
pub fn usual_micros(text: &[u8]) -> Option<i64> {
    let (seconds, fraction) = text.strip_suffix(b"Z")?.split_first_chunk()?;
    let micros = match fraction {
        [] => 0,
        [b'.', fraction @ ..] if (1..=6).contains(&fraction.len()) => {
            let scale = 10_i64.pow(u32::try_from(6 - fraction.len()).ok()?);
            digits(fraction)? * scale
        }
        _ => return None,
    };
    Some(whole_seconds(seconds)? * 1_000_000 + micros)
}

/// Seconds since the Unix epoch.
#[inline]
fn whole_seconds(text: &[u8; 19]) -> Option<i64> {
    let mut are_digits = true;
    let mut digit = |at: usize| {
        let digit = text[at].wrapping_sub(b'0');
        are_digits &= digit < 10;
        i64::from(digit)
    };
    let mut two = |at: usize| digit(at) * 10 + digit(at + 1);
    let (year, month, day) = (two(0) * 100 + two(2), two(5), two(8));
    let (hour, minute, second) = (two(11), two(14), two(17));
    let marks = [text[4], text[7], text[10], text[13], text[16]];
    if !are_digits || marks != *b"--T::" {
        return None;
    }
    if !(1970..=9998).contains(&year) {
        return None;
    }
    let narrow = |number: i64| i8::try_from(number).ok();
    let date = Date::new(i16::try_from(year).ok()?, narrow(month)?, narrow(day)?).ok()?;
    let time = Time::new(narrow(hour)?, narrow(minute)?, narrow(second)?, 0).ok()?;
    let time = Offset::UTC.to_timestamp(date.to_datetime(time)).ok()?;
    Some(time.as_second())
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| number * 10 + i64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_usual_spelling_is_read_by_hand() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2026-11-24T02:11:33.123456Z",
            "2000-02-28T23:59:59.1Z",
            "2028-02-29T00:00:00Z",
            "2026-04-30T12:00:00Z",
            "9998-12-31T23:59:59.999999Z",
        ] {
            let jiff: Timestamp = text.parse().unwrap();
            assert_eq!(
                usual_micros(text.as_bytes()),
                Some(jiff.as_microsecond()),
                "{text}"
            );
        }
        for text in [
            "1969-12-31T23:59:59Z",
            "9999-12-31T23:59:59Z",
            "2027-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-12-32T00:00:00Z",
            "2026-11-24T02:11:33+01:00",
            "2026-11-24T02:11:33.1234567Z",
            "2026-11-24 02:11:33Z",
            "2026-11-24T02:11:60Z",
            "2026-11-24T02:11:33.Z",
            "+026-11-24T02:11:33Z",
        ] {
            assert_eq!(usual_micros(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_time_is_what_jiff_says(
            us in -10_000_000_000_000_000..250_000_000_000_000_000_i64,
            digits in prop::sample::select(vec![1_i64, 1_000, 1_000_000]),
        ) {
            let time = Timestamp::from_microsecond(us - us.rem_euclid(digits)).unwrap();
            prop_assert_eq!(unix_micros(&time.to_string()).unwrap(), time.as_microsecond());
        }

        #[test]
        fn any_text_is_read_as_jiff_reads_it(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,8})?(Z|z|\\+00:00)?") {
            let jiff = text.parse::<Timestamp>().map(Timestamp::as_microsecond);
            prop_assert_eq!(unix_micros(&text).ok(), jiff.ok());
        }
    }
}
