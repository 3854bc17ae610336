//! Why observations cannot be compared.

use crate::report::StoredError;

/// Why observations cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum ObservedComparisonError {
    /// A log cannot be read.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// No `latency.hlog`.
    #[error("{0} has no latency.hlog, which a comparison needs; observe again")]
    NoLog(String),
    /// What was observed is not the same.
    #[error("the two observations are not of the same pipeline: {}; --force compares them all the same", .0.join("; "))]
    Unlike(Vec<String>),
}
