//! The sink's server: what a write waits for, and what keeps the server busy.

use super::evidence::ObservedEvidence;
use super::figures::{Hops, finding, is_most_of_total, ms, percent};
use super::sink_evidence::{ReplicationEvidence, ServerStatusEvidence, SinkEvidence};
use crate::analysis::{Finding, Severity, times};
use crate::observation::ObservedHop;

/// A majority that is further behind than this shows in every write that waits for it.
const BEHIND_US: i64 = 100_000;
/// A member that is further behind than this is not catching up on a hiccup.
const FAR_BEHIND_US: i64 = 10_000_000;
/// No server that is meant for work allows fewer connections.
const FEWEST_ALLOWED: u64 = 100;
/// Writes below which their mean says nothing.
const ENOUGH: u64 = 100;
/// Share of the cache above which WiredTiger lets the writers do its evictions: used, and not written yet.
const CACHE_USED: f64 = 0.95;
const CACHE_DIRTY: f64 = 0.2;

pub(super) fn findings(hops: &Hops, evidence: &ObservedEvidence) -> Vec<Finding> {
    let Some(sink) = &evidence.sink else {
        return Vec::new();
    };
    let is_slow = is_most_of_total(hops, ObservedHop::Consume);
    let mut found = Vec::new();
    found.extend(secondary(sink));
    found.extend(not_waited_for(evidence));
    if let Some(replication) = &sink.replication {
        found.extend(unhealthy(replication));
        found.extend(majority(evidence, replication));
    }
    if let Some(status) = &sink.status {
        found.extend(connections(status));
        found.extend(tickets(status));
        found.extend(cache(status));
        found.extend(held_back(status));
        found.extend(write_time(hops, status).filter(|_| is_slow));
    }
    if is_slow {
        found.extend(journal(evidence));
        found.extend(unreadable(sink));
    }
    found
}

fn of_consume(severity: Severity, evidence: String, advice: &str) -> Finding {
    finding(Some(ObservedHop::Consume), severity, evidence, advice)
}

/// What its writers' writes wait for, and who says so.
fn write_concern(evidence: &ObservedEvidence) -> Option<(String, &'static str)> {
    let by_connector = evidence.sink_connector.as_ref();
    let of_connector = by_connector.and_then(|found| found.write_concern.w.clone());
    if let Some(w) = of_connector {
        return Some((w, "the sink connector's connection.uri"));
    }
    let of_server = evidence.sink.as_ref()?.default_write_concern.as_ref()?;
    let w = of_server.w.clone()?;
    Some((w, "the server's default, unless the writer says another"))
}

fn secondary(sink: &SinkEvidence) -> Option<Finding> {
    let set = sink.set.as_ref().filter(|set| set.was_secondary)?;
    Some(of_consume(
        Severity::Warning,
        format!(
            "the sink was looked at on a secondary of set \"{}\": what it shows is later by its replication",
            set.name
        ),
        "let MONGODB_URI name the set (replicaSet=NAME, without directConnection)",
    ))
}

fn not_waited_for(evidence: &ObservedEvidence) -> Option<Finding> {
    let (w, who) = write_concern(evidence)?;
    (w == "0").then(|| {
        of_consume(
            Severity::Critical,
            format!(
                "writes are not acknowledged: w=0 ({who}); one that fails is lost without a word"
            ),
            "set w=majority, or w=1, in the writer's connection string",
        )
    })
}

fn unhealthy(replication: &ReplicationEvidence) -> Option<Finding> {
    if replication.unhealthy.is_empty() {
        return None;
    }
    let members = replication.unhealthy.join(", ");
    Some(of_consume(
        Severity::Critical,
        format!("members of the sink's set were not healthy: {members}"),
        "with one member less, a majority may need the slowest of those left: look at its log, and rs.status()",
    ))
}

/// Change streams show a write once a majority has it, whatever its writer waits for.
fn majority(evidence: &ObservedEvidence, replication: &ReplicationEvidence) -> Option<Finding> {
    let us = |of: std::time::Duration| i64::try_from(of.as_micros()).unwrap_or(i64::MAX);
    let behind = us(replication.majority_behind);
    let far = replication.slowest.as_ref();
    let far = far.filter(|(_, behind)| us(*behind) > FAR_BEHIND_US);
    if behind <= BEHIND_US && far.is_none() {
        return None;
    }
    let slowest = replication.slowest.as_ref();
    let slowest = slowest.map_or(String::new(), |(member, behind)| {
        format!("; {member} was furthest behind, up to {}", ms(us(*behind)))
    });
    let waits = match write_concern(evidence) {
        Some((w, who)) if w == "majority" => format!("writes wait for it: w=majority ({who})"),
        Some((w, who)) => {
            format!("writes wait for w={w} ({who}), and the change stream shows them once a majority has them")
        }
        None => "a change stream shows a write once a majority has it, and a write with w=majority waits for it".to_owned(),
    };
    Some(of_consume(
        Severity::Warning,
        format!(
            "a majority of the sink's set was up to {} behind its primary{slowest}; {waits}",
            ms(behind)
        ),
        "look at the slow member's disk, network and readers (rs.printSecondaryReplicationInfo()); w=1 in the writer's connection string waits for the primary alone, and a failover may then roll writes back",
    ))
}

