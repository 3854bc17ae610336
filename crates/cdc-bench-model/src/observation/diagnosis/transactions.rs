//! Big transactions: their changes come together after the commit, however quick the pipeline is.

use super::evidence::{BIG, ObservedEvidence, SpansByPlace};
use super::figures::{finding, ms, percent};
use crate::analysis::{Finding, Severity};

/// Below this share of the changes they do not show in the quantiles.
const SHARE_PERCENT: u64 = 5;

pub(super) fn findings(evidence: &ObservedEvidence) -> Vec<Finding> {
    let transactions = &evidence.transactions;
    let share = percent(transactions.changes_in_big, transactions.changes);
    if share < SHARE_PERCENT {
        return Vec::new();
    }
    let by_place = transactions.debezium.map_or(String::new(), |spans| {
        let SpansByPlace {
            first_tenth: first,
            last_tenth: last,
        } = spans;
        format!(
            "; debezium takes {} at the median ({} at p99) in the first tenth of such a transaction, and {} ({}) in its last",
            ms(first.p50),
            ms(first.p99),
            ms(last.p50),
            ms(last.p99)
        )
    });
    vec![finding(
        None,
        Severity::Warning,
        format!(
            "{share} % of the changes are of transactions with more than {BIG} of them, the largest with {}; from its first change to its last our own reader took {} ms, and nothing behind it can be quicker{by_place}",
            transactions.largest,
            transactions.largest_took.as_millis()
        ),
        "the tail shows the size of these transactions, not a slow part: commit in smaller ones, or judge the pipeline by the median and by --table of others",
    )]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::evidence::{SpansByPlace, TransactionEvidence};
    use super::super::fixture::Case;
    use crate::analysis::SignedHistogram;
    use crate::timeline::Nanos;

    #[test]
    fn big_transactions_are_told_from_a_slow_pipeline() {
        let mut case = Case::new();
        case.evidence.transactions = TransactionEvidence {
            transactions: 3,
            changes: 50_100,
            changes_in_big: 50_000,
            largest: 50_000,
            largest_took: Duration::from_millis(1_900),
            debezium: None,
        };
        assert!(!case.says("first tenth"));
        let spans = |ms: i64| {
            let mut spans = SignedHistogram::default();
            spans.record(Nanos::from_millis(ms));
            spans.statistics(None)
        };
        case.evidence.transactions.debezium = Some(SpansByPlace {
            first_tenth: spans(40),
            last_tenth: spans(840),
        });
        assert!(case.says("40.0 ms at the median"));
        assert!(case.says("in the first tenth of such a transaction, and 840 ms"));
        assert!(case.says("99 % of the changes are of transactions with more than 1000"));
        assert!(case.says("1900 ms"));
        case.evidence.transactions.changes_in_big = 0;
        assert!(case.findings().is_empty());
    }
}
