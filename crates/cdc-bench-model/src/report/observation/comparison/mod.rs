//! Two observations compared, hop by hop. What differs by chance is told by resampling blocks of time of each (Künsch 1989), and by
//! how far an observation differs from the next one by itself.

mod error;
mod sample;
mod text;

use serde::Serialize;

use self::sample::{Estimate, Sample};
use super::ObservationReport;
use crate::analysis::{Difference, DifferenceVerdict, Outcome, QUANTILES};
use crate::observation::ObservedHop;
use crate::report::StoredObservation;

pub use error::ObservedComparisonError;
pub use text::render_observation_comparison;

/// Standard errors from a difference to the ends of its interval: 99 of 100 hold.
const INTERVAL: f64 = 2.576;

/// One hop at one quantile; durations in microseconds.
pub type ObservedDifference = Difference<&'static str>;

/// Two observations compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ObservationComparison {
    /// Id of the one that is compared with.
    pub baseline: String,
    /// Id of the one that is compared.
    pub candidate: String,
    /// Changes of each.
    pub changes: [u64; 2],
    /// What they differ in, in words.
    pub unlike: Vec<String>,
    /// What was added for the difference between observations, as a part of each figure.
    pub run_noise: f64,
    /// By hop and quantile.
    pub differences: Vec<ObservedDifference>,
    /// The verdict on the total.
    pub outcome: Outcome,
}

impl ObservationComparison {
    /// The total's slowdown of this many percent or more that is shown, if there is one.
    #[must_use]
    pub fn regression(&self, percent: f64) -> Option<&ObservedDifference> {
        self.differences.iter().find(|difference| {
            difference.hop == ObservedHop::Total.as_str()
                && difference.call == DifferenceVerdict::Slower
                && difference.percent.is_some_and(|found| found >= percent)
        })
    }
}

/// Compares two observations. `run_noise`: how far one differs from the next by itself, as a part of each figure.
///
/// # Errors
/// When a log is missing or cannot be read, or when they are unlike and `force` is not set.
pub fn compare_observations(
    baseline: &StoredObservation,
    candidate: &StoredObservation,
    run_noise: f64,
    force: bool,
) -> Result<ObservationComparison, ObservedComparisonError> {
    let unlike = unlike(&baseline.report, &candidate.report);
    if !unlike.is_empty() && !force {
        return Err(ObservedComparisonError::Unlike(unlike));
    }
    let samples = [Sample::read(baseline)?, Sample::read(candidate)?];
    let mut differences = Vec::new();
    for hop in ObservedHop::PIPELINE
        .into_iter()
        .chain([ObservedHop::Total])
    {
        let Some(figures) = both(samples.each_ref().map(|sample| sample.quantiles(hop))) else {
            continue;
        };
        let bound = |side: &StoredObservation| {
            let path = side.report.observed()?;
            path.hops.get(hop.as_str())?.error_bound
        };
        let clock_error = both([bound(baseline), bound(candidate)]);
        let clock_error = clock_error.map(|[first, second]| first + second);
        for (place, (quantile, _)) in QUANTILES.into_iter().enumerate() {
            let figures = figures.map(|side| side[place]);
            let difference = difference(hop, figures, run_noise, clock_error);
            differences.push(ObservedDifference {
                quantile,
                ..difference
            });
        }
    }
    Ok(ObservationComparison {
        baseline: baseline.report.run.id.clone(),
        candidate: candidate.report.run.id.clone(),
        changes: [baseline, candidate].map(|side| side.report.counts.completed),
        unlike,
        run_noise,
        outcome: outcome(&differences),
        differences,
    })
}

fn both<T>([first, second]: [Option<T>; 2]) -> Option<[T; 2]> {
    Some([first?, second?])
}

#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // microseconds far below 2^53
fn difference(
    hop: ObservedHop,
    [first, second]: [Estimate; 2],
    run_noise: f64,
    clock_error: Option<i64>,
) -> ObservedDifference {
    let variance: f64 = [first, second]
        .iter()
        .map(|side| side.error.powi(2) + (side.value * run_noise).powi(2))
        .sum();
    let found = second.value - first.value;
    let reach = INTERVAL * variance.sqrt();
    let (low, high) = (found - reach, found + reach);
    let is_shown = low > 0.0 || high < 0.0;
    let is_beyond_clocks = clock_error.is_some_and(|error| found.abs() > error as f64);
    ObservedDifference {
        hop: hop.as_str(),
        quantile: "",
        baseline: first.value.round() as i64,
        candidate: second.value.round() as i64,
        difference: found.round() as i64,
        low: low.round() as i64,
        high: high.round() as i64,
        percent: (first.value > 0.0).then(|| (found / first.value * 1e3).round() / 10.0),
        clock_error,
        call: match (is_shown, is_beyond_clocks) {
            (false, _) => DifferenceVerdict::NoDifferenceShown,
            (true, false) => DifferenceVerdict::WithinClockError,
            (true, true) if found > 0.0 => DifferenceVerdict::Slower,
            (true, true) => DifferenceVerdict::Faster,
        },
    }
}

fn outcome(differences: &[ObservedDifference]) -> Outcome {
    let of_total = |call| {
        let total = ObservedHop::Total.as_str();
        let mut all = differences.iter();
        all.any(|difference| difference.hop == total && difference.call == call)
    };
    match (
        of_total(DifferenceVerdict::Faster),
        of_total(DifferenceVerdict::Slower),
    ) {
        (true, true) => Outcome::Mixed,
        (true, false) => Outcome::Faster,
        (false, true) => Outcome::Slower,
        (false, false) => Outcome::NoDifferenceShown,
    }
}

/// What two observations differ in that makes their hops another thing.
fn unlike(first: &ObservationReport, second: &ObservationReport) -> Vec<String> {
    let topics = |report: &ObservationReport| {
        let names = report.pipeline.topics.iter();
        let names: Vec<_> = names.map(|topic| topic.name.as_str()).collect();
        names.join(", ")
    };
    let end = |report: &ObservationReport| match (&report.pipeline.sink, &report.pipeline.group) {
        (Some(_), _) => "the sink",
        (None, Some(_)) => "the group's commit",
        (None, None) => "Kafka",
    };
    let mut unlike = Vec::new();
    for (what, first, second) in [
        ("topics", topics(first), topics(second)),
        (
            "the total ends at",
            end(first).to_owned(),
            end(second).to_owned(),
        ),
    ] {
        if first != second {
            unlike.push(format!("{what}: {first} and {second}"));
        }
    }
    unlike
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(first: f64, second: f64, clock_error: Option<i64>) -> DifferenceVerdict {
        let side = |value| Estimate { value, error: 10.0 };
        difference(
            ObservedHop::Total,
            [side(first), side(second)],
            0.0,
            clock_error,
        )
        .call
    }

    #[test]
    fn a_difference_is_called_beyond_chance_and_clocks() {
        use DifferenceVerdict::{Faster, NoDifferenceShown, Slower, WithinClockError};
        assert_eq!(of(1_000.0, 1_030.0, Some(0)), NoDifferenceShown);
        assert_eq!(of(1_000.0, 1_040.0, Some(0)), Slower);
        assert_eq!(of(1_040.0, 1_000.0, Some(0)), Faster);
        assert_eq!(of(1_000.0, 1_040.0, Some(50)), WithinClockError);
        assert_eq!(of(1_000.0, 1_040.0, None), WithinClockError);
    }
}
