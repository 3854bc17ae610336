//! Counts and durations as findings word them.

use crate::timeline::Nanos;

/// A count in words, such as "once".
#[must_use]
pub fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

pub(super) fn ms(us: i64) -> String {
    let (number, unit) = Nanos::from_micros(us).to_three_digits();
    format!("{number} {unit}")
}
