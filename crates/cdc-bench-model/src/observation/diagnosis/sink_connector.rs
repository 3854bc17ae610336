//! The connector that writes into the sink: whether it works, how it fetches records and puts them into batches.

use super::connector::idle;
use super::connector_evidence::ConnectorEvidence;
use super::evidence::ObservedEvidence;
use super::figures::{Hops, certain, finding, is_most_of_total, ms};
use super::sink_evidence::SinkConnectorEvidence;
use crate::analysis::{Finding, Severity};
use crate::observation::ObservedHop;

/// Batches below this do not make up for a round trip each.
const SMALL: i64 = 50;
/// Kafka's default for the longest wait of a fetch.
const FETCH_WAIT_MS: i64 = 500;

pub(super) fn findings(hops: &Hops, evidence: &ObservedEvidence) -> Vec<Finding> {
    let Some(sink) = &evidence.sink_connector else {
        return Vec::new();
    };
    let connector = &sink.connector;
    let mut found = Vec::new();
    found.extend(idle(connector, ObservedHop::Consume));
    found.extend(rate_limit(connector));
    if is_most_of_total(hops, ObservedHop::Consume) {
        found.extend(fetch_wait(hops, connector));
        found.extend(tasks(sink));
        found.extend(batch(connector));
        found.extend(polled(connector));
    }
    found
}

fn of_consume(severity: Severity, evidence: String, advice: &str) -> Finding {
    finding(Some(ObservedHop::Consume), severity, evidence, advice)
}

/// A broker keeps a fetch until it has so many bytes, or for so long.
fn fetch_wait(hops: &Hops, connector: &ConnectorEvidence) -> Option<Finding> {
    let bytes = connector.number("consumer.override.fetch.min.bytes", 1);
    let wait = connector.number("consumer.override.fetch.max.wait.ms", FETCH_WAIT_MS);
    let consume = certain(hops, ObservedHop::Consume)?;
    // Half of it on average, of which a part shows.
    if bytes <= 1 || wait < 5 || consume.p50 < wait * 250 {
        return None;
    }
    let name = &connector.name;
    let mut found = of_consume(
        Severity::Warning,
        format!(
            "sink connector \"{name}\" fetches at least {bytes} bytes (consumer.override.fetch.min.bytes), for which a record waits up to {wait} ms at the broker; consume takes {} at the median",
            ms(consume.p50)
        ),
        "set \"consumer.override.fetch.min.bytes\": \"1\", or lower \"consumer.override.fetch.max.wait.ms\"",
    );
    found.expected_gain = Some(wait * 500);
    Some(found)
}

fn tasks(sink: &SinkConnectorEvidence) -> Option<Finding> {
    let tasks = sink.connector.number("tasks.max", 1);
    let partitions = i64::try_from(sink.partitions).ok()?;
    (tasks < partitions).then(|| {
        of_consume(
            Severity::Warning,
            format!(
                "sink connector \"{}\" has tasks.max {tasks} for {partitions} partitions, and consume is most of the total",
                sink.connector.name
            ),
            "raise \"tasks.max\" up to the number of partitions: rows of one key stay in their order, for they are in one partition",
        )
    })
}

fn batch(connector: &ConnectorEvidence) -> Option<Finding> {
    // 0: as many as were polled.
    let batch = connector.number("max.batch.size", 0);
    (1..SMALL).contains(&batch).then(|| {
        of_consume(
            Severity::Warning,
            format!(
                "sink connector \"{}\" writes at most {batch} records at once (max.batch.size), and each write takes a round trip",
                connector.name
            ),
            "leave \"max.batch.size\" at 0 (all that were polled), or raise it to some hundred",
        )
    })
}

fn polled(connector: &ConnectorEvidence) -> Option<Finding> {
    let records = connector.number("consumer.override.max.poll.records", 500);
    (records < SMALL).then(|| {
        of_consume(
            Severity::Warning,
            format!(
                "sink connector \"{}\" takes at most {records} records at once (consumer.override.max.poll.records)",
                connector.name
            ),
            "leave \"consumer.override.max.poll.records\" at 500, or raise it",
        )
    })
}

/// A pause that was asked for.
fn rate_limit(connector: &ConnectorEvidence) -> Option<Finding> {
    let every = connector.number("rate.limiting.every.n", 0);
    let pause = connector.number("rate.limiting.timeout", 0);
    (every > 0 && pause > 0).then(|| {
        of_consume(
            Severity::Warning,
            format!(
                "sink connector \"{}\" rests for {pause} ms after every {every} batches (rate.limiting.timeout, rate.limiting.every.n)",
                connector.name
            ),
            "set \"rate.limiting.every.n\": \"0\", unless the server is to be spared",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Case, hops};
    use super::*;

    fn case(config: &[(&str, &str)]) -> Case {
        let mut case = Case::new();
        case.set("poll.interval.ms", "1");
        case.hops = hops([800, 900, 250_000]);
        let config = config.iter();
        case.evidence.sink_connector = Some(SinkConnectorEvidence {
            connector: ConnectorEvidence {
                name: "mongo-sink".to_owned(),
                config: config
                    .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                    .collect(),
                polls: 10,
                ..ConnectorEvidence::default()
            },
            partitions: 1,
            ..SinkConnectorEvidence::default()
        });
        case
    }

    #[test]
    fn a_fetch_that_waits_for_bytes_is_named_with_its_gain() {
        let case = case(&[("consumer.override.fetch.min.bytes", "100000")]);
        assert!(case.says("at least 100000 bytes"));
        assert_eq!(case.findings()[0].expected_gain, Some(250_000));
        let mut quick = case;
        quick.hops = hops([800, 900, 2_000]);
        assert!(!quick.says("100000 bytes"));
    }

    #[test]
    fn one_task_for_many_partitions_is_named_where_consume_is_slow() {
        let mut case = case(&[]);
        assert!(!case.says("tasks.max"));
        case.evidence.sink_connector.as_mut().unwrap().partitions = 6;
        assert!(case.says("tasks.max 1 for 6 partitions"));
        case.hops = hops([60_000, 900, 2_000]);
        assert!(!case.says("tasks.max"));
    }

    #[test]
    fn small_batches_and_asked_for_pauses_are_named() {
        let case = case(&[
            ("max.batch.size", "1"),
            ("consumer.override.max.poll.records", "10"),
            ("rate.limiting.every.n", "1"),
            ("rate.limiting.timeout", "100"),
        ]);
        assert!(case.says("at most 1 records at once (max.batch.size)"));
        assert!(case.says("at most 10 records at once"));
        assert!(case.says("rests for 100 ms after every 1 batches"));
    }

    #[test]
    fn a_sink_connector_that_does_not_work_is_critical() {
        let mut case = case(&[]);
        let sink = case.evidence.sink_connector.as_mut().unwrap();
        sink.connector.idle.insert("task 0 is FAILED".to_owned(), 5);
        assert!(
            case.says("connector \"mongo-sink\" did not work all the time: task 0 is FAILED (50 %")
        );
        assert_eq!(case.findings()[0].hop.as_deref(), Some("consume"));
    }
}
