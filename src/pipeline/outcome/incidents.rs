//! Incidents of a run that show in its latencies: restarts of servers, changes of the load, rebalances, checkpoints.

use std::time::Duration;

use cdc_bench_model::report::{
    CHECKPOINT, CHECKPOINT_WAITS, FAULT, GC_PAUSE, Incident, LOAD_PAUSED, PathReport, RATE_CHANGED,
    REBALANCE, RESUMED, SLOT_UNREAD, SLOT_UNRESERVED, STALL, StallReport, WARM_UP_CUT,
    WORKER_SILENT, WorkerReport,
};
use cdc_bench_model::timeline::{CapturePath, Nanos, Stamp};
use cdc_bench_stack::GcPause;

use crate::broker::Rebalance;
use crate::load::{LoadChange, LoadChangeKind};
use crate::pipeline::monitor::postgres_checkpoints::PostgresCheckpoint;
use crate::pipeline::monitor::postgres_guard::{SlotIncident, SlotTrouble};
use crate::pipeline::monitor::server_monitor::Silence;
use crate::pipeline::outcome::facts::RunFacts;
use crate::pipeline::run::fault_runner::MadeFault;

/// A shorter pause of a JVM is no incident.
const LEAST_GC_PAUSE: Duration = Duration::from_millis(50);

/// All incidents, by time.
pub(crate) fn collect_incidents(facts: &RunFacts<'_>, paths: &[PathReport]) -> Vec<Incident> {
    let servers = facts.server_restarts.iter().map(|(server, at)| {
        let what = format!("{server} had ended by itself and was started again");
        incident_at(*at, "server_restart", what)
    });
    let connectors = facts.paths.iter().flat_map(|path| {
        let what = "the connector's task had failed and was restarted";
        let times = path.outcome.connector_restarts.iter();
        times.map(|at| incident_at(*at, "connector_restart", what.to_owned()))
    });
    let mut incidents: Vec<_> = servers.chain(connectors).collect();
    incidents.extend(load_incidents(&facts.load_changes));
    for path in &facts.paths {
        let outcome = &path.outcome;
        let path_to_name = (facts.paths.len() > 1).then_some(outcome.route.path);
        let rebalances = outcome.rebalances.iter();
        incidents.extend(rebalances.map(|rebalance| rebalance_incident(rebalance, path_to_name)));
    }
    incidents.extend(resumption_incident(facts));
    incidents.extend(facts.faults.iter().map(fault_incident));
    let stalls = paths.iter().flat_map(|path| &path.stalls);
    incidents.extend(stalls.map(stall_incident));
    incidents.extend(silence_incidents(facts, paths));
    incidents.extend(facts.slots.iter().map(slot_incident));
    for worker in &facts.workers {
        let silences = worker.silences.iter();
        incidents.extend(silences.map(|silence| Incident {
            took: Some(silence.took),
            ..incident_at(silence.at, WORKER_SILENT, silent(worker))
        }));
    }
    if let Some(first) = facts.load.first_t0 {
        let collections = facts.collections.iter();
        incidents.extend(collections.filter_map(|pause| gc_incident(pause, first)));
        let checkpoints = facts.checkpoints.iter();
        incidents
            .extend(checkpoints.filter_map(|checkpoint| checkpoint_incident(checkpoint, first)));
    }
    incidents.sort_by_key(|incident| incident.at);
    incidents
}

fn silent(worker: &WorkerReport) -> String {
    format!(
        "worker {} on {} was not heard of: it stood still, or Kafka could not be reached from there",
        worker.name, worker.host
    )
}

/// The break of a run that was taken up again.
fn resumption_incident(facts: &RunFacts<'_>) -> Option<Incident> {
    let again = facts.request.resumption.as_ref()?;
    let went_on = facts.load.first_t0.map(to_timestamp);
    let took = again.last_commit.zip(went_on);
    let took = took.map(|(from, to)| to.duration_since(from).as_micros());
    Some(Incident {
        at: again.last_commit.unwrap_or(facts.started_at),
        kind: RESUMED.to_owned(),
        what: format!(
            "the run was cut off and taken up again: {} events of before are verified, latencies and counts are of those after",
            again.events_before
        ),
        took: took.and_then(|micros| i64::try_from(micros).ok()),
    })
}

fn incident_at(at: jiff::Timestamp, kind: &str, what: String) -> Incident {
    Incident {
        at,
        kind: kind.to_owned(),
        what,
        took: None,
    }
}

