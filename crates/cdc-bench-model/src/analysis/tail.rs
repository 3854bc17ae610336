//! The slowest events with all their hops: their slowest hop may differ from that at the median.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use serde::{Deserialize, Serialize};

use crate::timeline::{Hop, Hops, Nanos};

/// Most events kept. Of more than a hundred times as many, fewer than one in a hundred are.
const MOST: usize = 1_000;

/// Total, the four hops that add up to it, and the record's partition, where its topic has several.
type SlowEvent = (i64, [i64; Hop::PIPELINE.len()], Option<i32>);

/// The slowest events so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Tail {
    /// The least slow of them on top.
    slowest: BinaryHeap<Reverse<SlowEvent>>,
    events: usize,
}

impl Tail {
    /// Adds an event.
    pub fn record(&mut self, hops: &Hops, partition: Option<i32>) {
        self.events += 1;
        let span = |hop| hops.get(hop).map_or(0, |span| span.0);
        self.keep((span(Hop::Total), Hop::PIPELINE.map(span), partition));
    }

    fn keep(&mut self, event: SlowEvent) {
        if self.slowest.len() < MOST {
            self.slowest.push(Reverse(event));
        } else if self
            .slowest
            .peek()
            .is_some_and(|Reverse(least)| event > *least)
        {
            self.slowest.pop();
            self.slowest.push(Reverse(event));
        }
    }

    /// Adds the events of another part of the path's run.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        for Reverse(event) in &other.slowest {
            self.keep(*event);
        }
    }

    /// The slowest hundredth of all events, or the slowest thousand where that is fewer.
    fn slowest_hundredth(&self) -> Vec<SlowEvent> {
        let wanted = self.events.div_ceil(100).min(self.slowest.len());
        let events = self.slowest.iter().map(|Reverse(event)| *event);
        let mut events: Vec<_> = events.collect();
        events.sort_unstable_by(|a, b| b.cmp(a));
        events.truncate(wanted);
        events
    }

    /// The share of the time of the slowest hundredth that their records waited in Kafka in this partition, 0 to 1.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // a ratio for a rule
    pub fn share_of_lag_in(&self, partition: i32) -> f64 {
        let lag = Hop::PIPELINE
            .iter()
            .position(|hop| *hop == Hop::ConsumerLag)
            .unwrap_or(0);
        let (mut waited, mut all) = (0, 0);
        for (total, hops, of) in self.slowest_hundredth() {
            all += i128::from(total);
            if of == Some(partition) {
                waited += i128::from(hops[lag]);
            }
        }
        waited as f64 / all.max(1) as f64
    }

    /// Mean of each hop over the slowest hundredth of all events, or the slowest thousand where that is fewer.
    #[must_use]
    pub fn mean_hops(&self) -> Vec<(Hop, Nanos)> {
        let events = self.slowest_hundredth();
        if events.is_empty() {
            return Vec::new();
        }
        let mean = |place: usize| {
            let sum: i128 = events
                .iter()
                .map(|(_, hops, _)| i128::from(hops[place]))
                .sum();
            let count = i128::try_from(events.len()).unwrap_or(1);
            Nanos(i64::try_from(sum / count).unwrap_or(i64::MAX))
        };
        (0..)
            .zip(Hop::PIPELINE)
            .map(|(place, hop)| (hop, mean(place)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_hundredth_is_told_from_the_rest() {
        let mut whole = Tail::default();
        for part in 0..5 {
            let mut tail = Tail::default();
            for n in 0..1_000 {
                // Ten in a thousand wait a second in Kafka's queue; all the others spend their time in the store.
                let lag = if n % 100 == 0 { 1_000 + part } else { 1 };
                tail.events += 1;
                tail.keep((lag + 20, [3, 4, lag, 13], Some(i32::from(lag > 1))));
            }
            whole.add(&tail);
        }
        let means = whole.mean_hops();
        assert_eq!(means[2], (Hop::ConsumerLag, Nanos(1_002)));
        assert_eq!(means[3], (Hop::Processing, Nanos(13)));
        assert_eq!(whole.slowest.len(), MOST);
        assert!(whole.share_of_lag_in(1) > 0.95 && whole.share_of_lag_in(0) < 0.01);
        assert!(Tail::default().mean_hops().is_empty());
    }
}
