//! Big transactions: their changes come together after the commit, however quick the pipeline is.

use super::evidence::{BIG, ObservedEvidence};
use super::figures::{finding, percent};
use crate::analysis::{Finding, Severity};

/// Below this share of the changes they do not show in the quantiles.
const SHARE_PERCENT: u64 = 5;

pub(super) fn findings(evidence: &ObservedEvidence) -> Vec<Finding> {
    let transactions = &evidence.transactions;
    let share = percent(transactions.changes_in_big, transactions.changes);
    if share < SHARE_PERCENT {
        return Vec::new();
    }
    vec![finding(
        None,
        Severity::Warning,
        format!(
            "{share} % of the changes are of transactions with more than {BIG} of them, the largest with {}; from its first change to its last our own reader took {} ms, and nothing behind it can be quicker",
            transactions.largest,
            transactions.largest_took.as_millis()
        ),
        "the tail shows the size of these transactions, not a slow part: commit in smaller ones, or judge the pipeline by the median and by --table of others",
    )]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::evidence::TransactionEvidence;
    use super::super::fixture::Case;

    #[test]
    fn big_transactions_are_told_from_a_slow_pipeline() {
        let mut case = Case::new();
        case.evidence.transactions = TransactionEvidence {
            transactions: 3,
            changes: 50_100,
            changes_in_big: 50_000,
            largest: 50_000,
            largest_took: Duration::from_millis(1_900),
        };
        assert!(case.says("99 % of the changes are of transactions with more than 1000"));
        assert!(case.says("1900 ms"));
        case.evidence.transactions.changes_in_big = 0;
        assert!(case.findings().is_empty());
    }
}
