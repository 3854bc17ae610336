//! One side of a comparison: its events by round, and by blocks of time where there is one round only.

use std::collections::BTreeMap;

use crate::analysis::SignedHistogram;
use crate::timeline::{Hop, Hops, Stamp};

/// The hops that are compared.
pub const COMPARED: [Hop; 5] = [
    Hop::Capture,
    Hop::KafkaDelivery,
    Hop::ConsumerLag,
    Hop::Processing,
    Hop::Total,
];
/// Blocks of equal time the only round is cut into. Between 10 and 30 are enough for a sound variance, and more of them are
/// shorter and so hold less of what belongs together (Schmeiser, 1982, on batch means).
const BLOCKS: usize = 20;
/// Most events of a round that are kept for resampling; of more events, every second, fourth and so on is kept.
const KEPT_EVENTS: usize = 20_000;
/// Events of a side that go into the resampling.
const DRAWN_EVENTS: usize = 20_000;

/// An event: when it was sent, and its spans in nanoseconds in the order of [`COMPARED`].
#[derive(Debug, Clone, Copy)]
struct SampledEvent {
    t0: Stamp,
    spans: [Option<i64>; COMPARED.len()],
}

#[derive(Debug, Clone)]
struct Round {
    events: Vec<SampledEvent>,
    /// Every how many-th event is kept.
    stride: usize,
    count: usize,
}

impl Round {
    fn record(&mut self, event: SampledEvent) {
        if self.count.is_multiple_of(self.stride) {
            self.events.push(event);
        }
        self.count += 1;
        if self.events.len() > KEPT_EVENTS {
            let mut keep = false;
            self.events.retain(|_| {
                keep = !keep;
                keep
            });
            self.stride *= 2;
        }
    }
}

/// One side of a comparison.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    rounds: BTreeMap<u32, Round>,
    /// All events: the figures are theirs, whatever is drawn for the intervals.
    all_events: BTreeMap<Hop, SignedHistogram>,
}

impl Sample {
    /// Adds an event of a round.
    pub fn record(&mut self, round: u32, t0: Stamp, hops: &Hops) {
        for hop in COMPARED {
            if let Some(span) = hops.get(hop) {
                self.all_events.entry(hop).or_default().record(span);
            }
        }
        let spans = COMPARED.map(|hop| hops.get(hop).map(|span| span.0));
        self.rounds
            .entry(round)
            .or_insert_with(|| Round {
                events: Vec::new(),
                stride: 1,
                count: 0,
            })
            .record(SampledEvent { t0, spans });
    }

    /// How many rounds there are.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.rounds.len()
    }

    /// How many events there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.spans(Hop::Total).map_or(0, SignedHistogram::count)
    }

    /// The rounds' numbers.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.rounds.keys().copied()
    }

    /// Whether any event had this hop.
    #[must_use]
    pub fn has(&self, hop: Hop) -> bool {
        self.all_events.contains_key(&hop)
    }

    /// All spans of a hop.
    #[must_use]
    pub fn spans(&self, hop: Hop) -> Option<&SignedHistogram> {
        self.all_events.get(&hop)
    }

    /// A quantile over all events, in microseconds.
    #[must_use]
    pub fn quantile(&self, hop: Hop, quantile: f64) -> i64 {
        self.spans(hop)
            .map_or(0, |spans| spans.quantile(quantile).round_micros())
    }

    /// The median of a hop in each round, in microseconds, by the round's number.
    #[must_use]
    pub fn medians(&self, hop: Hop) -> Vec<(u32, i64)> {
        let place = COMPARED.iter().position(|known| *known == hop);
        self.rounds
            .iter()
            .filter_map(|(number, round)| {
                let mut spans: Vec<i64> = round
                    .events
                    .iter()
                    .filter_map(|event| event.spans[place?])
                    .collect();
                let middle = spans.len().checked_sub(1)? / 2;
                let (_, median, _) = spans.select_nth_unstable(middle);
                Some((*number, (*median + 500).div_euclid(1_000)))
            })
            .collect()
    }

    /// The median of a hop in each block of the only round that has events, nanoseconds, in their order; none of several
    /// rounds.
    pub(super) fn block_medians(&self, hop: Hop) -> Vec<Option<f64>> {
        if self.rounds() > 1 {
            return Vec::new();
        }
        let mut blocks = vec![Vec::new(); BLOCKS];
        for (span, block) in self.drawn_from(hop) {
            blocks[block].push(span);
        }
        let median = |mut spans: Vec<i64>| {
            let middle = spans.len() / 2;
            (!spans.is_empty()).then(|| *spans.select_nth_unstable(middle).1 as f64)
        };
        blocks.into_iter().map(median).collect()
    }

    /// The kept spans of a hop, smallest first.
    pub(super) fn sorted(&self, hop: Hop) -> Vec<i64> {
        let drawn = self.drawn_from(hop).into_iter();
        let mut spans: Vec<i64> = drawn.map(|(span, _)| span).collect();
        spans.sort_unstable();
        spans
    }

    /// How many parts there are to draw: the rounds, or the blocks of the only one.
    pub(super) fn strata(&self) -> usize {
        if self.rounds() > 1 {
            self.rounds()
        } else {
            BLOCKS
        }
    }

    /// The kept spans of a hop, each with its stratum.
    pub(super) fn drawn_from(&self, hop: Hop) -> Vec<(i64, usize)> {
        let Some(place) = COMPARED.iter().position(|known| *known == hop) else {
            return Vec::new();
        };
        let kept: usize = self.rounds.values().map(|round| round.events.len()).sum();
        let every = kept.div_ceil(DRAWN_EVENTS).max(1);
        let several = self.rounds() > 1;
        let mut spans = Vec::with_capacity(kept / every + 1);
        for (number, round) in self.rounds.values().enumerate() {
            let block = round.blocks();
            let events = round.events.iter().step_by(every);
            spans.extend(events.filter_map(|event| {
                let stratum = if several { number } else { block(event.t0) };
                Some((event.spans[place]?, stratum))
            }));
        }
        spans
    }
}

