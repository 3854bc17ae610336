//! The comparison of two sides, each one or more stored results.

mod text;

use serde::Serialize;

use super::comparability::{ConditionDifference, condition_differences};
use super::figures::{ms, signed_ms};
use super::{Stored, StoredError};
use crate::analysis::{
    Comparison, Difference, DifferenceVerdict, Outcome, Pairing, QUANTILES, Sample, Terms, compare,
};
use crate::timeline::Hop;

pub use text::render_comparison;

/// The schema of a comparison as JSON.
const SCHEMA: &str = "cdc-bench/comparison/1";
/// By how much of itself a median differs from a run to another, as a standard deviation, by default. Measured over
/// forty runs of 400 events on a kept stack, on two cores with nothing else to do: 0.11 (the total, from a run to the
/// next) to 0.26 (a hop, over all forty).
pub const RUN_NOISE: f64 = 0.15;
/// Fixed, so that the same samples give the same result.
const SEED: u64 = 1;

/// Why results cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum ComparisonError {
    /// One cannot be read.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// There are no events to draw from.
    #[error(
        "{path} has no events.jsonl beside it: a comparison rests on the events, not on quantiles"
    )]
    NoEvents {
        /// The report.
        path: String,
    },
    /// A capture path that a result does not have.
    #[error("run {run} has no capture path {path:?}: it has {known}")]
    NoSuchPath {
        /// The run.
        run: String,
        /// As asked for.
        path: String,
        /// What there is.
        known: String,
    },
    /// Nothing came through.
    #[error("no event of {path} is in the result of run {run}")]
    NothingThere {
        /// The run.
        run: String,
        /// The capture path.
        path: String,
    },
    /// They were made differently.
    #[error("the results were made differently, so their difference says nothing of one thing alone:{}\nsay what was varied on purpose with --varied NAME (such as --varied {}), or compare all the same with --force", list(.0), .0.first().map_or("connector", |u| u.what.as_str()))]
    ConditionDifference(Vec<ConditionDifference>),
}

fn list(unlike: &[ConditionDifference]) -> String {
    unlike
        .iter()
        .map(|u| format!("\n  {}: {} and {}", u.what, u.first, u.other))
        .collect()
}

/// One side as it was asked for.
#[derive(Debug)]
pub struct Side {
    /// Its results: one, or several of the same thing.
    pub results: Vec<Stored>,
    /// The capture path; `None` for each result's first.
    pub path: Option<String>,
}

/// What is compared, and how.
#[derive(Debug)]
pub struct ComparisonRequest {
    /// What is compared with.
    pub baseline: Side,
    /// What is compared.
    pub candidate: Side,
    /// Names that may differ, with everything beneath them.
    pub varied: Vec<String>,
    /// Compare unlike results too.
    pub force: bool,
    /// See [`Terms::run_noise`].
    pub run_noise: f64,
}

/// One side as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SideReport {
    /// Its runs.
    pub runs: Vec<String>,
    /// The capture path.
    pub path: String,
    /// Events.
    pub events: u64,
    /// Rounds that are drawn from: those of one run, or the runs.
    pub rounds: usize,
}

/// Two sides compared.
#[derive(Debug, Clone, Serialize)]
pub struct Compared {
    schema: &'static str,
    /// The result in a sentence.
    pub verdict: String,
    /// What is compared with.
    pub baseline: SideReport,
    /// What is compared.
    pub candidate: SideReport,
    /// What was varied on purpose.
    pub varied: Vec<ConditionDifference>,
    /// What differs besides: the comparison was forced.
    pub unlike: Vec<ConditionDifference>,
    /// The figures.
    #[serde(flatten)]
    pub comparison: Comparison,
    /// The events, for pictures.
    #[serde(skip)]
    pub(super) samples: [Sample; 2],
}

