//! Dates and times as numbers, from either format; nothing for what is infinite.

use super::text::{parse_date, parse_timestamp, parse_timestamptz};
use crate::value::calendar::{MICROS_PER_DAY, civil, parse_time};
use crate::{BinaryFormat, Column};

/// Seconds from 1970-01-01 to 2000-01-01.
const EPOCH_S: i64 = 946_684_800;

/// How a type's values are read.
pub(super) struct Reading {
    pub(super) parse: fn(&str) -> Option<i64>,
    format: BinaryFormat,
}

/// Days since 2000-01-01.
pub(super) const DATE: Reading = Reading {
    parse: parse_date,
    format: BinaryFormat::Date,
};
/// Microseconds of the day.
pub(super) const TIME: Reading = Reading {
    parse: parse_time,
    format: BinaryFormat::Time,
};
/// Microseconds since 2000-01-01.
pub(super) const TIMESTAMP: Reading = Reading {
    parse: parse_timestamp,
    format: BinaryFormat::Timestamp,
};
/// Microseconds since 2000-01-01 UTC.
pub(super) const TIMESTAMPTZ: Reading = Reading {
    parse: parse_timestamptz,
    format: BinaryFormat::TimestampTz,
};

impl Reading {
    pub(super) fn binary(&self, bytes: &[u8], column: &Column) -> Option<i64> {
        if column.binary == BinaryFormat::Text {
            return (self.parse)(std::str::from_utf8(bytes).ok()?);
        }
        if column.binary != self.format {
            return None;
        }
        match self.format {
            BinaryFormat::Date => {
                let days = i32::from_be_bytes(bytes.try_into().ok()?);
                (days != i32::MAX && days != i32::MIN).then_some(days.into())
            }
            _ => {
                let micros = i64::from_be_bytes(bytes.try_into().ok()?);
                (micros != i64::MAX && micros != i64::MIN).then_some(micros)
            }
        }
    }
}

/// Year, month and day, for a crate that numbers years as astronomers do: the one before 1 is 0.
pub(super) fn date<Y: TryFrom<i64>, M: TryFrom<i64>>(days: i64) -> Option<(Y, M, M)> {
    let (year, month, day) = civil(days);
    Some((
        year.try_into().ok()?,
        month.try_into().ok()?,
        day.try_into().ok()?,
    ))
}

/// Hour, minute, second and microsecond of the day.
pub(super) fn time<T: TryFrom<i64>, F: TryFrom<i64>>(micros: i64) -> Option<(T, T, T, F)> {
    let seconds = micros / 1_000_000;
    Some((
        (seconds / 3_600).try_into().ok()?,
        (seconds / 60 % 60).try_into().ok()?,
        (seconds % 60).try_into().ok()?,
        (micros % 1_000_000).try_into().ok()?,
    ))
}

/// Days since 2000-01-01, and microseconds of the day.
pub(super) fn day_and_time(micros: i64) -> (i64, i64) {
    (
        micros.div_euclid(MICROS_PER_DAY),
        micros.rem_euclid(MICROS_PER_DAY),
    )
}

/// Microseconds since 1970-01-01 UTC.
pub(super) fn unix_micros(micros: i64) -> Option<i64> {
    micros.checked_add(EPOCH_S * 1_000_000)
}

/// Implements conversion for a type that is made of the number which a [`Reading`] gives.
macro_rules! from_number {
    ($($type:ty, $name:literal, $reading:ident, $convert:expr);+) => { $(
        impl<'a> crate::FromValue<'a> for $type {
            const NAME: &'static str = $name;

            fn from_text(text: &'a str, _: &crate::Column) -> Option<Self> {
                (since_epoch::$reading.parse)(text).and_then($convert)
            }

            fn from_binary(bytes: &'a [u8], column: &crate::Column) -> Option<Self> {
                since_epoch::$reading.binary(bytes, column).and_then($convert)
            }
        }
    )+ };
}
pub(super) use from_number;
