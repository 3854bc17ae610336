//! A server that stood still, told from one that is slow.

use super::conditions::StallEvidence;
use super::evidence::Evidence;
use super::finding::{Finding, Severity};
use super::wording::ms;
use crate::timeline::Hop;

/// From this share on, a percentile is made of the events that waited.
const OWNED: f64 = 0.5;
/// Most stalls that have a finding each; the longest.
const MOST: usize = 5;

pub(super) fn findings(evidence: Evidence<'_>) -> Vec<Finding> {
    let mut stalls: Vec<_> = evidence.conditions.stalls.iter().collect();
    stalls.sort_by_key(|stall| std::cmp::Reverse(stall.stall.ended - stall.stall.began));
    stalls.truncate(MOST);
    stalls.sort_by_key(|stall| stall.stall.began);
    stalls
        .into_iter()
        .map(|stall| finding(evidence, stall))
        .collect()
}

fn finding(evidence: Evidence<'_>, evident: &StallEvidence) -> Finding {
    let stall = &evident.stall;
    let owned = owned(stall.share_of_p95, stall.share_of_p99);
    let events = match stall.waited {
        1 => "1 event waited for it".to_owned(),
        count => format!("{count} events waited for it"),
    };
    let owned_text = owned.map_or_else(String::new, |owned| format!(", and {owned}"));
    let usual = evidence.hop(stall.hop).map_or_else(String::new, |hop| {
        format!("; otherwise this takes {} at the median", ms(hop.p50))
    });
    let meanwhile = if evident.meanwhile.is_empty() {
        String::new()
    } else {
        format!("; at that time: {}", evident.meanwhile.join(", "))
    };
    let severity = if owned.is_some() {
        Severity::Critical
    } else {
        Severity::Warning
    };
    Finding::new(
        Some(in_pipeline(stall.hop)),
        severity,
        format!(
            "{} from second {:.1} to {:.1}; {events}{owned_text}{usual}{meanwhile}",
            nothing(evident),
            evident.began_s,
            evident.ended_s,
        ),
        advice(evident),
    )
}

/// Which percentiles are those of the events that waited.
fn owned(of_p95: f64, of_p99: f64) -> Option<&'static str> {
    match (of_p95 >= OWNED, of_p99 >= OWNED) {
        (true, true) => Some("p95 and p99 are theirs"),
        (true, false) => Some("p95 is theirs"),
        (false, true) => Some("p99 is theirs"),
        (false, false) => None,
    }
}

/// What did not happen.
fn nothing(evident: &StallEvidence) -> String {
    let server = &*evident.server;
    match (server, evident.stall.hop) {
        ("store", _) => "the store answered nothing".to_owned(),
        ("postgres", Hop::Commit) => "PostgreSQL committed nothing".to_owned(),
        ("postgres", _) => "PostgreSQL sent no changes".to_owned(),
        ("connect", _) => "Kafka Connect handed on nothing".to_owned(),
        ("kafka", Hop::ConsumerLag) => "Kafka handed the consumer nothing".to_owned(),
        ("kafka", _) => "Kafka took nothing".to_owned(),
        ("reader", _) => "our reader had nothing to hand on".to_owned(),
        _ => "our consumer issued no write".to_owned(),
    }
}

fn advice(evident: &StallEvidence) -> &'static str {
    match &*evident.server {
        "store" => {
            "this is a pause, not a slow store: look at its log, its disk and its machine at that time; a faster store or a weaker write concern changes nothing about it"
        }
        "postgres" => {
            "this is a pause, not a slow commit: look at PostgreSQL's log at that time (log_checkpoints, log_lock_waits), at locks (pg_locks) and at its disk"
        }
        "connect" => {
            "this is a pause, not a slow connector: look at Connect's log at that time (a task that was restarted, a rebalance of the workers) and at the collections of its JVM (-Xlog:gc)"
        }
        "kafka" => {
            "this is a pause, not a slow broker: look at its log at that time (a leader election, a controller that was lost), at its disk and at the collections of its JVM (-Xlog:gc)"
        }
        "reader" => {
            "look at run.log for a connection that was lost at that time, and at PostgreSQL's log for its walsender"
        }
        _ => {
            "look at run.log for what our consumer met at that time, and at what else this machine did"
        }
    }
}

/// The hop of the pipeline that a part belongs to.
fn in_pipeline(part: Hop) -> Hop {
    let of = |hop: &Hop| *hop == part || hop.parts().contains(&part);
    Hop::PIPELINE.into_iter().find(of).unwrap_or(part)
}

#[cfg(test)]
mod tests {
    use super::super::conditions::StallEvidence;
    use super::super::fixture::Run;
    use crate::analysis::Stall;
    use crate::timeline::{Hop, Stamp};

    fn stall(server: &str, hop: Hop) -> StallEvidence {
        StallEvidence {
            stall: Stall {
                hop,
                began: Stamp(9_000_000_000),
                ended: Stamp(11_000_000_000),
                waited: 310,
                share_of_p95: 0.98,
                share_of_p99: 1.0,
            },
            server: server.to_owned(),
            began_s: 9.0,
            ended_s: 11.0,
            meanwhile: Vec::new(),
        }
    }

    #[test]
    fn a_store_that_stood_still_is_told_from_a_slow_one() {
        let mut run = Run::quick();
        assert!(!run.has_evidence("answered nothing"));
        run.conditions.stalls = vec![stall("store", Hop::Write)];
        assert!(run.has_evidence(
            "the store answered nothing from second 9.0 to 11.0; 310 events waited for it, and p95 and p99 are theirs"
        ));
        let first = &run.diagnose().findings[0];
        assert_eq!(first.hop.as_deref(), Some("processing"));
        assert!(first.advice.contains("a pause, not a slow store"));
    }

    #[test]
    fn each_server_has_its_words_and_what_happened_meanwhile_is_beside_it() {
        for (server, hop, words) in [
            (
                "postgres",
                Hop::Commit,
                "PostgreSQL committed nothing from second 9.0",
            ),
            ("connect", Hop::Debezium, "Kafka Connect handed on nothing"),
            ("kafka", Hop::Produce, "Kafka took nothing"),
            (
                "kafka",
                Hop::ConsumerLag,
                "Kafka handed the consumer nothing",
            ),
            ("consumer", Hop::Transform, "our consumer issued no write"),
        ] {
            let mut run = Run::quick();
            let mut evident = stall(server, hop);
            evident.stall.share_of_p95 = 0.1;
            evident.meanwhile = vec!["PostgreSQL made a checkpoint".to_owned()];
            run.conditions.stalls = vec![evident];
            assert!(run.has_evidence(words), "{words}");
            assert!(run.has_evidence("and p99 is theirs"));
            assert!(run.has_evidence("; at that time: PostgreSQL made a checkpoint"));
        }
    }
}
