//! The load generator itself.

use super::evidence::Evidence;
use super::finding::{Finding, Severity};
use super::wording::ms;
use crate::timeline::Hop;

pub(super) fn findings(evidence: Evidence<'_>) -> Vec<Finding> {
    late_schedule(evidence).into_iter().collect()
}

/// A load generator that falls behind its schedule is itself the bottleneck.
fn late_schedule(evidence: Evidence<'_>) -> Option<Finding> {
    let lag = evidence.hop(Hop::ScheduleLag)?;
    let rate = evidence.conditions.rate_per_s?;
    let total = evidence.total()?;
    // A tenth of a second, or as much as the pipeline itself takes where that is more than a few milliseconds.
    if lag.p99 < 100_000 && lag.p99 < total.p99.max(20_000) {
        return None;
    }
    Some(Finding::new(
        None,
        Severity::Critical,
        format!(
            "INSERTs were sent up to {} behind the schedule of {rate} a second at p99: this result is about the load generator, or PostgreSQL's commits, more than about the pipeline",
            ms(lag.p99)
        ),
        "lower --rate, or raise --connections or --insert-batch; the totals count from the INSERT, \"from schedule\" from when it was wanted",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Run;
    use super::*;

    fn run(lag: i64) -> Run {
        Run::of(move |_| [300, 700, 1_500, 2_200, 2_900, 2_950, 3_700, lag])
    }

    #[test]
    fn a_generator_behind_its_schedule_says_that_the_result_is_about_itself() {
        let found = run(400_000).diagnose();
        assert_eq!(found.findings[0].severity, Severity::Critical);
        assert!(
            found.findings[0]
                .evidence
                .contains("about the load generator")
        );
        assert!(
            run(30_000).has_evidence("behind the schedule"),
            "eight times the total"
        );
        assert!(!run(5_000).has_evidence("behind the schedule"));
        let mut at_max = run(400_000);
        at_max.conditions.rate_per_s = None;
        assert!(!at_max.has_evidence("behind the schedule"), "there is none");
    }
}