impl Round {
    /// Which block a time of the round lies in.
    fn blocks(&self) -> impl Fn(Stamp) -> usize + use<> {
        let times = || self.events.iter().map(|event| event.t0);
        let first = times().min().unwrap_or(Stamp(0));
        // A nanosecond more, so that the last event lies in the last block.
        let length = times().max().map_or(1, |last| (last - first).0 + 1);
        move |t0| {
            let block = i128::from((t0 - first).0) * BLOCKS as i128 / i128::from(length);
            usize::try_from(block).unwrap_or(0).min(BLOCKS - 1)
        }
    }
}

/// The share of pairs, one of each side, in which the second is larger; pairs that are equal count half.
pub(super) fn slower_in(baseline: &[i64], candidate: &[i64]) -> f64 {
    if baseline.is_empty() || candidate.is_empty() {
        return 0.5;
    }
    let (mut below, mut upto, mut sum) = (0, 0, 0.0);
    for value in candidate {
        while below < baseline.len() && baseline[below] < *value {
            below += 1;
        }
        while upto < baseline.len() && baseline[upto] <= *value {
            upto += 1;
        }
        sum += (below + upto) as f64 / 2.0;
    }
    sum / (baseline.len() as f64 * candidate.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Stamps;

    #[test]
    fn pairs_are_counted() {
        assert!((slower_in(&[1, 2, 3], &[1, 2, 3]) - 0.5).abs() < 1e-12);
        assert!((slower_in(&[1, 2], &[3, 4]) - 1.0).abs() < 1e-12);
        assert!((slower_in(&[3, 4], &[1, 3]) - 0.125).abs() < 1e-12);
        assert!((slower_in(&[], &[1]) - 0.5).abs() < 1e-12);
    }

    fn hops(t0: i64) -> Hops {
        let at = |n: i64| Stamp(t0 + n);
        Stamps {
            ts: at(0),
            t0: at(0),
            ta: at(1),
            tc: at(1),
            t1: at(2),
            td: None,
            t2: at(3),
            t3: at(4),
            t4: at(5),
            t5: at(9_000),
        }
        .hops()
    }

    #[test]
    fn blocks_part_the_only_round_evenly_and_memory_stays_bounded() {
        let mut sample = Sample::default();
        for n in 0..100_000 {
            sample.record(7, Stamp(n), &hops(n));
        }
        assert!(
            sample
                .rounds
                .values()
                .all(|r| r.events.len() <= KEPT_EVENTS)
        );
        let drawn = sample.drawn_from(Hop::Total);
        assert!(drawn.len() <= DRAWN_EVENTS, "{}", drawn.len());
        for block in 0..BLOCKS {
            let events = drawn.iter().filter(|(_, of)| *of == block).count();
            assert!(events.abs_diff(drawn.len() / BLOCKS) <= 2, "{events}");
        }
        assert_eq!(sample.count(), 100_000, "the figures are of all events");
    }

    #[test]
    fn several_rounds_are_drawn_whole() {
        let mut sample = Sample::default();
        for round in [3, 8] {
            for n in 0..50 {
                sample.record(round, Stamp(n * 50), &hops(n * 50));
            }
        }
        assert_eq!((sample.rounds(), sample.strata()), (2, 2));
        let drawn = sample.drawn_from(Hop::Total);
        assert_eq!(drawn.iter().filter(|(_, of)| *of == 1).count(), 50);
        assert_eq!(sample.medians(Hop::Total), [(3, 9), (8, 9)]);
    }
}
