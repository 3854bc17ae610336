//! Connect's producer.

use super::capture::poll_interval_ms;
use super::evidence::Evidence;
use super::finding::{Finding, Severity};
use super::wording::ms;
use crate::timeline::Hop;

/// The producer's `linger.ms` when the configuration has none (Kafka 4).
const LINGER_MS: i64 = 5;

pub(super) fn findings(evidence: Evidence<'_>) -> Vec<Finding> {
    [linger(evidence), transactions(evidence)]
        .into_iter()
        .flatten()
        .collect()
}

fn linger(evidence: Evidence<'_>) -> Option<Finding> {
    let conditions = evidence.conditions;
    let linger = conditions.connector_number("producer.override.linger.ms", LINGER_MS)?;
    let hop = evidence.certain(Hop::Produce)?;
    // A longer poll interval hides it: the second of the two waits for the poll loop falls into this hop.
    if linger < 2 || hop.p50 < linger * 500 || poll_interval_ms(evidence)? > linger {
        return None;
    }
    let finding = Finding::new(
        Some(Hop::KafkaDelivery),
        Severity::Warning,
        format!(
            "{} at the median between Debezium and the broker; the producer lingers {linger} ms",
            ms(hop.p50)
        ),
        "set \"producer.override.linger.ms\": \"0\" (the worker needs connector.client.config.override.policy=All)",
    );
    Some(finding.gaining(linger * 1_000))
}

/// A record in a transaction is read with the transaction's end.
fn transactions(evidence: Evidence<'_>) -> Option<Finding> {
    let support = evidence.conditions.connector.get("exactly.once.support")?;
    let hop = evidence.certain(Hop::ConsumerLag)?;
    if !support.eq_ignore_ascii_case("required") || !evidence.is_slowest(Hop::ConsumerLag) {
        return None;
    }
    Some(Finding::new(
        Some(Hop::ConsumerLag),
        Severity::Info,
        format!(
            "{} at the median between the broker and our consumer, which gets a record with the end of its transaction (exactly.once.support=required)",
            ms(hop.p50)
        ),
        "the price of a topic without doubles; a consumer that writes by an id of the event, as this one, can do without (leave out --connect-exactly-once)",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Run;

    #[test]
    fn a_lingering_producer_is_named() {
        let slow = |_| [900, 1_000, 2_000, 7_200, 7_600, 7_700, 9_000, 0];
        let run = Run::of(slow).with_connector(&[("poll.interval.ms", "1")]);
        assert!(run.has_evidence("lingers 5 ms"));
        assert!(!Run::of(slow).has_evidence("lingers"), "it is 0");
        let quick = Run::quick().with_connector(&[("poll.interval.ms", "1")]);
        assert!(!quick.has_evidence("lingers"));
        let mut unsure = Run::of(slow).with_connector(&[("poll.interval.ms", "1")]);
        unsure.bound = 9_000;
        assert!(!unsure.has_evidence("lingers"), "within the clocks' error");
    }

    #[test]
    fn a_wait_for_the_end_of_a_transaction_is_named() {
        let slow = |_| [300, 700, 1_500, 2_200, 9_000, 9_100, 9_900, 0];
        let words = "the end of its transaction";
        let required = [("exactly.once.support", "required")];
        assert!(Run::of(slow).with_connector(&required).has_evidence(words));
        assert!(!Run::of(slow).has_evidence(words));
        let quick = |_| [300, 700, 1_500, 2_200, 2_400, 2_500, 9_900, 0];
        let run = Run::of(quick).with_connector(&required);
        assert!(!run.has_evidence(words), "another hop is slower");
    }
}
