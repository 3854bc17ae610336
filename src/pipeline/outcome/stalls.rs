//! Times in which a stage of a path stood still, with the server that was to blame and what else happened then.

use std::collections::BTreeMap;

use cdc_bench_model::analysis::{HopStatistics, Stall, StallEvidence, Usual, stalls};
use cdc_bench_model::report::{StallReport, seconds_between};
use cdc_bench_model::timeline::{Hop, Nanos, Stamp};

use crate::pipeline::monitor::server_monitor::Silence;
use crate::pipeline::outcome::facts::{PathFacts, RunFacts};
use crate::pipeline::outcome::incidents::to_timestamp;

/// A collection that takes less than this part of a stall does not explain it.
const PART: i64 = 4;

/// The stalls of a path, by time.
pub(super) fn path_stalls(
    path: &PathFacts,
    hops: &BTreeMap<String, HopStatistics>,
    facts: &RunFacts<'_>,
) -> Vec<StallEvidence> {
    let Some(first) = facts.load.first_t0 else {
        return Vec::new();
    };
    let micros = |us: i64| Nanos(us.saturating_mul(1_000));
    let median = |hop: Hop| Some((hop, micros(hops.get(hop.as_str())?.p50)));
    let medians: Vec<_> = Hop::ALL.into_iter().filter_map(median).collect();
    let Some(total) = hops.get(Hop::Total.as_str()) else {
        return Vec::new();
    };
    let usual = Usual {
        median: &medians,
        p95: micros(total.p95),
        p99: micros(total.p99),
    };
    let rounds = path.recording.rounds.iter();
    let found = rounds.flat_map(|round| stalls(path.recording.path, &round.activity, usual));
    found
        .map(|stall| StallEvidence {
            server: server_of(&stall, &facts.silences).to_owned(),
            began_s: seconds_between(first, stall.began),
            ended_s: seconds_between(first, stall.ended),
            meanwhile: meanwhile(&stall, facts),
            stall,
        })
        .collect()
}

/// As the report has it.
pub(super) fn stall_report(evident: &StallEvidence) -> StallReport {
    let stall = &evident.stall;
    let share = |share: f64| (share * 1e3).round() / 1e3;
    StallReport {
        server: evident.server.clone(),
        hop: stall.hop.as_str().to_owned(),
        at: to_timestamp(stall.began),
        at_s: evident.began_s,
        took: (stall.ended - stall.began).round_micros(),
        waited: stall.waited,
        share_of_p95: share(stall.share_of_p95),
        share_of_p99: share(stall.share_of_p99),
        meanwhile: evident.meanwhile.clone(),
    }
}

/// The one server that did not answer our own questions for most of the time; else the one that the stage belongs to.
fn server_of(stall: &Stall, silences: &[Silence]) -> &'static str {
    let mut silent: Vec<_> = silences
        .iter()
        .filter(|silence| {
            let ended = silence.ended.unwrap_or(stall.ended);
            overlap(stall, silence.began, ended).0 * 2 > (stall.ended - stall.began).0
        })
        .map(|silence| silence.server)
        .collect();
    silent.dedup();
    if let [only] = silent[..] {
        return only;
    }
    match stall.hop {
        Hop::Commit => "postgres",
        Hop::WalDelivery => "reader",
        Hop::Debezium => "connect",
        Hop::Transform => "consumer",
        Hop::Write => "store",
        _ => "kafka",
    }
}

fn overlap(stall: &Stall, began: Stamp, ended: Stamp) -> Nanos {
    Nanos((stall.ended.min(ended) - stall.began.max(began)).0.max(0))
}

/// What happened at the time of a stall.
fn meanwhile(stall: &Stall, facts: &RunFacts<'_>) -> Vec<String> {
    let mut known = Vec::new();
    let falls_in = |began: Stamp, ended: Stamp| began < stall.ended && ended > stall.began;
    for made in &facts.faults {
        if falls_in(made.began, made.ended.unwrap_or(stall.ended)) {
            known.push(format!("the run's own fault {}", made.fault));
        }
    }
    for silence in &facts.silences {
        if falls_in(silence.began, silence.ended.unwrap_or(stall.ended)) {
            let reason = silence.reason.as_ref();
            let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
            known.push(format!(
                "{} did not answer our questions{reason}",
                silence.server
            ));
        }
    }
    for (server, at) in &facts.server_restarts {
        let at = to_stamp(*at);
        if falls_in(at, at + Nanos(1)) {
            known.push(format!("{server} was started again"));
        }
    }
    for pause in &facts.collections {
        let (began, took) = (to_stamp(pause.began), Nanos::from(pause.took));
        let in_it = overlap(stall, began, began + took);
        if in_it.0 * PART >= (stall.ended - stall.began).0 {
            known.push(format!(
                "{}'s JVM stood still for {:.0} ms to collect garbage",
                pause.server,
                took.as_millis_f64()
            ));
        }
    }
    for checkpoint in &facts.checkpoints {
        let took = checkpoint.took.map_or(Nanos(1), Nanos::from);
        if falls_in(checkpoint.began, checkpoint.began + took) {
            known.push("PostgreSQL made a checkpoint".to_owned());
        }
    }
    known.dedup();
    known
}

fn to_stamp(at: jiff::Timestamp) -> Stamp {
    Stamp(i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stall(hop: Hop) -> Stall {
        Stall {
            hop,
            began: Stamp(9_000_000_000),
            ended: Stamp(11_000_000_000),
            waited: 1,
            share_of_p95: 0.0,
            share_of_p99: 0.0,
        }
    }

    fn silence(server: &'static str, began: i64, ended: i64) -> Silence {
        let at = |seconds: i64| Stamp(seconds * 1_000_000_000);
        Silence {
            server,
            began: at(began),
            ended: Some(at(ended)),
            reason: None,
        }
    }

    #[test]
    fn a_server_that_was_silent_by_itself_is_to_blame_else_the_one_of_the_stage() {
        let produce = stall(Hop::Produce);
        assert_eq!(server_of(&produce, &[]), "kafka");
        assert_eq!(server_of(&produce, &[silence("connect", 8, 11)]), "connect");
        assert_eq!(server_of(&produce, &[silence("connect", 2, 9)]), "kafka");
        let both = [silence("connect", 8, 11), silence("store", 9, 12)];
        assert_eq!(
            server_of(&produce, &both),
            "kafka",
            "the machine stood still"
        );
        assert_eq!(server_of(&stall(Hop::Write), &[]), "store");
    }
}
