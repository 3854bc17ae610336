//! What the rules look at: the figures of one capture path and the conditions of its run.

use std::collections::BTreeMap;

use super::Conditions;
use crate::analysis::{HopStatistics, PathStatistics};
use crate::timeline::Hop;

/// The input of a rule.
#[derive(Clone, Copy)]
pub(super) struct Evidence<'a> {
    pub(super) path: &'a PathStatistics,
    pub(super) hops: &'a BTreeMap<String, HopStatistics>,
    pub(super) conditions: &'a Conditions,
    pub(super) slowest: Hop,
    pub(super) slowest_in_tail: Hop,
}

impl Evidence<'_> {
    pub(super) fn hop(&self, hop: Hop) -> Option<&HopStatistics> {
        self.hops.get(hop.as_str()).filter(|h| h.count > 0)
    }

    /// A hop whose median is larger than its error bound.
    pub(super) fn certain(&self, hop: Hop) -> Option<&HopStatistics> {
        self.hop(hop)
            .filter(|h| h.error_bound == Some(0) || !h.is_within_error())
    }

    pub(super) fn is_slowest(&self, hop: Hop) -> bool {
        self.slowest == hop
    }

    /// Whether a hop is the slowest one at the median or in the tail.
    pub(super) fn is_slow(&self, hop: Hop) -> bool {
        self.slowest == hop || self.slowest_in_tail == hop
    }

    pub(super) fn total(&self) -> Option<&HopStatistics> {
        self.hop(Hop::Total)
    }
}
