//! Quantiles of observed changes, by hop. A change of a sample counts for those that it stands for.

use std::collections::BTreeMap;

use super::{ObservedHop, ObservedHops};
use crate::analysis::{HopStatistics, SignedHistogram};
use crate::timeline::Nanos;

/// Histograms of a set of changes.
#[derive(Debug, Clone, Default)]
pub struct ObservedStatistics {
    hops: [SignedHistogram; ObservedHop::ALL.len()],
}

impl ObservedStatistics {
    /// Adds a change that stands for `weight` of them.
    pub fn record(&mut self, hops: &ObservedHops, weight: u64) {
        for hop in ObservedHop::ALL {
            if let Some(span) = hops.get(hop) {
                self.hops[hop.index()].record_many(span, weight);
            }
        }
    }

    /// Adds a span of one hop, of a change that stands for `weight` of them.
    pub fn record_hop(&mut self, hop: ObservedHop, span: Nanos, weight: u64) {
        self.hops[hop.index()].record_many(span, weight);
    }

    /// The spans of a hop.
    #[must_use]
    pub fn hop(&self, hop: ObservedHop) -> &SignedHistogram {
        &self.hops[hop.index()]
    }

    /// Quantiles by hop name; hops without a change are left out.
    #[must_use]
    pub fn report(
        &self,
        bound: impl Fn(ObservedHop) -> Option<Nanos>,
    ) -> BTreeMap<String, HopStatistics> {
        let known = ObservedHop::ALL
            .into_iter()
            .filter(|hop| self.hop(*hop).count() > 0);
        known
            .map(|hop| {
                let statistics = self.hop(hop).statistics(bound(hop));
                (hop.as_str().to_owned(), statistics)
            })
            .collect()
    }
}
