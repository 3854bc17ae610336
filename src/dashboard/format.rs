//! Numbers as text: with three digits, so that their width is stable while they change.

use cdc_bench_model::timeline::Nanos;

/// A duration in microseconds as its number and its unit.
pub(super) fn span(us: i64) -> (String, &'static str) {
    Nanos::from_micros(us).to_three_digits()
}

/// A duration in microseconds as text.
pub(super) fn span_text(us: i64) -> String {
    let (number, unit) = span(us);
    format!("{number} {unit}")
}

/// The same for a duration that may be unknown.
pub(super) fn maybe_span(us: Option<i64>) -> String {
    us.map_or_else(|| "–".to_owned(), span_text)
}

/// A count, in groups of three.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Events a second.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a rate is positive and far below 2^64
pub(super) fn rate(per_s: f64) -> String {
    if per_s >= 99.5 {
        format!("{}/s", count(per_s.round() as u64))
    } else if per_s.fract() == 0.0 {
        format!("{per_s:.0}/s")
    } else {
        format!("{per_s:.1}/s")
    }
}

/// Bytes.
#[allow(clippy::cast_precision_loss)] // a display value
pub(super) fn bytes(bytes: u64) -> String {
    let size = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", size / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", size / 1e6),
        _ => format!("{:.1} GB", size / 1e9),
    }
}

/// Seconds as minutes or hours, to the second.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // never negative, far below 2^64
pub(super) fn time(seconds: f64) -> String {
    let all = seconds.max(0.0) as u64;
    let (minutes, seconds) = (all / 60, all % 60);
    if minutes < 60 {
        format!("{minutes:02}:{seconds:02}")
    } else {
        format!("{}:{:02}:{seconds:02}", minutes / 60, minutes % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_three_digits_whatever_its_size() {
        let of = [
            -30, 580, 9_994, 9_996, 99_949, 124_000, 1_240_000, 12_400_000,
        ];
        let texts = of.map(span_text);
        let expected = [
            "-0.03 ms", "0.58 ms", "9.99 ms", "10.0 ms", "99.9 ms", "124 ms", "1.24 s", "12.4 s",
        ];
        assert_eq!(texts, expected);
        assert_eq!(maybe_span(None), "–");
    }

    #[test]
    fn counts_rates_sizes_and_times_are_formatted() {
        assert_eq!(
            [count(7), count(1_234), count(1_234_567)],
            ["7", "1,234", "1,234,567"]
        );
        assert_eq!(
            [rate(2.0), rate(6.7), rate(5_000.4)],
            ["2/s", "6.7/s", "5,000/s"]
        );
        assert_eq!(
            [bytes(999), bytes(1_500), bytes(2_500_000)],
            ["999 B", "1.5 kB", "2.5 MB"]
        );
        assert_eq!(
            [time(5.9), time(65.0), time(3_725.0)],
            ["00:05", "01:05", "1:02:05"]
        );
    }
}
