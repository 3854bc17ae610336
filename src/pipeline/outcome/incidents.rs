//! Incidents of a run that show in its latencies: restarts of servers, changes of the load, rebalances, checkpoints.

use cdc_bench_model::report::{
    CHECKPOINT, Incident, LOAD_PAUSED, RATE_CHANGED, REBALANCE, WARM_UP_CUT,
};
use cdc_bench_model::timeline::{CapturePath, Nanos, Stamp};

use crate::broker::Rebalance;
use crate::load::{LoadChange, LoadChangeKind};
use crate::pipeline::monitor::postgres_checkpoints::PostgresCheckpoint;
use crate::pipeline::outcome::facts::RunFacts;

/// All incidents, by time.
pub(crate) fn of(facts: &RunFacts<'_>) -> Vec<Incident> {
    let servers = facts.server_restarts.iter().map(|(server, at)| {
        let what = format!("{server} had ended by itself and was started again");
        moment(*at, "server_restart", what)
    });
    let connectors = facts.paths.iter().flat_map(|path| {
        let what = "the connector's task had failed and was restarted";
        let times = path.outcome.connector_restarts.iter();
        times.map(|at| moment(*at, "connector_restart", what.to_owned()))
    });
    let mut incidents: Vec<_> = servers.chain(connectors).collect();
    incidents.extend(steered(&facts.steered));
    for path in &facts.paths {
        let outcome = &path.outcome;
        let named = (facts.paths.len() > 1).then_some(outcome.route.path);
        let rebalances = outcome.rebalances.iter();
        incidents.extend(rebalances.map(|rebalance| rebalanced(rebalance, named)));
    }
    if let Some(first) = facts.load.first_t0 {
        let checkpoints = facts.checkpoints.iter();
        incidents.extend(checkpoints.filter_map(|checkpoint| checkpointed(checkpoint, first)));
    }
    incidents.sort_by_key(|incident| incident.at);
    incidents
}

fn moment(at: jiff::Timestamp, kind: &str, what: String) -> Incident {
    Incident {
        at,
        kind: kind.to_owned(),
        what,
        took: None,
    }
}

fn on_our_clock(stamp: Stamp) -> jiff::Timestamp {
    jiff::Timestamp::from_nanosecond(i128::from(stamp.0)).unwrap_or_default()
}

/// The path is named if the run has several.
fn rebalanced(rebalance: &Rebalance, path: Option<CapturePath>) -> Incident {
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
    let of = path.map_or_else(String::new, |path| format!(" of {path}"));
    Incident {
        at: on_our_clock(began),
        kind: REBALANCE.to_owned(),
        what: format!(
            "the consumer group{of} was rebalanced; of its partitions our consumer {change}, and has {has} now"
        ),
        took: Some((ended - began).round_micros()),
    }
}

/// `None` if it was over before the first event.
fn checkpointed(checkpoint: &PostgresCheckpoint, first: Stamp) -> Option<Incident> {
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
        at: on_our_clock(checkpoint.began),
        kind: CHECKPOINT.to_owned(),
        what,
        took: took.map(Nanos::round_micros),
    })
}

/// Pauses of the load and changes of its rate.
pub(crate) fn steered(changes: &[LoadChange]) -> Vec<Incident> {
    let of = |(number, change): (usize, &LoadChange)| match change.kind {
        LoadChangeKind::Paused => {
            let until = changes[number..]
                .iter()
                .find(|later| later.kind == LoadChangeKind::Resumed);
            let length = until.map(|resumed| resumed.happened.duration_since(change.happened));
            let said = length.map(|length| format!(" for {:.1} s", length.as_secs_f64()));
            let what = format!("the load was paused{}", said.unwrap_or_default());
            let took = length.and_then(|length| i64::try_from(length.as_micros()).ok());
            Some(Incident {
                took,
                ..moment(change.happened, LOAD_PAUSED, what)
            })
        }
        LoadChangeKind::Resumed => None,
        LoadChangeKind::Rate { from, to } => {
            let what = format!("the load's rate was changed from {from} to {to} events a second");
            Some(moment(change.happened, RATE_CHANGED, what))
        }
        LoadChangeKind::WarmUpCut => {
            let what = "the warm-up was ended by hand, before the servers had settled";
            Some(moment(change.happened, WARM_UP_CUT, what.to_owned()))
        }
    };
    changes.iter().enumerate().filter_map(of).collect()
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
        let incidents = steered(&pace.changes());
        let said: Vec<_> = incidents
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
        assert_eq!(said, expected);
    }

    #[test]
    fn a_rebalance_says_what_it_was_to_our_consumer() {
        let rebalance = Rebalance {
            began: Stamp(1_000_000_000),
            ended: Stamp(1_250_000_000),
            lost: 2,
            gained: 0,
            has: 2,
        };
        let told = rebalanced(&rebalance, Some(CapturePath::Wal));
        assert_eq!(told.at, jiff::Timestamp::from_second(1).unwrap());
        assert_eq!(told.took, Some(250_000));
        assert_eq!(
            told.what,
            "the consumer group of wal was rebalanced; of its partitions our consumer gave 2 away, and has 2 now"
        );
        let kept = Rebalance {
            lost: 0,
            ..rebalance
        };
        let told = rebalanced(&kept, None).what;
        assert!(told.contains("the consumer group was rebalanced") && told.contains("kept all"));
    }

    #[test]
    fn a_checkpoint_is_the_runs_if_it_reaches_into_it() {
        let second = |seconds: i64| Stamp(seconds * 1_000_000_000);
        let checkpoint = PostgresCheckpoint {
            began: second(10),
            took: Some(std::time::Duration::from_millis(1_500)),
        };
        let told = checkpointed(&checkpoint, second(11)).unwrap();
        assert_eq!(
            (told.kind.as_str(), told.took),
            ("checkpoint", Some(1_500_000))
        );
        assert!(told.what.contains("1.50 s of writing"), "{}", told.what);
        assert_eq!(checkpointed(&checkpoint, second(12)), None);
        let under_way = PostgresCheckpoint {
            took: None,
            ..checkpoint
        };
        assert_eq!(checkpointed(&under_way, second(9)).unwrap().took, None);
    }
}
