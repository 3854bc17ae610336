//! The slowest hop, at the median and in the tail, and the findings of every rule.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::{
    Conditions, Finding, capture, clocks, consumer, host, kafka, load, partitions, source, stalls,
    store,
};
use crate::analysis::{HopStatistics, PathStatistics};
use crate::timeline::Hop;

/// The slowest hop and the findings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The pipeline hop with the largest median; `null` when no event reached the store.
    pub slowest_hop: Option<String>,
    /// Its share of the sum of the medians, 0 to 1.
    pub share_of_total: f64,
    /// Its largest sub-hop, if it has any.
    #[serde(default)]
    pub slowest_part: Option<String>,
    /// The pipeline hop in which the slowest hundredth of the events spent most of its time.
    #[serde(default)]
    pub slowest_hop_p99: Option<String>,
    /// Its share of their time, 0 to 1.
    #[serde(default)]
    pub share_of_p99: f64,
    /// Worst first.
    pub findings: Vec<Finding>,
}

/// Diagnoses one capture path of a finished run.
#[must_use]
pub fn diagnose(
    path: &PathStatistics,
    hops: &BTreeMap<String, HopStatistics>,
    conditions: &Conditions,
) -> Diagnosis {
    let median = |hop: Hop| {
        let hop = hops.get(hop.as_str()).filter(|h| h.count > 0)?;
        Some(hop.p50.max(0))
    };
    let medians: Vec<(Hop, i64)> = Hop::PIPELINE
        .into_iter()
        .filter_map(|hop| Some((hop, median(hop)?)))
        .collect();
    let tail: Vec<(Hop, i64)> = path
        .tail()
        .mean_hops()
        .into_iter()
        .map(|(hop, mean)| (hop, mean.round_micros().max(0)))
        .collect();
    let (Some((slowest, share_of_total)), Some((slowest_in_tail, share_of_p99))) =
        (largest(&medians), largest(&tail))
    else {
        return Diagnosis::default();
    };
    let evidence = Evidence {
        path,
        hops,
        conditions,
        slowest,
        slowest_in_tail,
    };
    let parts = slowest.parts().iter();
    let part = parts
        .filter_map(|part| Some((*part, median(*part)?)))
        .max_by_key(|(_, span)| *span);
    let mut findings: Vec<_> = [
        stalls::findings(evidence),
        load::findings(evidence),
        host::findings(evidence),
        source::findings(evidence),
        capture::findings(evidence),
        kafka::findings(evidence),
        partitions::findings(evidence),
        consumer::findings(evidence),
        store::findings(evidence),
        clocks::findings(evidence),
    ]
    .concat();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Diagnosis {
        slowest_hop: Some(slowest.as_str().to_owned()),
        share_of_total,
        slowest_part: part.map(|(part, _)| part.as_str().to_owned()),
        slowest_hop_p99: Some(slowest_in_tail.as_str().to_owned()),
        share_of_p99,
        findings,
    }
}

/// The largest span and its share of the sum.
fn largest(spans: &[(Hop, i64)]) -> Option<(Hop, f64)> {
    let sum: i64 = spans.iter().map(|(_, span)| span).sum();
    let &(hop, span) = spans.iter().max_by_key(|(_, span)| *span)?;
    Some((hop, share(span, sum)))
}

#[allow(clippy::cast_precision_loss)] // microseconds far below 2^53
fn share(part: i64, sum: i64) -> f64 {
    if sum <= 0 {
        0.0
    } else {
        (part as f64 / sum as f64 * 1000.0).round() / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::diagnosis::fixture::Run;
    use crate::timeline::CapturePath;

    #[test]
    fn the_median_and_the_tail_may_point_to_different_hops() {
        // One event in fifty waits 80 ms in the store; all the others spend most of their time on the way to Kafka.
        let run = Run::of(|n| {
            let write = if n % 50 == 0 { 80_000 } else { 500 };
            [900, 1_000, 3_000, 6_000, 6_400, 6_500, 6_500 + write, 0]
        });
        let found = run.diagnose();
        assert_eq!(found.slowest_hop.as_deref(), Some("kafka_delivery"));
        assert_eq!(found.slowest_part.as_deref(), Some("produce"));
        assert!((0.6..0.9).contains(&found.share_of_total), "{found:?}");
        assert_eq!(found.slowest_hop_p99.as_deref(), Some("processing"));
        assert!(found.share_of_p99 > 0.9, "{found:?}");
    }

    #[test]
    fn nothing_stands_out_in_a_quick_run() {
        let found = Run::quick().diagnose();
        assert_eq!(found.findings, []);
        assert!(found.slowest_hop.is_some());
        let mut run = Run::quick();
        run.path = CapturePath::Embedded;
        assert_eq!(run.diagnose().findings, []);
    }

    #[test]
    fn no_event_is_no_diagnosis() {
        let found = diagnose(
            &PathStatistics::new(CapturePath::Debezium),
            &BTreeMap::new(),
            &Conditions::default(),
        );
        assert_eq!(found, Diagnosis::default());
    }
}