/// Reads both sides and compares them.
///
/// # Errors
/// When a side cannot be read, or the results are not comparable and the comparison was not forced.
pub fn compare_results(request: &ComparisonRequest) -> Result<Compared, ComparisonError> {
    let (baseline, candidate) = (&request.baseline, &request.candidate);
    let one_run = one_run(baseline, candidate);
    let (varied, unlike) = differing(request).into_iter().partition(|unlike| {
        request
            .varied
            .iter()
            .any(|name| is_within(&unlike.what, name))
    });
    let unlike: Vec<ConditionDifference> = unlike;
    if !unlike.is_empty() && !request.force {
        return Err(ComparisonError::ConditionDifference(unlike));
    }
    let (first, first_report) = sample(baseline)?;
    let (second, second_report) = sample(candidate)?;
    let pairing = if !one_run {
        if take_turns(baseline, candidate) {
            Pairing::Runs
        } else {
            Pairing::Independent
        }
    } else if first.rounds() == 1 && second.rounds() == 1 {
        Pairing::Moments
    } else if first.numbers().eq(second.numbers()) {
        Pairing::Rounds
    } else {
        Pairing::Independent
    };
    let of_several = [baseline, candidate].iter().all(|s| s.results.len() > 1);
    let terms = Terms {
        pairing,
        run_noise: if one_run || of_several {
            0.0
        } else {
            request.run_noise
        },
        seed: SEED,
    };
    let clock_error = |hop: Hop| {
        let bounds = [
            bound(baseline, &first_report.path, hop),
            bound(candidate, &second_report.path, hop),
        ];
        // Within one run, hops between the same clocks are off by the same: it is not in their difference.
        if one_run && bounds[0] == bounds[1] {
            return Some(0);
        }
        let (first, second) = bounds[0].zip(bounds[1])?;
        Some(first + second)
    };
    let comparison = compare(&first, &second, terms, clock_error);
    Ok(Compared {
        schema: SCHEMA,
        verdict: verdict(&comparison),
        baseline: first_report,
        candidate: second_report,
        varied,
        unlike,
        comparison,
        samples: [first, second],
    })
}

/// Whether both sides are of one and the same run.
fn one_run(baseline: &Side, candidate: &Side) -> bool {
    let id = |side: &Side| match side.results.as_slice() {
        [only] => Some(only.report.run.id.clone()),
        _ => None,
    };
    id(baseline).is_some() && id(baseline) == id(candidate)
}

/// Pairs of runs below which they are compared as if each were by itself. A pair leaves half the degrees of freedom, and
/// with few of them Student's t grows by more than the 0.56 that pairing was seen to leave of the spread: by 4.1 at three
/// pairs, 1.8 at five, 1.5 at six.
const FEWEST_PAIRS: usize = 6;

/// Whether runs of both sides were made by turns: of the first two, the next two and so on, one is of each side. What a
/// machine does over minutes is in both of them alike.
fn take_turns(baseline: &Side, candidate: &Side) -> bool {
    let of = |side: &Side, number: u8| -> Vec<(String, u8)> {
        let began = |stored: &Stored| (stored.report.run.started_at.clone(), number);
        side.results.iter().map(began).collect()
    };
    let mut all = [of(baseline, 0), of(candidate, 1)].concat();
    all.sort_unstable();
    let is_one_of_each = |two: &[(String, u8)]| matches!(two, [(_, a), (_, b)] if a != b);
    all.len() >= 2 * FEWEST_PAIRS && all.chunks(2).all(is_one_of_each)
}

