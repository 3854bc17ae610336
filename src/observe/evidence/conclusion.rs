//! What the evidence comes to: findings, and what looking has cost.

use std::sync::atomic::Ordering;

use cdc_bench_model::observation::ObservedHop;
use cdc_bench_model::observation::diagnosis::findings;
use cdc_bench_model::report::{
    CANARY, CostReport, Measured, ObservationReport, TransactionsReport,
};

use super::collector::Collected;
use super::tallies::Tallies;

/// Bytes of decoded changes in a second of a walsender's processor time, as it was measured with rows of 350 bytes.
const DECODED_A_SECOND: f64 = 30e6;

/// Adds findings and cost to a report.
pub(in crate::observe) fn conclude(
    report: &mut ObservationReport,
    collected: Option<Collected>,
    tallies: Tallies,
) {
    let shared = tallies.shared();
    let Some(mut collected) = collected else {
        return;
    };
    let topics = report.pipeline.topics.iter();
    let topics: Vec<_> = topics.map(|topic| topic.name.clone()).collect();
    let duration = report.run.duration_s;
    let evidence = &mut collected.evidence;
    evidence.duration = std::time::Duration::try_from_secs_f64(duration).unwrap_or_default();
    evidence.has_sink = report.pipeline.sink.is_some();
    tallies.add_to(evidence, &topics);
    // An idle pipeline is judged by its canary.
    let users = report.observed().filter(|path| !path.hops.is_empty());
    let judged = users.or_else(|| report.paths.get(CANARY));
    let hops = judged.map(|path| path.hops.clone()).unwrap_or_default();
    if let Some(spans) = &mut evidence.transactions.debezium {
        let debezium = hops.get(ObservedHop::Debezium.as_str());
        let bound = debezium.and_then(|hop| hop.error_bound);
        for spans in [&mut spans.first_tenth, &mut spans.last_tenth] {
            spans.error_bound = bound;
        }
    }
    report.diagnosis.findings = findings(&hops, evidence);
    report.transactions = Some(TransactionsReport::of(&evidence.transactions));
    report.cost = Some(cost(
        &collected,
        shared.topic_bytes.load(Ordering::Relaxed),
        shared.requests.load(Ordering::Relaxed),
        duration,
    ));
}

#[allow(clippy::cast_precision_loss)] // bytes and counts far below 2^53
fn cost(collected: &Collected, topic_bytes: u64, requests: u64, duration_s: f64) -> CostReport {
    let rounded = |number: f64| (number * 1e3).round() / 1e3;
    let (decoded_bytes, spilled_bytes) = collected.decoded.unzip();
    let measured = collected.walsender_cpu.map(|used| used.as_secs_f64());
    let estimated = decoded_bytes.map(|bytes| bytes as f64 / DECODED_A_SECOND);
    CostReport {
        walsender_cpu_s: measured.or(estimated).map(rounded),
        walsender_cpu: match measured {
            Some(_) => Measured::Measured,
            None => Measured::Estimated,
        },
        decoded_bytes,
        spilled_bytes,
        topic_bytes,
        requests_per_s: rounded(requests as f64 / duration_s.max(1.0)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cdc_bench_model::observation::diagnosis::ObservedEvidence;

    use super::*;

    #[test]
    fn what_cannot_be_measured_is_estimated_and_said_to_be() {
        let mut collected = Collected {
            evidence: ObservedEvidence::default(),
            walsender_cpu: None,
            decoded: Some((60_000_000, 0)),
        };
        let estimated = cost(&collected, 1_000, 600, 60.0);
        assert_eq!(estimated.walsender_cpu, Measured::Estimated);
        assert_eq!(estimated.walsender_cpu_s, Some(2.0));
        assert_eq!(estimated.requests_per_s, 10.0);
        collected.walsender_cpu = Some(Duration::from_millis(1_500));
        let measured = cost(&collected, 1_000, 600, 60.0);
        assert_eq!(measured.walsender_cpu, Measured::Measured);
        assert_eq!(measured.walsender_cpu_s, Some(1.5));
        collected.decoded = None;
        collected.walsender_cpu = None;
        assert_eq!(cost(&collected, 0, 0, 60.0).walsender_cpu_s, None);
    }
}
