//! The knee of a curve of latency against rate: the last rate before latency takes off.
//!
//! It is found as Kneedle does (Satopaa, Albrecht, Irwin, Raghavan: Finding a "Kneedle" in a Haystack, 2011): the curve is
//! scaled into the unit square, and the knee of a convex one is where it lies furthest below the diagonal. Both axes are
//! logarithmic first, because rates and latencies of a sweep span decades. The paper's smoothing is left out: each point
//! is a quantile over thousands of events already, and there are few of them. The answer is one of the measured rates, and
//! no more exact than their distance.

/// Fewest points of a curve.
const LEAST_POINTS: usize = 4;
/// Latency that rises less than this over all rates has not taken off.
const LEAST_RISE: f64 = 2.0;
/// A curve that lies less than this below its diagonal, in parts of the square, has no bend.
const LEAST_BEND: f64 = 0.1;

/// A knee.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Knee {
    /// Which of the points it is.
    pub place: usize,
    /// How far below the diagonal of the unit square it lies, up to 1.
    pub bend: f64,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoKnee {
    /// Too few points.
    #[error("it takes at least {LEAST_POINTS} rates, and this has {0}")]
    TooFewPoints(usize),
    /// It hardly rises.
    #[error("latency does not take off within these rates")]
    Flat,
    /// It rises evenly, or most of it at first.
    #[error("latency rises without a bend")]
    NoBend,
}

/// The knee of points of rate and latency, in ascending order of rate, all above zero.
///
/// # Errors
/// Why the curve has none.
pub fn knee(points: &[(f64, f64)]) -> Result<Knee, NoKnee> {
    if points.len() < LEAST_POINTS {
        return Err(NoKnee::TooFewPoints(points.len()));
    }
    let (first, last) = (points[0], points[points.len() - 1]);
    let latencies = || points.iter().map(|(_, latency)| *latency);
    let low = latencies().fold(f64::INFINITY, f64::min);
    let high = latencies().fold(0.0, f64::max);
    if last.1 < low * LEAST_RISE {
        return Err(NoKnee::Flat);
    }
    let share = |value: f64, low: f64, high: f64| (value / low).ln() / (high / low).ln();
    let bend =
        |(rate, latency): &(f64, f64)| share(*rate, first.0, last.0) - share(*latency, low, high);
    points
        .iter()
        .map(bend)
        .enumerate()
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .filter(|(_, bend)| *bend >= LEAST_BEND)
        .map(|(place, bend)| Knee { place, bend })
        .ok_or(NoKnee::NoBend)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_knee_is_the_last_rate_before_latency_takes_off() {
        let curve = [
            (100.0, 12.0),
            (300.0, 13.0),
            (1_000.0, 15.0),
            (2_000.0, 25.0),
            (3_000.0, 2_400.0),
        ];
        let found = knee(&curve).unwrap();
        assert_eq!(found.place, 3, "{found:?}");
        assert!(found.bend > 0.5);
    }

    #[test]
    fn what_has_no_knee_says_why() {
        let few = [(100.0, 10.0), (300.0, 11.0), (1_000.0, 900.0)];
        assert_eq!(knee(&few), Err(NoKnee::TooFewPoints(3)));
        let flat = [(100.0, 10.0), (200.0, 9.0), (400.0, 11.0), (800.0, 12.0)];
        assert_eq!(knee(&flat), Err(NoKnee::Flat));
        let even = [(100.0, 10.0), (200.0, 20.0), (400.0, 40.0), (800.0, 80.0)];
        assert_eq!(knee(&even), Err(NoKnee::NoBend));
        let falling = [(100.0, 80.0), (200.0, 40.0), (400.0, 20.0), (800.0, 10.0)];
        assert_eq!(knee(&falling), Err(NoKnee::Flat));
    }

    proptest! {
        /// A queue of capacity `c`: latency goes as 1 / (1 - rate / c), and then up with the backlog.
        #[test]
        fn a_queues_knee_is_where_it_is_nearly_full(capacity in 500.0f64..20_000.0, base in 0.5f64..100.0) {
            let rates: Vec<f64> = (1..=12).map(|n| capacity * f64::from(n) / 10.0).collect();
            let latency = |rate: f64| {
                if rate < capacity * 0.999 {
                    base / (1.0 - rate / capacity)
                } else {
                    base * 10_000.0
                }
            };
            let points: Vec<_> = rates.iter().map(|rate| (*rate, latency(*rate))).collect();
            let found = knee(&points).unwrap();
            prop_assert!((0.6..1.0).contains(&(points[found.place].0 / capacity)), "{found:?}");
        }
    }
}
