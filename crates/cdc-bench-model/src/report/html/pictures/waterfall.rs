//! The slowest events, each as a bar of its hops.

use crate::analysis::{DigestedEvent, PathDigest};
use crate::report::figures::ms;
use crate::timeline::{Hop, Stamp};

/// The hops of one event as a bar, scaled to the slowest event.
#[derive(Debug)]
pub(in crate::report::html) struct Waterfall {
    pub(in crate::report::html) event: String,
    pub(in crate::report::html) id: String,
    pub(in crate::report::html) at_s: String,
    pub(in crate::report::html) total: String,
    /// Hop, where it begins and how wide it is, in percent of the longest.
    pub(in crate::report::html) spans: Vec<(&'static str, String, String)>,
    /// The hops in words.
    pub(in crate::report::html) summary: String,
}

/// The slowest events, slowest first.
pub(in crate::report::html) fn waterfall(path: &PathDigest, origin: Stamp) -> Vec<Waterfall> {
    let slowest = path.slowest();
    let longest = slowest.first().map_or(1, |event| event.total().0.max(1));
    slowest
        .iter()
        .map(|event| one_way(event, origin, longest))
        .collect()
}

fn one_way(event: &DigestedEvent, origin: Stamp, longest: i64) -> Waterfall {
    let percent = |span: i64| span as f64 / longest as f64 * 100.0;
    let mut spans = Vec::new();
    let mut summary = Vec::new();
    let mut at = 0;
    for hop in Hop::PIPELINE {
        let Some(span) = event.hops.get(hop) else {
            continue;
        };
        let name = hop.as_str();
        // A hop below zero has no width, and the next one begins earlier.
        spans.push((
            name,
            format!("{:.2}", percent(at.max(0))),
            format!("{:.2}", percent(span.0.max(0))),
        ));
        summary.push(format!("{name} {}", ms(span.round_micros())));
        at += span.0;
    }
    Waterfall {
        event: event.event_type.to_string(),
        id: event.id.to_string(),
        at_s: format!("{:.1}", (event.t0 - origin).as_millis_f64() / 1e3),
        total: ms(event.total().round_micros()),
        spans,
        summary: summary.join(", "),
    }
}