fn journal(evidence: &ObservedEvidence) -> Option<Finding> {
    let connector = evidence.sink_connector.as_ref();
    let by_connector = connector.and_then(|found| found.write_concern.journal);
    let sink = evidence.sink.as_ref()?;
    let of_server = sink.default_write_concern.as_ref();
    let (journal, who) = match by_connector {
        Some(journal) => (journal, "the sink connector's connection.uri"),
        None => (of_server?.journal?, "the server's default"),
    };
    journal.then(|| {
        of_consume(
            Severity::Info,
            format!("consume is most of the total, and every write waits for the journal: journal=true ({who})"),
            "larger batches share one sync of the journal; journal=false trades the last 100 ms of writes at a crash for it, which w=majority makes good",
        )
    })
}

fn connections(status: &ServerStatusEvidence) -> Option<Finding> {
    let (used, allowed) = status.connections?;
    (allowed >= FEWEST_ALLOWED && used * 100 >= allowed * 95).then(|| {
        of_consume(
            Severity::Warning,
            format!("{used} of the sink's {allowed} connections were in use"),
            "a writer that finds none waits or fails: look for pools that leak (maxPoolSize), or raise net.maxIncomingConnections",
        )
    })
}

fn tickets(status: &ServerStatusEvidence) -> Option<Finding> {
    (status.without_ticket > 0).then(|| {
        of_consume(
            Severity::Warning,
            format!(
                "the sink's server had no free ticket for a write at {} % of the looks: writes queue there",
                percent(status.without_ticket, status.polls)
            ),
            "its storage is the bound: look at its disk and at what else writes; more writers make it worse",
        )
    })
}

fn cache(status: &ServerStatusEvidence) -> Option<Finding> {
    let (used, dirty) = status.cache?;
    (used >= CACHE_USED || dirty >= CACHE_DIRTY).then(|| {
        of_consume(
            Severity::Warning,
            format!(
                "the sink's cache was {:.0} % used, and {:.0} % of it not written yet: writers have to evict pages themselves",
                used * 100.0,
                dirty * 100.0
            ),
            "a quicker disk, more memory (storage.wiredTiger.engineConfig.cacheSizeGB), or fewer indexes on the collections",
        )
    })
}

fn held_back(status: &ServerStatusEvidence) -> Option<Finding> {
    (status.held_back > 0).then(|| {
        of_consume(
            Severity::Warning,
            format!(
                "the sink's primary held writes back {}, since its majority lags (flowControl.isLagged)",
                times(status.held_back)
            ),
            "look at the slow member first: rs.printSecondaryReplicationInfo()",
        )
    })
}

/// The server's part of `consume`, or that it has none.
fn write_time(hops: &Hops, status: &ServerStatusEvidence) -> Option<Finding> {
    let (writes, took) = status.writes.filter(|(writes, _)| *writes >= ENOUGH)?;
    let mean = i64::try_from(took.as_micros() / u128::from(writes)).ok()?;
    let consume = hops.get(ObservedHop::Consume.as_str())?;
    let evidence = format!(
        "the sink's server took {} for a write on average ({writes} writes of all its clients), of {} of consume",
        ms(mean),
        ms(consume.mean)
    );
    Some(if mean * 2 >= consume.mean {
        of_consume(
            Severity::Warning,
            evidence,
            "the server is the slow part: indexes, its disk, the write concern; larger batches share what a write waits for",
        )
    } else {
        of_consume(
            Severity::Info,
            evidence,
            "the rest is before it: how records are fetched and put into batches, what is done with each, how many write at once",
        )
    })
}

