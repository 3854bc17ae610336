//! All rules.

use super::evidence::ObservedEvidence;
use super::figures::Hops;
use super::{connector, group, sink_connector, sink_server, source, transactions};
use crate::analysis::Finding;

/// The findings of all rules, worst first. `hops`: of the user's changes, or of the canary where there were none.
#[must_use]
pub fn findings(hops: &Hops, evidence: &ObservedEvidence) -> Vec<Finding> {
    let mut findings: Vec<_> = [
        connector::findings(hops, evidence),
        source::findings(evidence),
        transactions::findings(evidence),
        group::findings(hops, evidence),
        sink_server::findings(hops, evidence),
        sink_connector::findings(hops, evidence),
    ]
    .concat();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}
