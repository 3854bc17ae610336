//! The connector: whether it works, its poll, its batches, its queue, its producer.

use super::connector_evidence::ConnectorEvidence;
use super::evidence::ObservedEvidence;
use super::figures::{Hops, certain, finding, hop, ms, percent};
use crate::analysis::{Finding, Severity};
use crate::observation::ObservedHop;

/// Settings that a configuration lacks.
const POLL_INTERVAL_MS: i64 = 500;
const BATCH: i64 = 2_048;
/// Of Kafka's producers, from version 4 on.
const LINGER_MS: i64 = 5;

pub(super) fn findings(hops: &Hops, evidence: &ObservedEvidence) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(connector) = &evidence.connector {
        found.extend(idle(connector, ObservedHop::Debezium));
        found.extend(poll_interval(hops, connector));
        found.extend(linger(hops, connector));
        found.extend(batch(connector, evidence));
    }
    found.extend(full_batches(evidence));
    found.extend(queue(evidence));
    found.extend(behind_source(hops, evidence));
    found
}

/// A connector that did not work; `slow` is the hop that shows it.
pub(super) fn idle(connector: &ConnectorEvidence, slow: ObservedHop) -> Option<Finding> {
    if connector.idle.is_empty() {
        return None;
    }
    let name = &connector.name;
    let states = connector.idle.iter();
    let states: Vec<_> = states
        .map(|(state, polls)| {
            format!(
                "{state} ({} % of the time)",
                percent(*polls, connector.polls)
            )
        })
        .collect();
    Some(finding(
        Some(slow),
        Severity::Critical,
        format!(
            "connector \"{name}\" did not work all the time: {}",
            states.join("; ")
        ),
        format!(
            "GET /connectors/{name}/status says why; a paused one goes on with PUT /connectors/{name}/resume, a failed task with POST /connectors/{name}/restart?includeTasks=true&onlyFailed=true"
        ),
    ))
}

/// A change waits for Debezium's poll loop before it is stamped and again before it is handed on, each time up to
/// `poll.interval.ms`.
fn poll_interval(hops: &Hops, connector: &ConnectorEvidence) -> Option<Finding> {
    let interval = connector.number("poll.interval.ms", POLL_INTERVAL_MS);
    let produce = certain(hops, ObservedHop::Produce)?;
    let debezium = hop(hops, ObservedHop::Debezium).map_or(0, |hop| hop.p50);
    let waited = debezium + produce.p50;
    // Two waits uniform on 0..interval average one interval; half of it is far beyond what scheduling explains.
    if interval < 5 || waited < interval * 500 {
        return None;
    }
    let mut found = finding(
        Some(if debezium > produce.p50 {
            ObservedHop::Debezium
        } else {
            ObservedHop::Produce
        }),
        Severity::Critical,
        format!(
            "half of the changes took {} or more from the commit to Kafka; the connector's poll.interval.ms is {interval}, a wait paid twice by every change",
            ms(waited)
        ),
        format!(
            "set \"poll.interval.ms\": \"1\" in its configuration: about {interval} ms less at the median"
        ),
    );
    found.expected_gain = Some(interval * 1_000);
    Some(found)
}

fn linger(hops: &Hops, connector: &ConnectorEvidence) -> Option<Finding> {
    let interval = connector.number("poll.interval.ms", POLL_INTERVAL_MS);
    let linger = connector.number("producer.override.linger.ms", LINGER_MS);
    let produce = certain(hops, ObservedHop::Produce)?;
    // Behind a longer poll it cannot be told.
    if linger < 2 || interval > linger || produce.p50 < linger * 500 {
        return None;
    }
    let mut found = finding(
        Some(ObservedHop::Produce),
        Severity::Warning,
        format!(
            "from Debezium to the record in Kafka takes {} at the median, and the producer lingers {linger} ms for more records",
            ms(produce.p50)
        ),
        "set \"producer.override.linger.ms\": \"0\", which the worker allows with connector.client.config.override.policy=All",
    );
    found.expected_gain = Some(linger * 1_000);
    Some(found)
}

/// A poll hands on at most one batch.
#[allow(clippy::cast_precision_loss)] // settings and counts
fn batch(connector: &ConnectorEvidence, evidence: &ObservedEvidence) -> Option<Finding> {
    let interval = connector
        .number("poll.interval.ms", POLL_INTERVAL_MS)
        .max(1);
    let batch = connector.number("max.batch.size", BATCH);
    let most = batch as f64 * 1_000.0 / interval as f64;
    let seconds = evidence.duration.as_secs_f64();
    let wanted = evidence.transactions.changes as f64 / seconds;
    // With one record after the other in the queue it does not wait for its next poll.
    if seconds < 1.0 || wanted < most * 0.9 {
        return None;
    }
    Some(finding(
        Some(ObservedHop::Debezium),
        Severity::Warning,
        format!(
            "{wanted:.0} changes a second were committed, and the connector hands on at most max.batch.size {batch} every poll.interval.ms {interval}: {most:.0} a second"
        ),
        "raise \"max.batch.size\" (and \"max.queue.size\" to a few times as much), or lower \"poll.interval.ms\"",
    ))
}

