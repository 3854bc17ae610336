//! Our own consumer: how it fetches, its group, its processor.

use super::evidence::Evidence;
use super::finding::{Finding, Severity};
use super::wording::{ms, times};
use crate::timeline::Hop;

pub(super) fn findings(evidence: Evidence<'_>) -> Vec<Finding> {
    [fetch(evidence), rebalances(evidence), cpu_bound(evidence)]
        .into_iter()
        .flatten()
        .collect()
}

/// A fetch that waits for company.
fn fetch(evidence: Evidence<'_>) -> Option<Finding> {
    let setting = |name: &str, default: i64| {
        let value = evidence.conditions.consumer.get(name);
        value.and_then(|v| v.parse().ok()).unwrap_or(default)
    };
    let (least, wait) = (
        setting("fetch.min.bytes", 1),
        setting("fetch.wait.max.ms", 500),
    );
    let lag = evidence.certain(Hop::ConsumerLag)?;
    if least <= 1 || lag.p50 < 3_000 {
        return None;
    }
    let finding = Finding::new(
        Some(Hop::ConsumerLag),
        Severity::Warning,
        format!(
            "records waited {} in Kafka at the median; the consumer asks for at least {least} bytes (fetch.min.bytes), or waits {wait} ms (fetch.wait.max.ms)",
            ms(lag.p50)
        ),
        "set fetch.min.bytes=1",
    );
    Some(finding.gaining(lag.p50))
}

fn rebalances(evidence: Evidence<'_>) -> Option<Finding> {
    let rebalances = evidence.conditions.rebalances;
    if rebalances == 0 {
        return None;
    }
    Some(Finding::new(
        Some(Hop::ConsumerLag),
        Severity::Warning,
        format!(
            "the consumer group was rebalanced {} while events were under way: nobody consumes meanwhile",
            times(rebalances)
        ),
        "let no other consumer join or leave the group in a run (KAFKA_GROUP_ID), and look in run.log for missed heartbeats",
    ))
}

/// Decoding and encoding are done by one task.
fn cpu_bound(evidence: Evidence<'_>) -> Option<Finding> {
    let cores = evidence.conditions.our_cores?;
    let transform = evidence.hop(Hop::Transform)?;
    let write = evidence.hop(Hop::Write)?;
    if cores < 0.9 || !evidence.is_slow(Hop::Processing) || transform.p50 < write.p50 {
        return None;
    }
    Some(Finding::new(
        Some(Hop::Processing),
        Severity::Warning,
        format!(
            "records waited {} at the median before their write was issued, and this process kept {cores:.1} cores busy: the consumer is at its processor's limit",
            ms(transform.p50)
        ),
        "share the work: more partitions, and \"cdc-bench consume\" on several machines; build with --release",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Run, settings};

    #[test]
    fn a_fetch_that_waits_for_company_is_named() {
        let slow = |_| [300, 700, 1_500, 2_200, 11_000, 11_100, 12_000, 0];
        let mut run = Run::of(slow);
        assert!(!run.has_evidence("fetch.min.bytes"), "it is 1");
        run.conditions.consumer = settings(&[("fetch.min.bytes", "10000")]);
        assert!(run.has_evidence("at least 10000 bytes"));
        let mut quick = Run::quick();
        quick.conditions.consumer = settings(&[("fetch.min.bytes", "10000")]);
        assert!(!quick.has_evidence("fetch.min.bytes"));
    }

    #[test]
    fn a_rebalance_is_told() {
        let mut run = Run::quick();
        assert!(!run.has_evidence("rebalanced"));
        run.conditions.rebalances = 2;
        assert!(run.has_evidence("rebalanced 2 times"));
    }

    #[test]
    fn a_consumer_at_its_processors_limit_is_told_from_a_slow_store() {
        let waiting = |_| [300, 700, 1_500, 2_200, 2_900, 32_000, 33_000, 0];
        let mut run = Run::of(waiting);
        assert!(!run.has_evidence("processor's limit"));
        run.conditions.our_cores = Some(1.2);
        assert!(run.has_evidence("1.2 cores busy"));
        let mut store = Run::of(|_| [300, 700, 1_500, 2_200, 2_900, 3_000, 33_000, 0]);
        store.conditions.our_cores = Some(1.2);
        assert!(!store.has_evidence("processor's limit"));
    }
}
