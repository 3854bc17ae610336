//! Axes of plots: mapping of values to positions, and round ticks.

/// The scale of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    Linear,
    /// Values at or below zero are drawn at the lower end of the axis.
    Logarithmic,
}

/// Maps values to positions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    spread: Scale,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// An axis for values from `low` to `high`. An empty or backward one is made a unit long.
    pub(super) fn new(spread: Scale, low: f64, high: f64) -> Self {
        let low = match spread {
            Scale::Linear => low,
            Scale::Logarithmic => low.max(1e-6),
        };
        let high = if high > low { high } else { low + 1.0 };
        Self {
            spread,
            low,
            high,
            from: 0.0,
            to: 1.0,
        }
    }

    pub(super) fn onto(self, from: f64, to: f64) -> Self {
        Self { from, to, ..self }
    }

    /// The position of a value; values beyond the axis are placed at its ends.
    pub(super) fn place(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        let share = match self.spread {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Logarithmic => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        self.from + share * (self.to - self.from)
    }

    /// Round values on it, `most` or a few less.
    pub(super) fn ticks(&self, most: usize) -> Vec<f64> {
        match self.spread {
            Scale::Linear => self.linear_ticks(most),
            Scale::Logarithmic => self.log_ticks(most),
        }
    }

    fn linear_ticks(&self, most: usize) -> Vec<f64> {
        let rough = (self.high - self.low) / most.max(1) as f64;
        let decade = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|step| step * decade)
            .find(|step| *step >= rough * 0.999)
            .unwrap_or(decade * 10.0);
        let first = (self.low / step).ceil();
        (0..=most)
            .map(|n| (first + n as f64) * step)
            .filter(|tick| *tick <= self.high + step * 1e-6)
            .collect()
    }

    fn log_ticks(&self, most: usize) -> Vec<f64> {
        let decades = || (-6..=9).map(|n| 10f64.powi(n));
        let among = |steps: &[f64]| -> Vec<f64> {
            let all = decades().flat_map(|decade| steps.iter().map(move |step| step * decade));
            all.filter(|tick| *tick >= self.low * 0.999 && *tick <= self.high * 1.001)
                .collect()
        };
        [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]]
            .into_iter()
            .map(among)
            .find(|ticks| ticks.len() <= most)
            .unwrap_or_else(|| among(&[1.0]))
    }
}

/// A number with at most three decimals, without trailing zeros.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short == "-0" { "0" } else { short }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn places_lie_on_the_axis_and_keep_their_order(low in 0.001f64..10.0, span in 0.001f64..1e5, a in -10.0f64..1e6, b in -10.0f64..1e6) {
            for spread in [Scale::Linear, Scale::Logarithmic] {
                let axis = Axis::new(spread, low, low + span).onto(40.0, 900.0);
                let (a, b) = (axis.place(a.min(b)), axis.place(a.max(b)));
                prop_assert!((40.0..=900.0001).contains(&a) && a <= b + 1e-9, "{a} {b}");
            }
        }

        #[test]
        fn ticks_lie_within_and_are_not_too_many(low in 0.001f64..10.0, span in 0.01f64..1e5, most in 2usize..12) {
            for (spread, low) in [(Scale::Linear, 0.0), (Scale::Logarithmic, low)] {
                let axis = Axis::new(spread, low, low + span);
                let ticks = axis.ticks(most);
                let slack = (low + span) * 0.002;
                prop_assert!(ticks.iter().all(|t| (low - slack..=low + span + slack).contains(t)), "{ticks:?}");
                if spread == Scale::Linear {
                    prop_assert!(!ticks.is_empty() && ticks.len() <= most + 1, "{ticks:?}");
                }
            }
        }
    }

    #[test]
    fn ticks_are_round() {
        let linear = Axis::new(Scale::Linear, 0.0, 61.0).ticks(7);
        assert_eq!(linear, [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        let log = Axis::new(Scale::Logarithmic, 0.5, 120.0).ticks(4);
        assert_eq!(log.len(), 3, "decades alone: {log:?}");
        assert_eq!(number(0.1 + 0.2), "0.3");
        assert_eq!(number(100.0), "100");
    }
}