/// A batch is full where more was waiting.
fn full_batches(evidence: &ObservedEvidence) -> Option<Finding> {
    let connector = evidence.connector.as_ref()?;
    let largest = evidence.metrics?.batch_size_max?;
    let batch = connector.number("max.batch.size", BATCH);
    if i64::try_from(largest).ok()? < batch {
        return None;
    }
    Some(finding(
        Some(ObservedHop::Debezium),
        Severity::Info,
        format!(
            "the connector has handed on batches of {largest} records, as many as max.batch.size {batch} allows: a backlog or a big transaction was waiting"
        ),
        "raise \"max.batch.size\", and \"max.queue.size\" to a few times as much, if that is so all the time",
    ))
}

fn queue(evidence: &ObservedEvidence) -> Option<Finding> {
    let metrics = evidence.metrics?;
    let (capacity, free) = (metrics.queue_capacity?, metrics.queue_least_free?);
    if capacity == 0 || free * 10 > capacity {
        return None;
    }
    Some(finding(
        Some(ObservedHop::Debezium),
        Severity::Warning,
        format!(
            "the connector's queue was full: {free} of {capacity} places were free (QueueRemainingCapacity)"
        ),
        "what is behind it is the bound, its producer and the broker: \"producer.override.batch.size\", \"producer.override.compression.type\", more memory for \"max.queue.size\" only against bursts",
    ))
}

/// Debezium's own figure beside ours: the one is a difference of its clock and PostgreSQL's, and ends before its second poll.
fn behind_source(hops: &Hops, evidence: &ObservedEvidence) -> Option<Finding> {
    let behind = evidence.metrics?.most_behind_ms.filter(|ms| *ms >= 0)?;
    let debezium = hop(hops, ObservedHop::Debezium)?;
    Some(finding(
        Some(ObservedHop::Debezium),
        Severity::Info,
        format!(
            "Debezium's own MilliSecondsBehindSource was {behind} ms at most; from the commit to its timestamp takes {} at p99 and {} at most on one clock",
            ms(debezium.p99),
            ms(debezium.max)
        ),
        "its figure is the last change's and stands still when none comes, has the difference of two servers' clocks in it, and nothing of its queue, Kafka and what is behind: set alerts by the hops",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::evidence::ConnectorMetrics;
    use super::super::fixture::{Case, hops};
    use super::*;

    #[test]
    fn a_connector_that_does_not_work_is_named_first() {
        let mut case = Case::new();
        assert!(!case.says("did not work"));
        let connector = case.connector();
        connector.polls = 10;
        connector.idle.insert("task 0 is PAUSED".to_owned(), 4);
        assert!(case.says("task 0 is PAUSED (40 % of the time)"));
        assert_eq!(case.findings()[0].severity, Severity::Critical);
    }

    #[test]
    fn a_long_poll_interval_is_named_where_changes_waited_for_it() {
        let mut case = Case::new();
        case.hops = hops([250_000, 260_000, 3_000]);
        assert!(case.says("poll.interval.ms is 500"), "by default");
        assert_eq!(case.findings()[0].expected_gain, Some(500_000));
        assert_eq!(case.findings()[0].hop.as_deref(), Some("produce"));
        case.set("poll.interval.ms", "1");
        assert!(!case.says("poll.interval.ms"));
        case.set("poll.interval.ms", "500");
        case.hops = hops([900, 900, 3_000]);
        assert!(!case.says("a wait paid twice"), "nobody waited");
    }

    #[test]
    fn a_producer_that_lingers_is_named_where_the_poll_does_not_hide_it() {
        let mut case = Case::new();
        case.hops = hops([900, 6_000, 3_000]);
        assert!(!case.says("lingers"), "the poll hides it");
        case.set("poll.interval.ms", "1");
        assert!(case.says("lingers 5 ms"));
        case.set("producer.override.linger.ms", "0");
        assert!(!case.says("lingers"));
    }

    #[test]
    fn batches_too_small_for_the_rate_are_named() {
        let mut case = Case::new();
        case.evidence.transactions.changes = 60_000;
        case.set("max.batch.size", "100");
        assert!(case.says("at most max.batch.size 100 every poll.interval.ms 500: 200 a second"));
        case.set("max.batch.size", "2048");
        assert!(!case.says("max.batch.size"));
    }

    #[test]
    fn metrics_show_a_full_queue_and_debeziums_own_lag() {
        let mut case = Case::new();
        let mut metrics = ConnectorMetrics {
            queue_capacity: Some(8_192),
            queue_least_free: Some(8_000),
            most_behind_ms: Some(480),
            batch_size_max: Some(2_047),
        };
        case.evidence.metrics = Some(metrics);
        assert!(!case.says("batches of"));
        assert!(!case.says("queue was full"));
        assert!(case.says("MilliSecondsBehindSource was 480 ms"));
        metrics.batch_size_max = Some(2_048);
        metrics.queue_least_free = Some(12);
        metrics.most_behind_ms = Some(-1);
        case.evidence.metrics = Some(metrics);
        assert!(case.says("12 of 8192 places"));
        assert!(case.says("batches of 2048 records"));
        assert!(
            !case.says("MilliSecondsBehindSource"),
            "it has had none yet"
        );
    }
}
