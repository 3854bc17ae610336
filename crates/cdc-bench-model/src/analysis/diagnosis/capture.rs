//! Debezium: its poll loop, its queue, its snapshot, its task.

use super::evidence::Evidence;
use super::finding::{Finding, Severity};
use super::wording::{ms, times};
use crate::timeline::Hop;

/// `poll.interval.ms`, `max.batch.size` and `max.queue.size` when the configuration has none.
const POLL_INTERVAL_MS: i64 = 500;
const BATCH: i64 = 2_048;
const QUEUE: i64 = 8_192;

pub(super) fn findings(evidence: Evidence<'_>) -> Vec<Finding> {
    [
        poll_interval(evidence),
        batch(evidence),
        queue(evidence),
        snapshot(evidence),
        restarts(evidence),
        observer_late(evidence),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub(super) fn poll_interval_ms(evidence: Evidence<'_>) -> Option<i64> {
    let conditions = evidence.conditions;
    conditions.connector_number("poll.interval.ms", POLL_INTERVAL_MS)
}

/// An event waits for Debezium's poll loop before it is stamped and again before it is emitted, each time up to
/// `poll.interval.ms`.
fn poll_interval(evidence: Evidence<'_>) -> Option<Finding> {
    let interval = poll_interval_ms(evidence)?;
    let hop = evidence.certain(Hop::KafkaDelivery)?;
    // Two waits uniform on 0..interval average one interval; half of it is far beyond what scheduling explains.
    if interval < 5 || hop.p50 < interval * 500 {
        return None;
    }
    let finding = Finding::new(
        Some(Hop::KafkaDelivery),
        Severity::Critical,
        format!(
            "half of the events took {} or more from the WAL to Kafka; Debezium's poll.interval.ms is {interval}, a wait paid twice by every event",
            ms(hop.p50)
        ),
        format!(
            "set \"poll.interval.ms\": \"1\" in the connector's configuration (and \"producer.override.linger.ms\": \"0\"): about {interval} ms less at the median"
        ),
    );
    Some(finding.gaining(interval * 1_000))
}

/// A poll emits at most one batch, so throughput is limited to one batch per interval.
#[allow(clippy::cast_precision_loss)] // settings
fn batch(evidence: Evidence<'_>) -> Option<Finding> {
    let interval = poll_interval_ms(evidence)?.max(1);
    let batch = evidence
        .conditions
        .connector_number("max.batch.size", BATCH)?;
    let most = batch as f64 * 1e3 / interval as f64;
    let wanted = evidence.conditions.rate_per_s?;
    if wanted < most * 0.9 {
        return None;
    }
    Some(Finding::new(
        Some(Hop::KafkaDelivery),
        Severity::Critical,
        format!(
            "{wanted} events a second are due, and Debezium hands on at most max.batch.size {batch} every poll.interval.ms {interval}: {most:.0} a second"
        ),
        "raise \"max.batch.size\" (and \"max.queue.size\" to a few times as much), or lower \"poll.interval.ms\"",
    ))
}

/// Little's law: the number of waiting events is the rate times the waiting time.
#[allow(clippy::cast_precision_loss)] // settings and counts
fn queue(evidence: Evidence<'_>) -> Option<Finding> {
    let conditions = evidence.conditions;
    let queue = conditions.connector_number("max.queue.size", QUEUE)?;
    let hop = evidence.certain(Hop::Debezium)?;
    let waiting = conditions.throughput_per_s * hop.p99 as f64 / 1e6;
    if waiting < queue as f64 * 0.9 {
        return None;
    }
    Some(Finding::new(
        Some(Hop::KafkaDelivery),
        Severity::Warning,
        format!(
            "events waited {} in Debezium at p99; at {:.0} a second that is some {waiting:.0} of them, and its queue holds max.queue.size {queue}: it was full, and PostgreSQL's sender stood still",
            ms(hop.p99),
            conditions.throughput_per_s
        ),
        "a larger queue only hides it: the producer behind it is the bound (\"producer.override.batch.size\", \"producer.override.compression.type\"), or lower the rate",
    ))
}

fn snapshot(evidence: Evidence<'_>) -> Option<Finding> {
    evidence.conditions.snapshot_running.then(|| {
        Finding::new(
            Some(Hop::KafkaDelivery),
            Severity::Critical,
            "the connector was still taking its snapshot: changes wait until it is over",
            "let it finish before you measure (\"snapshot.mode\": \"no_data\" takes none)",
        )
    })
}

fn restarts(evidence: Evidence<'_>) -> Option<Finding> {
    let restarts = evidence.conditions.connector_restarts;
    (restarts > 0).then(|| {
        Finding::new(
            Some(Hop::KafkaDelivery),
            Severity::Critical,
            format!(
                "the connector's task failed and was restarted {}",
                times(restarts)
            ),
            "the latencies hold these outages; run.log has the reasons",
        )
    })
}

/// On this path T1 is taken by an observer.
fn observer_late(evidence: Evidence<'_>) -> Option<Finding> {
    let (late, total) = (evidence.path.observer_late(), evidence.total()?.count);
    if late * 20 <= total {
        return None;
    }
    Some(Finding::new(
        Some(Hop::KafkaDelivery),
        Severity::Info,
        format!("{late} of {total} events were in Kafka before our own reader had the row"),
        "our reader was scheduled later than Debezium: the machine is busy, or both are equally fast; capture and kafka_delivery share the difference",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::fixture::Run;

    fn waiting() -> Run {
        Run::of(|n| {
            [
                900,
                1_000,
                250_000 + n,
                500_000,
                501_000,
                501_100,
                503_000,
                0,
            ]
        })
    }

    #[test]
    fn debeziums_default_poll_interval_is_named() {
        let run = waiting().with_connector(&[("name", "x")]);
        let found = run.diagnose();
        assert_eq!(found.slowest_hop.as_deref(), Some("kafka_delivery"));
        assert!(found.share_of_total > 0.9);
        let first = &found.findings[0];
        assert!(
            first.evidence.contains("poll.interval.ms is 500"),
            "{found:?}"
        );
        assert_eq!(first.expected_gain, Some(500_000));
        assert!(
            !run.has_evidence("lingers"),
            "it cannot be seen behind the poll's wait"
        );
    }

    #[test]
    fn a_short_poll_interval_is_not_blamed() {
        assert!(!waiting().has_evidence("poll.interval"), "it is 1");
        let quick = Run::quick().with_connector(&[("poll.interval.ms", "500")]);
        assert!(!quick.has_evidence("a wait paid twice"), "nobody waited");
        assert!(
            !waiting().with_connector(&[]).has_evidence("poll"),
            "not known"
        );
    }

    #[test]
    fn a_batch_that_is_too_small_for_the_rate_is_named() {
        let settings = [("poll.interval.ms", "100"), ("max.batch.size", "10")];
        let mut run = Run::quick().with_connector(&settings);
        assert!(
            run.has_evidence("at most max.batch.size 10 every poll.interval.ms 100: 100 a second")
        );
        run.conditions.rate_per_s = Some(50.0);
        assert!(!run.has_evidence("max.batch.size"));
        assert!(!Run::quick().has_evidence("max.batch.size"));
    }

    #[test]
    fn a_full_queue_is_told_by_what_waits_in_it() {
        let mut run = Run::of(|_| [300, 700, 900_000, 902_000, 903_000, 903_100, 904_000, 0]);
        assert!(!run.has_evidence("max.queue.size"), "150 events fit");
        run.conditions.throughput_per_s = 9_500.0;
        assert!(run.has_evidence("max.queue.size 8192: it was full"));
        run.conditions
            .connector
            .insert("max.queue.size".to_owned(), "32768".to_owned());
        assert!(!run.has_evidence("max.queue.size"));
    }

    #[test]
    fn a_snapshot_and_a_restart_are_told() {
        let mut run = Run::quick();
        assert!(!run.has_evidence("snapshot") && !run.has_evidence("restarted"));
        run.conditions.snapshot_running = true;
        run.conditions.connector_restarts = 3;
        assert!(run.has_evidence("still taking its snapshot"));
        assert!(run.has_evidence("restarted 3 times"));
        assert_eq!(run.diagnose().findings[0].severity, Severity::Critical);
    }

    #[test]
    fn an_observer_that_is_often_late_is_told() {
        let late = |n: i64| if n % 10 == 0 { 5_000 } else { 700 };
        let run = Run::of(move |n| [300, late(n), 1_500, 2_200, 2_900, 2_950, 6_000, 0]);
        assert!(run.has_evidence("20 of 200 events were in Kafka before our own reader"));
        assert!(!Run::quick().has_evidence("before our own reader"));
    }
}
