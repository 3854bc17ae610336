//! Formatting of figures, shared by text, Markdown and HTML, so that all show the same.

use std::collections::BTreeMap;

use crate::analysis::{Diagnosis, Finding, HopStatistics, Objective};
use crate::timeline::Hop;

/// Microseconds as milliseconds: to a hundredth, and to a whole one where that is noise.
pub(super) fn ms(us: i64) -> String {
    let fine = us.abs() < 100_000;
    #[allow(clippy::cast_precision_loss)] // microseconds for display
    let ms = us as f64 / 1e3;
    if fine {
        format!("{ms:.2}")
    } else {
        format!("{ms:.0}")
    }
}

/// The same with its sign.
pub(super) fn signed_ms(us: i64) -> String {
    let sign = if us > 0 { "+" } else { "" };
    format!("{sign}{}", ms(us))
}

/// The median; in brackets where the clocks are too far apart for it to mean anything.
pub(super) fn median(hop: &HopStatistics) -> String {
    if hop.is_within_error() && hop.error_bound != Some(0) {
        format!("({})", ms(hop.p50))
    } else {
        ms(hop.p50)
    }
}

/// A hop's quantiles from the least to the most, as the pages' tables have them.
pub(super) fn distribution(hop: &HopStatistics) -> Vec<String> {
    let mut figures = vec![ms(hop.min), median(hop)];
    figures.extend([hop.p90, hop.p95, hop.p99, hop.p999, hop.max].map(ms));
    figures
}

/// How far the figures of a hop may be off: nothing where it is on one clock, `?` where that is not known.
pub(super) fn bound(hop: &HopStatistics) -> String {
    match hop.error_bound {
        Some(0) => String::new(),
        Some(bound) => ms(bound),
        None => "?".to_owned(),
    }
}

/// A time given in RFC 3339, to the second.
pub(super) fn at(time: &str) -> String {
    let at: Result<jiff::Timestamp, _> = time.parse();
    at.map_or_else(
        |_| time.to_owned(),
        |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// What an objective reached.
pub(super) fn measured(objective: &Objective) -> String {
    objective
        .measured
        .map_or_else(|| "not measured".to_owned(), |value| format!("{value:.2}"))
}

/// Whether it was met.
pub(super) fn met(objective: &Objective) -> &'static str {
    if objective.met { "met" } else { "missed" }
}

/// The slowest hop, and the text about it: its share of the median, and the slowest hop in the tail.
pub(super) fn slowest(found: &Diagnosis) -> Option<(&str, String)> {
    let hop = found.slowest_hop.as_deref()?;
    let part = match &found.slowest_part {
        Some(part) => format!(", most of it in {part}"),
        None => String::new(),
    };
    let tail = match &found.slowest_hop_p99 {
        Some(tail) => format!(
            "; of the slowest hundredth {tail} ({})",
            percent(found.share_of_p99)
        ),
        None => String::new(),
    };
    let share = percent(found.share_of_total);
    Some((hop, format!("({share} of the median{part}){tail}")))
}

/// What to do about a finding, and what that would gain where it is known.
pub(super) fn advice(finding: &Finding) -> String {
    match finding.expected_gain {
        Some(gain) => format!(
            "{}; expected gain: {} ms at the median",
            finding.advice,
            ms(gain)
        ),
        None => finding.advice.clone(),
    }
}

/// A share of 1 as percent.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A part of a sum of medians, 0 to 1; `None` where there is no sum.
#[allow(clippy::cast_precision_loss)] // microseconds far below 2^53
pub(super) fn share(part: i64, sum: i64) -> Option<f64> {
    (sum > 0).then(|| part.max(0) as f64 / sum as f64)
}

/// The rate a run was scheduled at.
pub(super) fn rate(per_s: Option<f64>) -> String {
    per_s.map_or_else(
        || "as fast as it goes".to_owned(),
        |rate| format!("{rate}/s"),
    )
}

/// A rate that was reached.
pub(super) fn per_s(rate: Option<f64>) -> String {
    rate.map_or_else(|| "–".to_owned(), |rate| format!("{rate:.1}"))
}

/// Processor time, seconds a million events.
pub(super) fn cpu(cost: Option<f64>) -> String {
    cost.map_or_else(|| "–".to_owned(), |cost| format!("{cost:.0}"))
}

/// What a hop spans, in words.
pub(super) fn span(hop: Hop) -> &'static str {
    match hop {
        Hop::Capture => "INSERT sent to row decoded from the WAL",
        Hop::KafkaDelivery => "row decoded to record in Kafka",
        Hop::ConsumerLag => "record in Kafka to consumer",
        Hop::Processing => "consumer to document acknowledged",
        Hop::Total => "INSERT sent to document acknowledged",
        Hop::Commit => "INSERT sent to commit acknowledged",
        Hop::WalDelivery => "commit acknowledged to row decoded",
        Hop::Debezium => "row decoded to handed on by Debezium",
        Hop::Produce => "handed on to record in Kafka",
        Hop::Transform => "received to write issued",
        Hop::Write => "write issued to acknowledged",
        Hop::ScheduleLag => "scheduled to INSERT sent; beside the total, not in it",
    }
}

/// Counts by reason, the most frequent first.
pub(super) fn by_reason(counts: &BTreeMap<String, u64>) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by(|a, b| b.1.cmp(a.1));
    let counts = counts.iter();
    let counts: Vec<_> = counts
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    counts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_lose_their_hundredths_where_these_are_noise() {
        assert_eq!(ms(4_917), "4.92");
        assert_eq!(ms(-30), "-0.03");
        assert_eq!(ms(99_999), "100.00");
        assert_eq!(ms(100_000), "100");
        assert_eq!(signed_ms(620), "+0.62");
        assert_eq!(signed_ms(0), "0.00");
    }
}
