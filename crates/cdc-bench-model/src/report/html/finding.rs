//! A finding of a diagnosis, as pages show it.

use crate::analysis::{Finding, Severity};
use crate::report::figures;

/// What a page shows of a finding.
pub(super) struct FindingView<'a> {
    /// What it is about.
    pub(super) about: String,
    pub(super) severity: &'static str,
    pub(super) evidence: &'a str,
    pub(super) advice: String,
}

impl<'a> FindingView<'a> {
    pub(super) fn new(about: String, finding: &'a Finding) -> Self {
        Self {
            about,
            severity: match finding.severity {
                Severity::Critical => "critical",
                Severity::Warning => "warning",
                Severity::Info => "info",
            },
            evidence: &finding.evidence,
            advice: figures::advice(finding),
        }
    }
}