pub(super) fn to_timestamp(stamp: Stamp) -> jiff::Timestamp {
    jiff::Timestamp::from_nanosecond(i128::from(stamp.0)).unwrap_or_default()
}

fn fault_incident(made: &MadeFault) -> Incident {
    Incident {
        at: to_timestamp(made.began),
        kind: FAULT.to_owned(),
        what: format!("{}, as the run was asked to", made.fault),
        took: made.ended.map(|ended| (ended - made.began).round_micros()),
    }
}

fn stall_incident(stall: &StallReport) -> Incident {
    Incident {
        at: stall.at,
        kind: STALL.to_owned(),
        what: format!(
            "{} let nothing through for {:.1} s ({}); events waited: {}",
            stall.server,
            Nanos::from_micros(stall.took).as_millis_f64() / 1e3,
            stall.hop,
            stall.waited
        ),
        took: Some(stall.took),
    }
}

fn slot_incident(slot: &SlotIncident) -> Incident {
    let kind = match slot.trouble {
        SlotTrouble::Unread => SLOT_UNREAD,
        SlotTrouble::Unreserved => SLOT_UNRESERVED,
        SlotTrouble::CheckpointWaits => CHECKPOINT_WAITS,
    };
    let took = slot
        .ended
        .map(|ended| ended.duration_since(slot.began).as_micros());
    Incident {
        took: took.and_then(|micros| i64::try_from(micros).ok()),
        ..incident_at(slot.began, kind, slot.what.clone())
    }
}

/// Servers that did not answer although no event waited for them.
fn silence_incidents(facts: &RunFacts<'_>, paths: &[PathReport]) -> Vec<Incident> {
    let stalls: Vec<_> = paths.iter().flat_map(|path| &path.stalls).collect();
    let first = facts.load.first_t0;
    let incident = |silence: &Silence| {
        let ended = silence.ended.unwrap_or(facts.finished);
        if first.is_none_or(|first| ended < first) {
            return None;
        }
        let (began, took) = (to_timestamp(silence.began), ended - silence.began);
        let is_told = stalls.iter().any(|stall| {
            let stall_ended = stall.at + Duration::from_micros(stall.took.unsigned_abs());
            stall.at < to_timestamp(ended) && stall_ended > began
        });
        let reason = silence.reason.as_ref();
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        (!is_told).then(|| Incident {
            at: began,
            kind: STALL.to_owned(),
            what: format!(
                "{} answered nothing for {:.1} s{reason}",
                silence.server,
                took.as_millis_f64() / 1e3
            ),
            took: Some(took.round_micros()),
        })
    };
    facts.silences.iter().filter_map(incident).collect()
}

/// `None` if it was over before the first event, or too short to be seen in a latency.
fn gc_incident(pause: &GcPause, first: Stamp) -> Option<Incident> {
    if pause.took < LEAST_GC_PAUSE || pause.began < to_timestamp(first) {
        return None;
    }
    Some(Incident {
        at: pause.began,
        kind: GC_PAUSE.to_owned(),
        what: format!(
            "{}'s JVM stood still for {} ms to collect garbage",
            pause.server,
            pause.took.as_millis()
        ),
        took: i64::try_from(pause.took.as_micros()).ok(),
    })
}

/// The path is named if the run has several.
fn rebalance_incident(rebalance: &Rebalance, path: Option<CapturePath>) -> Incident {
    let Rebalance {
        began,
        ended,
        lost,
        gained,
        has,
    } = *rebalance;
    let change = match (lost, gained) {
        (0, 0) => "kept all it had".to_owned(),
        (lost, 0) => format!("gave {lost} away"),
        (0, gained) => format!("was given {gained}"),
        (lost, gained) => format!("gave {lost} away and was given {gained}"),
    };
    let of_path = path.map_or_else(String::new, |path| format!(" of {path}"));
    Incident {
        at: to_timestamp(began),
        kind: REBALANCE.to_owned(),
        what: format!(
            "the consumer group{of_path} was rebalanced; of its partitions our consumer {change}, and has {has} now"
        ),
        took: Some((ended - began).round_micros()),
    }
}

