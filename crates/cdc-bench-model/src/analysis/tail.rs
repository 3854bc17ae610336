//! The slowest events with all their hops: their slowest hop may differ from that at the median.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::timeline::{Hop, Hops, Nanos};

/// Most events kept. Of more than a hundred times as many, fewer than one in a hundred are.
const MOST: usize = 1_000;

/// Total, and the four hops that add up to it.
type SlowEvent = (i64, [i64; Hop::PIPELINE.len()]);

/// The slowest events so far.
#[derive(Debug, Clone, Default)]
pub struct Tail {
    /// The least slow of them on top.
    slowest: BinaryHeap<Reverse<SlowEvent>>,
    events: usize,
}

impl Tail {
    /// Adds an event.
    pub fn record(&mut self, hops: &Hops) {
        self.events += 1;
        let span = |hop| hops.get(hop).map_or(0, |span| span.0);
        self.keep((span(Hop::Total), Hop::PIPELINE.map(span)));
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

    /// Mean of each hop over the slowest hundredth of all events, or the slowest thousand where that is fewer.
    #[must_use]
    pub fn mean_hops(&self) -> Vec<(Hop, Nanos)> {
        let wanted = self.events.div_ceil(100).min(self.slowest.len());
        if wanted == 0 {
            return Vec::new();
        }
        let mut events: Vec<_> = self.slowest.iter().map(|Reverse(event)| event).collect();
        events.sort_unstable_by(|a, b| b.cmp(a));
        let mean = |place: usize| {
            let sum: i128 = events[..wanted]
                .iter()
                .map(|(_, hops)| i128::from(hops[place]))
                .sum();
            let count = i128::try_from(wanted).unwrap_or(1);
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
                tail.keep((lag + 20, [3, 4, lag, 13]));
            }
            whole.add(&tail);
        }
        let means = whole.mean_hops();
        assert_eq!(means[2], (Hop::ConsumerLag, Nanos(1_002)));
        assert_eq!(means[3], (Hop::Processing, Nanos(13)));
        assert_eq!(whole.slowest.len(), MOST);
        assert!(Tail::default().mean_hops().is_empty());
    }
}
