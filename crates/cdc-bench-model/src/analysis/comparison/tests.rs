//! The A/A property and what is found, on latencies made as pipelines make them: skewed, autocorrelated, with bursts that
//! slow a stretch of events, and with rounds that differ from each other.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::timeline::{Hop, Hops, Stamp, Stamps};

/// What a pipeline is like.
#[derive(Clone, Copy)]
struct Pipeline {
    rounds: u32,
    events: i64,
    /// Factor on one hop.
    slow: Option<(Hop, f64)>,
    /// How far a round as a whole differs from the next, as a standard deviation.
    between_rounds: f64,
    /// How far a stretch of some twenty events differs from the next.
    within_rounds: f64,
}

impl Pipeline {
    /// Ten rounds, as `run --interleave` makes them.
    const DEFAULT: Self = Self {
        rounds: 10,
        events: 500,
        slow: None,
        between_rounds: 0.03,
        within_rounds: 0.12,
    };
    /// On a machine that does much else.
    const BUSY: Self = Self {
        between_rounds: 0.15,
        within_rounds: 0.35,
        ..Self::DEFAULT
    };
}

/// A standard normal deviate (Box and Muller).
fn normal(random: &mut SmallRng) -> f64 {
    let (u, v): (f64, f64) = (random.random_range(1e-12..1.0), random.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[allow(clippy::cast_possible_truncation)] // a latency in nanoseconds
fn sample(pipeline: Pipeline, seed: u64) -> Sample {
    const MEDIANS: [(Hop, f64); 4] = [
        (Hop::Capture, 600e3),
        (Hop::KafkaDelivery, 2_400e3),
        (Hop::ConsumerLag, 400e3),
        (Hop::Processing, 1_300e3),
    ];
    let mut random = SmallRng::seed_from_u64(seed);
    let mut sample = Sample::default();
    for round in 0..pipeline.rounds {
        let mut t0 = i64::from(round) * 60_000_000_000;
        let drift = (normal(&mut random) * pipeline.between_rounds).exp();
        let mut state = [0.0; 4];
        let mut burst = 0;
        for _ in 0..pipeline.events {
            t0 += 6_000_000;
            // A pause now and then: the next events queue up behind it.
            if random.random_bool(0.002) {
                burst = 30;
            }
            burst = (burst - 1).max(0);
            let mut at = t0;
            let mut stamps = [t0; 4];
            for (n, (hop, median)) in MEDIANS.into_iter().enumerate() {
                // Neighbours are alike: an autoregression whose memory is twenty events long.
                state[n] = 0.95 * state[n] + 0.31 * normal(&mut random);
                let factor = pipeline
                    .slow
                    .filter(|(slow, _)| *slow == hop)
                    .map_or(1.0, |(_, factor)| factor);
                let span = median
                    * factor
                    * drift
                    * (pipeline.within_rounds * state[n] + 0.2 * normal(&mut random)).exp();
                at += span as i64;
                if n == 3 {
                    at += i64::from(burst) * 1_000_000;
                }
                stamps[n] = at;
            }
            sample.record(round, Stamp(t0), &hops(t0, stamps));
        }
    }
    sample
}

fn hops(t0: i64, [t1, t2, t3, t5]: [i64; 4]) -> Hops {
    Stamps {
        ts: Stamp(t0),
        t0: Stamp(t0),
        ta: Stamp(t0),
        tc: Stamp(t0),
        t1: Stamp(t1),
        td: None,
        t2: Stamp(t2),
        t3: Stamp(t3),
        t4: Stamp(t3),
        t5: Stamp(t5),
    }
    .hops()
}

const TERMS: Terms = Terms {
    pairing: Pairing::Independent,
    run_noise: 0.0,
    seed: 1,
};

fn of(baseline: &Sample, candidate: &Sample) -> Comparison {
    compare(baseline, candidate, TERMS, |_| Some(0))
}

/// Comparisons of a pipeline with itself in which anything is called, at any hop or quantile.
fn false_alarms(pipeline: Pipeline, comparisons: u64, terms: Terms) -> Vec<String> {
    (0..comparisons)
        .filter_map(|n| {
            let (a, b) = (sample(pipeline, 2 * n + 1), sample(pipeline, 2 * n + 2));
            let comparison = compare(&a, &b, terms, |_| Some(0));
            let called: Vec<_> = comparison.called().copied().collect();
            (!called.is_empty()).then(|| format!("{n}: {called:?}"))
        })
        .collect()
}

#[test]
fn twenty_comparisons_of_a_thing_with_itself_call_at_most_one() {
    for pipeline in [Pipeline::DEFAULT, Pipeline::BUSY] {
        let alarms = false_alarms(pipeline, 20, TERMS);
        assert!(alarms.len() <= 1, "{alarms:#?}");
    }
}

#[test]
fn three_rounds_are_not_too_sure_of_themselves() {
    let few = Pipeline {
        rounds: 3,
        ..Pipeline::DEFAULT
    };
    let alarms = false_alarms(few, 20, TERMS);
    assert!(alarms.len() <= 1, "{alarms:#?}");
}

#[test]
fn single_runs_with_bursts_do_not_make_each_other_slower() {
    let single = Pipeline {
        rounds: 1,
        events: 4_000,
        ..Pipeline::DEFAULT
    };
    let terms = Terms {
        run_noise: 0.10,
        ..TERMS
    };
    let alarms = false_alarms(single, 20, terms);
    assert!(alarms.len() <= 1, "{alarms:#?}");
}

#[test]
fn fifteen_percent_in_one_hop_are_found_nine_times_of_ten() {
    for hop in [Hop::Capture, Hop::KafkaDelivery, Hop::Processing] {
        let slowed = Pipeline {
            slow: Some((hop, 1.15)),
            ..Pipeline::DEFAULT
        };
        let mut found = 0;
        for n in 0..10 {
            let comparison = of(
                &sample(Pipeline::DEFAULT, 100 + n),
                &sample(slowed, 200 + n),
            );
            let called: Vec<_> = comparison.called().map(|d| (d.hop, d.call)).collect();
            found += u32::from(called.contains(&(hop, DifferenceVerdict::Slower)));
            assert!(
                called
                    .iter()
                    .all(|(h, call)| [hop, Hop::Total].contains(h)
                        && *call == DifferenceVerdict::Slower),
                "{called:?}"
            );
        }
        assert!(found >= 9, "{}: {found} of 10", hop.as_str());
    }
}

#[test]
fn the_interval_holds_the_true_difference() {
    let slowed = Pipeline {
        slow: Some((Hop::KafkaDelivery, 1.3)),
        ..Pipeline::DEFAULT
    };
    let held = (0..20).filter(|n| {
        let comparison = of(
            &sample(Pipeline::DEFAULT, 300 + n),
            &sample(slowed, 400 + n),
        );
        let found = comparison.of(Hop::KafkaDelivery, "p50").unwrap();
        (found.low..=found.high).contains(&720)
    });
    assert!(held.count() >= 19);
}

#[test]
fn what_is_common_to_both_sides_cancels_out() {
    // The same rounds, good and bad, with a hop 8 % slower: seen apart it drowns in the rounds, seen in pairs it shows.
    let uneven = Pipeline {
        between_rounds: 0.25,
        ..Pipeline::DEFAULT
    };
    let slowed = Pipeline {
        slow: Some((Hop::Processing, 1.08)),
        ..uneven
    };
    let (a, b) = (sample(uneven, 5), sample(slowed, 5));
    let apart = of(&a, &b);
    assert_eq!(apart.outcome, Outcome::NoDifferenceShown);
    let terms = Terms {
        pairing: Pairing::Moments,
        ..TERMS
    };
    let paired = compare(&a, &b, terms, |_| Some(0));
    let found = paired.of(Hop::Processing, "p50").unwrap();
    assert_eq!(found.call, DifferenceVerdict::Slower, "{found:?}");
    assert_eq!(paired.outcome, Outcome::Slower);
}

#[test]
fn clocks_that_differ_by_more_keep_a_hop_from_being_called() {
    let slowed = Pipeline {
        slow: Some((Hop::KafkaDelivery, 1.5)),
        ..Pipeline::DEFAULT
    };
    let (a, b) = (sample(Pipeline::DEFAULT, 7), sample(slowed, 8));
    let clock_error = |hop| match hop {
        Hop::KafkaDelivery => Some(2_000),
        Hop::ConsumerLag => None,
        _ => Some(0),
    };
    let comparison = compare(&a, &b, TERMS, clock_error);
    let hop = comparison.of(Hop::KafkaDelivery, "p50").unwrap();
    assert_eq!(hop.call, DifferenceVerdict::WithinClockError, "{hop:?}");
    let total = comparison.of(Hop::Total, "p50").unwrap();
    assert_eq!(
        total.call,
        DifferenceVerdict::Slower,
        "the total is on one clock"
    );
    assert!(comparison.regression(10.0).is_some());
    assert!(comparison.regression(500.0).is_none());
}

#[test]
fn the_same_samples_have_the_same_intervals_and_differ_by_nothing() {
    let a = sample(Pipeline::DEFAULT, 11);
    let comparison = of(&a, &a);
    assert_eq!(comparison.outcome, Outcome::NoDifferenceShown);
    assert!(comparison.differences.iter().all(|d| d.difference == 0));
    assert!(comparison.effects.iter().all(|e| e.size == "negligible"));
    assert_eq!(comparison, of(&a, &a));
}

#[test]
fn a_difference_too_small_to_matter_is_not_called() {
    let tight = |factor: f64| {
        let mut sample = Sample::default();
        for n in 0..2_000i64 {
            let t0 = n * 1_000_000;
            #[allow(clippy::cast_possible_truncation)]
            let total = (1_000_000.0 * factor) as i64 + n % 7;
            sample.record(0, Stamp(t0), &hops(t0, [t0, t0, t0, t0 + total]));
        }
        sample
    };
    assert_eq!(
        of(&tight(1.0), &tight(1.01)).outcome,
        Outcome::NoDifferenceShown
    );
    assert_eq!(of(&tight(1.0), &tight(1.05)).outcome, Outcome::Slower);
}