fn unreadable(sink: &SinkEvidence) -> Option<Finding> {
    if sink.unreadable.is_empty() {
        return None;
    }
    let commands = sink.unreadable.iter();
    let commands: Vec<_> = commands
        .map(|(name, why)| format!("{name} ({why})"))
        .collect();
    Some(of_consume(
        Severity::Info,
        format!(
            "of {} this was not readable: {}",
            sink.server,
            commands.join("; ")
        ),
        "with the role clusterMonitor on admin, its replication and its load are judged too: db.grantRolesToUser(\"USER\", [{ role: \"clusterMonitor\", db: \"admin\" }])",
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::fixture::{Case, hops};
    use super::super::sink_evidence::*;
    use super::*;

    fn case() -> Case {
        let mut case = Case::new();
        case.hops = hops([800, 900, 60_000]);
        case.set("poll.interval.ms", "1");
        case.evidence.sink = Some(SinkEvidence {
            server: "MongoDB 8.0 at db:27017".to_owned(),
            ..SinkEvidence::default()
        });
        case
    }

    fn with(case: &mut Case, change: impl FnOnce(&mut SinkEvidence)) {
        change(case.evidence.sink.as_mut().unwrap());
    }

    fn w(w: &str) -> WriteConcernSeen {
        WriteConcernSeen {
            w: Some(w.to_owned()),
            journal: None,
        }
    }

    #[test]
    fn a_majority_that_lags_is_named_with_who_waits_for_it() {
        let mut case = case();
        with(&mut case, |sink| {
            sink.default_write_concern = Some(w("majority"));
            sink.replication = Some(ReplicationEvidence {
                majority_behind: Duration::from_millis(20),
                slowest: Some(("db3:27017".to_owned(), Duration::from_millis(900))),
                unhealthy: Vec::new(),
            });
        });
        assert!(!case.says("behind its primary"));
        with(&mut case, |sink| {
            let replication = sink.replication.as_mut().unwrap();
            replication.majority_behind = Duration::from_millis(850);
        });
        assert!(
            case.says(
                "up to 850 ms behind its primary; db3:27017 was furthest behind, up to 900 ms"
            )
        );
        assert!(case.says("w=majority (the server's default"));
        case.evidence.sink_connector = Some(SinkConnectorEvidence {
            write_concern: w("1"),
            ..SinkConnectorEvidence::default()
        });
        assert!(case.says("w=1 (the sink connector's connection.uri)"));
        assert!(!case.says("w=majority (the server's"));
    }

    #[test]
    fn a_write_that_nobody_acknowledges_is_critical_however_quick() {
        let mut case = case();
        case.hops = hops([800, 900, 2_000]);
        with(&mut case, |sink| sink.default_write_concern = Some(w("1")));
        assert!(!case.says("not acknowledged"));
        with(&mut case, |sink| sink.default_write_concern = Some(w("0")));
        assert!(case.says("w=0"));
        assert_eq!(case.findings()[0].severity, Severity::Critical);
    }

    #[test]
    fn the_journal_is_named_where_consume_is_slow() {
        let mut case = case();
        case.evidence.sink_connector = Some(SinkConnectorEvidence {
            write_concern: WriteConcernSeen {
                w: None,
                journal: Some(true),
            },
            ..SinkConnectorEvidence::default()
        });
        assert!(case.says("journal=true (the sink connector's connection.uri)"));
        case.hops = hops([8_000, 900, 2_000]);
        assert!(!case.says("journal=true"));
    }

    #[test]
    fn the_servers_load_is_named_where_it_is_full() {
        let mut case = case();
        let mut status = ServerStatusEvidence {
            polls: 30,
            connections: Some((500, 51_200)),
            writes: Some((1_000, Duration::from_secs(2))),
            without_ticket: 0,
            cache: Some((0.8, 0.05)),
            held_back: 0,
        };
        with(&mut case, |sink| sink.status = Some(status.clone()));
        assert!(case.says("took 2.00 ms for a write on average (1000 writes"));
        let [of_mean] = &case.findings()[..] else {
            panic!("{:?}", case.findings());
        };
        assert_eq!(of_mean.severity, Severity::Info);
        status.writes = Some((1_000, Duration::from_secs(50)));
        status.connections = Some((980, 1_000));
        status.without_ticket = 6;
        status.cache = Some((0.8, 0.25));
        status.held_back = 2;
        with(&mut case, |sink| sink.status = Some(status));
        for words in [
            "took 50.0 ms for a write",
            "980 of the sink's 1000 connections",
            "at 20 % of the looks",
            "25 % of it not written",
            "flowControl.isLagged",
        ] {
            assert!(case.says(words), "{words}: {:?}", case.findings());
        }
    }

    #[test]
    fn a_secondary_and_a_member_that_is_down_are_named() {
        let mut case = case();
        with(&mut case, |sink| {
            sink.set = Some(ReplicaSet {
                name: "rs0".to_owned(),
                hosts: Vec::new(),
                was_secondary: true,
            });
            sink.replication = Some(ReplicationEvidence {
                unhealthy: vec!["db3:27017 is (not reachable/healthy)".to_owned()],
                ..ReplicationEvidence::default()
            });
        });
        assert!(case.says("on a secondary of set \"rs0\""));
        assert!(case.says("db3:27017 is (not reachable/healthy)"));
    }

    #[test]
    fn what_cannot_be_read_is_said_where_it_matters() {
        let mut case = case();
        with(&mut case, |sink| {
            let why = "needs clusterMonitor".to_owned();
            sink.unreadable.insert("serverStatus".to_owned(), why);
        });
        assert!(case.says("not readable: serverStatus (needs clusterMonitor)"));
        case.hops = hops([60_000, 900, 2_000]);
        assert!(!case.says("not readable"));
    }
}
