//! Big transactions: their changes come together after the commit, the last of them late however quick the pipeline is.

use serde::{Deserialize, Serialize};

use crate::observation::diagnosis::{BIG, SpansByPlace, TransactionEvidence};

/// How the changes of the observed tables lay in transactions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TransactionsReport {
    /// Transactions with changes of the observed tables.
    pub transactions: u64,
    /// Changes of a transaction that is called big, at least.
    pub big: u64,
    /// Changes of big transactions.
    pub changes_in_big: u64,
    /// Changes of the largest transaction.
    pub largest: u64,
    /// How long our own reader took from the first change of the largest to its last.
    pub largest_took: i64,
    /// `debezium` by place in big transactions, where some of their changes were followed to their end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub debezium: Option<SpansByPlace>,
}

impl TransactionsReport {
    /// Of this evidence.
    #[must_use]
    pub fn of(evidence: &TransactionEvidence) -> Self {
        let took = evidence.largest_took.as_micros();
        Self {
            transactions: evidence.transactions,
            big: BIG + 1,
            changes_in_big: evidence.changes_in_big,
            largest: evidence.largest,
            largest_took: i64::try_from(took).unwrap_or(i64::MAX),
            debezium: evidence.debezium,
        }
    }
}
