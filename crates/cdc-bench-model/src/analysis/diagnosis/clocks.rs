//! Figures that are uncertain because a clock is not known well enough.

use super::evidence::Evidence;
use super::finding::{Finding, Severity};
use super::wording::ms;
use crate::timeline::{CapturePath, Hop};

pub(super) fn findings(evidence: Evidence<'_>) -> Vec<Finding> {
    create_time(evidence)
        .into_iter()
        .chain(within_error(evidence))
        .collect()
}

fn create_time(evidence: Evidence<'_>) -> Option<Finding> {
    if evidence.path.path() != CapturePath::Debezium || evidence.conditions.log_append_time {
        return None;
    }
    Some(Finding::new(
        Some(Hop::KafkaDelivery),
        Severity::Warning,
        "the topic keeps its producer's timestamps (CreateTime), so \"in Kafka\" is when Connect made the record, on Connect's clock",
        "set message.timestamp.type=LogAppendTime on the topic to measure when the broker had it",
    ))
}

/// A median within its error; a warning where that may hide what matters.
fn within_error(evidence: Evidence<'_>) -> Vec<Finding> {
    let total = evidence.total().map_or(0, |total| total.p50);
    let finding = |hop: Hop| {
        let statistics = evidence.hop(hop).filter(|h| h.error_bound != Some(0))?;
        if !statistics.is_within_error() {
            return None;
        }
        let bound = statistics.error_bound;
        let too_large = bound.is_none_or(|bound| bound * 2 > total.max(4_000));
        let words = bound.map_or_else(
            || "of which nothing is known".to_owned(),
            |bound| format!("known within ±{}", ms(bound)),
        );
        Some(if too_large {
            Finding::new(
                Some(hop),
                Severity::Warning,
                format!(
                    "{} ends and begins on clocks {words}: too little to tell how long it takes",
                    hop.as_str()
                ),
                "keep the clocks in step (chrony, NTP), or measure nearer to the servers: the bound is half a round trip",
            )
        } else {
            Finding::new(
                Some(hop),
                Severity::Info,
                format!(
                    "the median of {} is within the error of its clocks, {words}: Kafka's timestamps are whole milliseconds",
                    hop.as_str()
                ),
                "read it as \"below the bound\"; the total does not depend on it",
            )
        })
    };
    [Hop::KafkaDelivery, Hop::ConsumerLag]
        .into_iter()
        .filter_map(finding)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::fixture::Run;
    use crate::timeline::CapturePath;

    #[test]
    fn create_time_is_told_where_the_record_is_connects() {
        let mut run = Run::quick();
        run.conditions.log_append_time = false;
        assert!(run.has_evidence("CreateTime"));
        run.path = CapturePath::Wal;
        assert!(
            !run.has_evidence("CreateTime"),
            "our producer has its own stamp"
        );
        assert!(!Run::quick().has_evidence("CreateTime"));
    }

    #[test]
    fn a_median_within_its_error_is_told_and_an_error_too_large_to_tell_warned_of() {
        let mut run = Run::quick();
        run.bound = 900;
        let found = run.diagnose();
        assert_eq!(found.findings.len(), 1, "consumer_lag is 0.7 ms: {found:?}");
        assert_eq!(found.findings[0].severity, Severity::Info);
        run.bound = 30_000;
        assert!(run.has_evidence("known within ±30.0 ms: too little to tell"));
        run.bound = 100;
        assert!(!run.has_evidence("known within"));
    }
}
