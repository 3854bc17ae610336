//! What rules have in common: figures of hops, and their words.

use std::collections::BTreeMap;

use crate::analysis::{Finding, HopStatistics, Severity};
use crate::observation::ObservedHop;
use crate::timeline::Nanos;

/// Quantiles by hop name.
pub(super) type Hops = BTreeMap<String, HopStatistics>;

pub(super) fn finding(
    hop: Option<ObservedHop>,
    severity: Severity,
    evidence: impl Into<String>,
    advice: impl Into<String>,
) -> Finding {
    Finding {
        hop: hop.map(|hop| hop.as_str().to_owned()),
        severity,
        evidence: evidence.into(),
        advice: advice.into(),
        expected_gain: None,
    }
}

/// The quantiles of a hop that some change has.
pub(super) fn hop(hops: &Hops, hop: ObservedHop) -> Option<&HopStatistics> {
    hops.get(hop.as_str()).filter(|hop| hop.count > 0)
}

/// The same, where it is longer than its bound.
pub(super) fn certain(hops: &Hops, name: ObservedHop) -> Option<&HopStatistics> {
    let found = hop(hops, name)?;
    let bound = found.error_bound?;
    (found.p50 > bound).then_some(found)
}

/// Whether this hop is most of the total, beyond what the clocks leave open.
pub(super) fn is_most_of_total(hops: &Hops, name: ObservedHop) -> bool {
    let total = hop(hops, ObservedHop::Total).map_or(0, |total| total.mean);
    certain(hops, name).is_some_and(|hop| hop.mean * 2 >= total)
}

pub(super) fn ms(us: i64) -> String {
    let (number, unit) = Nanos::from_micros(us).to_three_digits();
    format!("{number} {unit}")
}

/// Whole percent; nothing of nothing is nothing.
pub(super) fn percent(part: u64, whole: u64) -> u64 {
    (part * 100).checked_div(whole).unwrap_or(0)
}

pub(super) fn mebibytes(bytes: u64) -> u64 {
    bytes >> 20
}