/// `None` if it was over before the first event.
fn checkpoint_incident(checkpoint: &PostgresCheckpoint, first: Stamp) -> Option<Incident> {
    let took = checkpoint.took.map(Nanos::from);
    if checkpoint.began + took.unwrap_or_default() < first {
        return None;
    }
    let what = match took {
        Some(took) => format!(
            "PostgreSQL made a checkpoint, {:.2} s of writing and syncing",
            took.as_millis_f64() / 1e3
        ),
        None => "PostgreSQL began a checkpoint".to_owned(),
    };
    Some(Incident {
        at: to_timestamp(checkpoint.began),
        kind: CHECKPOINT.to_owned(),
        what,
        took: took.map(Nanos::round_micros),
    })
}

/// Pauses of the load and changes of its rate.
pub(crate) fn load_incidents(changes: &[LoadChange]) -> Vec<Incident> {
    let incident = |(number, change): (usize, &LoadChange)| match change.kind {
        LoadChangeKind::Paused => {
            let until = changes[number..]
                .iter()
                .find(|later| later.kind == LoadChangeKind::Resumed);
            let length = until.map(|resumed| resumed.happened.duration_since(change.happened));
            let duration = length.map(|length| format!(" for {:.1} s", length.as_secs_f64()));
            let what = format!("the load was paused{}", duration.unwrap_or_default());
            let took = length.and_then(|length| i64::try_from(length.as_micros()).ok());
            Some(Incident {
                took,
                ..incident_at(change.happened, LOAD_PAUSED, what)
            })
        }
        LoadChangeKind::Resumed => None,
        LoadChangeKind::Rate { from, to } => {
            let what = format!("the load's rate was changed from {from} to {to} events a second");
            Some(incident_at(change.happened, RATE_CHANGED, what))
        }
        LoadChangeKind::WarmUpCut => {
            let what = "the warm-up was ended by hand, before the servers had settled";
            Some(incident_at(change.happened, WARM_UP_CUT, what.to_owned()))
        }
    };
    changes.iter().enumerate().filter_map(incident).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{LoadControl, Rate};

    #[test]
    fn a_pause_is_one_incident_with_its_length_and_a_change_of_rate_says_from_what() {
        let pace = LoadControl::from(Rate::whole(100));
        pace.toggle_pause();
        pace.toggle_pause();
        pace.set_rate(Rate::whole(200));
        pace.toggle_pause();
        pace.record_warm_up_cut();
        let incidents = load_incidents(&pace.changes());
        let texts: Vec<_> = incidents
            .iter()
            .map(|incident| (incident.kind.as_str(), incident.what.as_str()))
            .collect();
        let expected = [
            ("load_paused", "the load was paused for 0.0 s"),
            (
                "rate_changed",
                "the load's rate was changed from 100 to 200 events a second",
            ),
            // Paused to the end.
            ("load_paused", "the load was paused"),
            (
                "warm_up_cut",
                "the warm-up was ended by hand, before the servers had settled",
            ),
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn a_rebalance_says_what_our_consumer_lost_and_gained() {
        let rebalance = Rebalance {
            began: Stamp(1_000_000_000),
            ended: Stamp(1_250_000_000),
            lost: 2,
            gained: 0,
            has: 2,
        };
        let incident = rebalance_incident(&rebalance, Some(CapturePath::Wal));
        assert_eq!(incident.at, jiff::Timestamp::from_second(1).unwrap());
        assert_eq!(incident.took, Some(250_000));
        assert_eq!(
            incident.what,
            "the consumer group of wal was rebalanced; of its partitions our consumer gave 2 away, and has 2 now"
        );
        let unchanged = Rebalance {
            lost: 0,
            ..rebalance
        };
        let incident = rebalance_incident(&unchanged, None).what;
        assert!(
            incident.contains("the consumer group was rebalanced") && incident.contains("kept all")
        );
    }

    #[test]
    fn a_checkpoint_is_the_runs_if_it_reaches_into_it() {
        let second = |seconds: i64| Stamp(seconds * 1_000_000_000);
        let checkpoint = PostgresCheckpoint {
            began: second(10),
            took: Some(std::time::Duration::from_millis(1_500)),
        };
        let incident = checkpoint_incident(&checkpoint, second(11)).unwrap();
        assert_eq!(
            (incident.kind.as_str(), incident.took),
            ("checkpoint", Some(1_500_000))
        );
        assert!(
            incident.what.contains("1.50 s of writing"),
            "{}",
            incident.what
        );
        assert_eq!(checkpoint_incident(&checkpoint, second(12)), None);
        let under_way = PostgresCheckpoint {
            took: None,
            ..checkpoint
        };
        assert_eq!(
            checkpoint_incident(&under_way, second(9)).unwrap().took,
            None
        );
    }
}
