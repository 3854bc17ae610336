//! A finding: what a run shows, and what to do about it.

use serde::{Deserialize, Serialize};

use crate::timeline::Hop;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Information.
    Info,
    /// Costs time, or makes a figure less certain.
    Warning,
    /// The main cost, or a reason to doubt the result.
    Critical,
}

/// An observation about the run, with advice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The hop it is about (`null`: the run as a whole).
    pub hop: Option<String>,
    /// Its severity.
    pub severity: Severity,
    /// The observation, with its figures.
    pub evidence: String,
    /// What to do.
    pub advice: String,
    /// Expected reduction of the median if the advice is followed, microseconds, if it can be estimated.
    #[serde(default)]
    pub expected_gain: Option<i64>,
}

impl Finding {
    /// Without an expected gain.
    #[must_use]
    pub fn new(
        hop: Option<Hop>,
        severity: Severity,
        evidence: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            hop: hop.map(|hop| hop.as_str().to_owned()),
            severity,
            evidence: evidence.into(),
            advice: advice.into(),
            expected_gain: None,
        }
    }

    /// The same with an expected gain, microseconds, where it is above zero.
    pub(super) fn gaining(mut self, us: i64) -> Self {
        self.expected_gain = Some(us).filter(|us| *us > 0);
        self
    }
}
