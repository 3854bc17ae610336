//! What the faults of a run did to each path.

use std::collections::BTreeMap;

use cdc_bench_model::analysis::{Recovery, recovery};
use cdc_bench_model::report::{FaultEffect, FaultReport, seconds_between};
use cdc_bench_model::timeline::{Nanos, Stamp};

use crate::pipeline::outcome::facts::{PathFacts, RunFacts};
use crate::pipeline::outcome::incidents::to_timestamp;
use crate::pipeline::outcome::path_report::to_u64;
use crate::pipeline::run::fault_runner::MadeFault;

/// How long before a fault an event may have been sent that it has taken.
const IN_FLIGHT: Nanos = Nanos(5_000_000_000);

/// The faults, by time.
pub(super) fn fault_reports(facts: &RunFacts<'_>) -> Vec<FaultReport> {
    let first = facts.load.first_t0.unwrap_or(facts.finished);
    let numbered = facts.faults.iter().enumerate();
    let report = |(number, made): (usize, &MadeFault)| {
        let next = facts.faults.get(number + 1);
        let paths = facts.paths.iter().map(|path| {
            let effect = effect(path, number, next, facts);
            (path.recording.path.to_string(), effect)
        });
        FaultReport {
            fault: made.fault.to_string(),
            action: made.fault.action_name().to_owned(),
            target: made.fault.target().as_str().to_owned(),
            process: made.process.clone(),
            at: to_timestamp(made.began),
            at_s: (seconds_between(first, made.began) * 100.0).round() / 100.0,
            took: made.ended.map(|ended| (ended - made.began).round_micros()),
            connections_broken: made.connections_broken,
            paths: paths.collect::<BTreeMap<_, _>>(),
        }
    };
    numbered.map(report).collect()
}

fn effect(
    path: &PathFacts,
    number: usize,
    next: Option<&MadeFault>,
    facts: &RunFacts<'_>,
) -> FaultEffect {
    let made = &facts.faults[number];
    let name = path.recording.path;
    let seen = made.paths.iter().find(|seen| seen.path == name);
    let after = next.and_then(|next| next.paths.iter().find(|seen| seen.path == name));
    let duplicates_after = after.map_or(path.outcome.tally.duplicates, |after| {
        after.before.duplicates
    });
    let duplicates = seen.map_or(0, |seen| seen.before.duplicates);
    let activity = path.recording.rounds.first().map(|round| &round.activity);
    let found =
        activity.and_then(|activity| recovery(activity, made.began, next.map(|next| next.began)));
    let found = found.unwrap_or(Recovery {
        first_event: None,
        backlog_gone: None,
        backlog: 0,
    });
    let micros = |span: Option<Nanos>| span.map(Nanos::round_micros);
    let began: Vec<_> = facts.faults.iter().map(|made| made.began).collect();
    let is_of_this = |sent: &&Stamp| blamed(&began, **sent, IN_FLIGHT) == Some(number);
    let is_stored_after = |stored: &&Stamp| blamed(&began, **stored, Nanos(0)) == Some(number);
    FaultEffect {
        noticed: micros(seen.and_then(|seen| Some(seen.noticed? - made.began))),
        first_event: micros(found.first_event),
        backlog_gone: micros(found.backlog_gone),
        backlog: found.backlog,
        lost: to_u64(path.outcome.unwritten.iter().filter(is_of_this).count()),
        delivered_again: duplicates_after.saturating_sub(duplicates),
        reordered: to_u64(
            path.outcome
                .reordered
                .iter()
                .filter(is_stored_after)
                .count(),
        ),
        wal_held_bytes: seen.and_then(|seen| seen.wal_held),
    }
}

/// The fault that something at this time belongs to: the last one before it, or one that came soon after it; else the first.
fn blamed(began: &[Stamp], at: Stamp, soon: Nanos) -> Option<usize> {
    let before = began.iter().rposition(|began| *began <= at + soon);
    before.or_else(|| (!began.is_empty()).then_some(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_under_way_at_a_fault_is_that_faults() {
        let at = |seconds: i64| Stamp(seconds * 1_000_000_000);
        let began = [at(10), at(20)];
        assert_eq!(blamed(&began, at(9), IN_FLIGHT), Some(0));
        assert_eq!(blamed(&began, at(12), IN_FLIGHT), Some(0));
        assert_eq!(blamed(&began, at(16), IN_FLIGHT), Some(1));
        assert_eq!(blamed(&began, at(19), Nanos(0)), Some(0));
        assert_eq!(blamed(&began, at(1), Nanos(0)), Some(0));
        assert_eq!(blamed(&[], at(1), IN_FLIGHT), None);
    }
}