/// Whether a name is `group` or beneath it.
fn is_within(name: &str, group: &str) -> bool {
    name.strip_prefix(group)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// What any of the results differs in from the first.
fn differing(request: &ComparisonRequest) -> Vec<ConditionDifference> {
    let mut all = request
        .baseline
        .results
        .iter()
        .chain(&request.candidate.results)
        .map(|stored| &stored.report);
    let Some(first) = all.next() else {
        return Vec::new();
    };
    let mut differing: Vec<ConditionDifference> = Vec::new();
    for found in all.flat_map(|other| condition_differences(first, other)) {
        if !differing.contains(&found) {
            differing.push(found);
        }
    }
    differing
}

/// The events of a side. Of several results each is a round, in the order they were made; of one result its rounds are.
fn sample(side: &Side) -> Result<(Sample, SideReport), ComparisonError> {
    let mut sample = Sample::default();
    let mut names = Vec::new();
    let mut results: Vec<&Stored> = side.results.iter().collect();
    results.sort_by_key(|stored| &stored.report.run.started_at);
    for (number, stored) in (0..).zip(results) {
        let report = &stored.report;
        let name = path_of(side, stored)?;
        let before = sample.count();
        let events = stored.events()?.ok_or_else(|| ComparisonError::NoEvents {
            path: stored.path().display().to_string(),
        })?;
        for event in events {
            let event = event?;
            if event.path == name {
                let round = if side.results.len() > 1 {
                    number
                } else {
                    event.round.unwrap_or(0)
                };
                sample.record(round, event.stamps.t0, &event.hops);
            }
        }
        if sample.count() == before {
            return Err(ComparisonError::NothingThere {
                run: report.run.id.clone(),
                path: name,
            });
        }
        names.push(name);
    }
    names.dedup();
    let report = SideReport {
        runs: side
            .results
            .iter()
            .map(|stored| stored.report.run.id.clone())
            .collect(),
        path: names.join(", "),
        events: sample.count(),
        rounds: sample.rounds(),
    };
    Ok((sample, report))
}

/// The capture path of a result that is compared.
fn path_of(side: &Side, stored: &Stored) -> Result<String, ComparisonError> {
    let paths = &stored.report.paths;
    let known = || paths.keys().cloned().collect::<Vec<_>>().join(", ");
    let no_such = |path: &str| ComparisonError::NoSuchPath {
        run: stored.report.run.id.clone(),
        path: path.to_owned(),
        known: known(),
    };
    match &side.path {
        Some(path) if paths.contains_key(path) => Ok(path.clone()),
        Some(path) => Err(no_such(path)),
        None => {
            let first = stored.report.ordered_paths().next();
            first
                .map(|(name, _)| name.to_owned())
                .ok_or_else(|| no_such("any"))
        }
    }
}

/// The widest error bound of a hop among a side's results; `None` where one is not known.
fn bound(side: &Side, path: &str, hop: Hop) -> Option<i64> {
    let mut widest = 0;
    for stored in &side.results {
        let hops = &stored.report.paths.get(path)?.hops;
        widest = widest.max(hops.get(hop.as_str())?.error_bound?);
    }
    Some(widest)
}

/// The result in a sentence: the total first, then the hops that it comes from.
fn verdict(comparison: &Comparison) -> String {
    let outcome = comparison.outcome;
    if outcome == Outcome::NoDifferenceShown {
        return not_shown(comparison);
    }
    let (total, hops): (Vec<&Difference>, Vec<&Difference>) =
        comparison.called().partition(|d| d.hop == Hop::Total);
    let mut described: Vec<String> = total.iter().map(|d| describe(d)).collect();
    // A hop is named once, at its lowest quantile.
    let mut named = Vec::new();
    for hop in hops {
        if !named.contains(&hop.hop) {
            named.push(hop.hop);
            described.push(describe(hop));
        }
    }
    let all = described.join("; ");
    if total.is_empty() {
        format!("{} in part: {all}; not shown in the total", word(outcome))
    } else {
        format!("{}: {all}", word(outcome))
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Faster => "faster",
        Outcome::Slower => "slower",
        Outcome::Mixed => "mixed",
        Outcome::NoDifferenceShown => "no difference shown",
    }
}

fn describe(d: &Difference) -> String {
    format!(
        "{} {} {} ms{} (interval {} to {})",
        d.hop.as_str(),
        d.quantile,
        signed_ms(d.difference),
        d.percent
            .map_or_else(String::new, |percent| format!(", {percent:+.1} %")),
        signed_ms(d.low),
        signed_ms(d.high)
    )
}

fn not_shown(comparison: &Comparison) -> String {
    let Some(total) = comparison.of(Hop::Total, QUANTILES[0].0) else {
        return word(Outcome::NoDifferenceShown).to_owned();
    };
    let half = (total.high - total.low) / 2;
    let least = (total.baseline > 0).then(|| half as f64 / total.baseline as f64 * 100.0);
    format!(
        "no difference shown: {}; less than ±{} ms{} could not have been seen",
        describe(total),
        ms(half),
        least.map_or_else(String::new, |percent| format!(" ({percent:.0} %)"))
    )
}

/// The verdict on a difference, in words.
pub(super) fn call(call: DifferenceVerdict) -> &'static str {
    match call {
        DifferenceVerdict::Faster => "faster",
        DifferenceVerdict::Slower => "slower",
        DifferenceVerdict::NoDifferenceShown => "no difference shown",
        DifferenceVerdict::WithinClockError => "within the clocks' error",
    }
}

/// What the intervals rest on, in a sentence.
pub(super) fn basis(compared: &Compared) -> String {
    let comparison = &compared.comparison;
    let [first, second] = comparison.rounds;
    let drawn = if first > 1 || second > 1 {
        format!("drawn over {first} and {second} rounds")
    } else {
        "drawn over blocks of time within one round a side".to_owned()
    };
    let pairing = match comparison.pairing {
        Pairing::Independent => "",
        Pairing::Rounds => ", in pairs of the same turn",
        Pairing::Runs => ", in pairs of runs made one after the other",
        Pairing::Moments => ", in pairs of the same time",
    };
    let noise = if comparison.run_noise > 0.0 {
        format!(
            "; a side is a single run, so medians of runs are taken to differ by {:.0} % by themselves: several a side (--baseline, --candidate) would tell",
            comparison.run_noise * 100.0
        )
    } else {
        String::new()
    };
    format!(
        "All intervals hold at once in {:.0} of 100 comparisons: bootstrap {drawn}{pairing}{noise}.",
        comparison.confidence * 100.0
    )
}

#[cfg(test)]
mod tests;
