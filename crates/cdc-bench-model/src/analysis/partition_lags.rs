//! The time that records waited in Kafka, by partition of their topic.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::SignedHistogram;
use crate::timeline::Joined;

/// Time in Kafka (`consumer_lag`) by partition; empty where a topic has not several.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PartitionLags(BTreeMap<i32, SignedHistogram>);

impl PartitionLags {
    /// Adds an event, if its partition is known.
    pub fn record(&mut self, event: &Joined) {
        if let Some(partition) = event.partition {
            let spans = self.0.entry(partition).or_default();
            spans.record(event.stamps.t3 - event.stamps.t2);
        }
    }

    /// Adds the events of another machine.
    pub fn add(&mut self, other: &Self) {
        for (partition, spans) in other.iter() {
            self.0.entry(partition).or_default().add(spans);
        }
    }

    /// The spans of each partition that had an event.
    pub fn iter(&self) -> impl Iterator<Item = (i32, &SignedHistogram)> {
        self.0.iter().map(|(partition, spans)| (*partition, spans))
    }

    /// The spans of one partition; `None` if no event was in it.
    #[must_use]
    pub fn get(&self, partition: i32) -> Option<&SignedHistogram> {
        self.0.get(&partition)
    }

    /// Events of all partitions.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.0.values().map(SignedHistogram::count).sum()
    }
}
