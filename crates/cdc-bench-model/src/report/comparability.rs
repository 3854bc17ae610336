//! Comparability of two results: the conditions in which they differ. Their latencies can be compared only if nothing
//! but the varied condition differs.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::Report;

/// A condition that differs between two results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConditionDifference {
    /// Its name, such as `run.rate_per_s` or `connector.poll.interval.ms`.
    pub what: String,
    /// In the first result.
    pub first: String,
    /// In the other.
    pub other: String,
}

/// Facts that differ between any two runs, or that are outcomes and not conditions.
const OWN: [&str; 23] = [
    "run.id",
    "run.started_at",
    "run.finished_at",
    "run.duration_s",
    "run.seed",
    "run.events",
    // Covered by `run.warmup_events`.
    "run.warmup_settles",
    "program.cpu_s",
    "program.peak_memory_mib",
    "kafka.topic",
    "kafka.group",
    "store.database",
    "connector.name",
    "connector.database.hostname",
    "connector.database.port",
    "connector.database.dbname",
    "connector.database.user",
    "connector.database.password",
    "connector.slot.name",
    "connector.publication.name",
    "connector.topic.prefix",
    "connector.table.include.list",
    "connector.heartbeat.action.query",
];

/// The conditions in which `other` differs from `first`, by name. Fields that only one of them has are left out,
/// because an older version did not know them; but a setting of the connector that only one has was the default in the
/// other.
#[must_use]
pub fn condition_differences(first: &Report, other: &Report) -> Vec<ConditionDifference> {
    let (first, other) = (facts(first), facts(other));
    let names = first.keys().chain(other.keys());
    let mut names: Vec<_> = names.filter(|name| !OWN.contains(&name.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .filter_map(|name| {
            let value = |of: &BTreeMap<String, String>| match of.get(name) {
                Some(value) => Some(value.clone()),
                None if name.starts_with("connector.") => Some("(default)".to_owned()),
                None => None,
            };
            let (first, other) = (value(&first)?, value(&other)?);
            (first != other).then(|| ConditionDifference {
                what: name.clone(),
                first,
                other,
            })
        })
        .collect()
}

/// The conditions of a run, by dotted name.
fn facts(report: &Report) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let parts = [
        ("run", serde_json::to_value(&report.run)),
        ("", serde_json::to_value(&report.environment)),
    ];
    for (name, value) in parts {
        // Serialization cannot fail: the report was read from JSON.
        flatten(name, &value.unwrap_or_default(), &mut facts);
    }
    facts.insert("run.steered".to_owned(), steered(report));
    if report.run.warmup_settles {
        // The number of warm-up events is then an outcome.
        facts.insert("run.warmup_events".to_owned(), "auto".to_owned());
    }
    facts
}

/// Manual changes of the load during the run, with their times: such a run is comparable to no other.
fn steered(report: &Report) -> String {
    let by_hand = report
        .incidents
        .iter()
        .filter(|incident| incident.is_steering());
    let what: Vec<_> = by_hand
        .map(|incident| format!("{} ({})", incident.what, incident.at))
        .collect();
    match what[..] {
        [] => "no".to_owned(),
        _ => what.join("; "),
    }
}

fn flatten(name: &str, value: &Value, facts: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let name = match (name, field.as_str()) {
                    ("", field) => field.to_owned(),
                    // Each setting has the name it has at Debezium.
                    ("debezium", "connector") | ("connector", "config") => "connector".to_owned(),
                    (name, field) => format!("{name}.{field}"),
                };
                flatten(&name, value, facts);
            }
        }
        Value::Null => {}
        Value::String(text) => {
            facts.insert(name.to_owned(), text.clone());
        }
        other => {
            facts.insert(name.to_owned(), other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Incident, LOAD_PAUSED, sample};

    fn names(change: impl Fn(&mut Report)) -> Vec<String> {
        let mut other = sample::report();
        change(&mut other);
        condition_differences(&sample::report(), &other)
            .into_iter()
            .map(|unlike| unlike.what)
            .collect()
    }

    #[test]
    fn what_was_made_differently_is_named() {
        assert_eq!(names(|_| {}), [""; 0]);
        assert_eq!(
            names(|r| r.run.rate_per_s = Some(1000.0)),
            ["run.rate_per_s"]
        );
        assert_eq!(names(|r| r.environment.host.cores = 64), ["host.cores"]);
        let debug = |r: &mut Report| {
            r.environment
                .build
                .insert("profile".to_owned(), "debug".to_owned());
        };
        assert_eq!(names(debug), ["build.profile"]);
        assert_eq!(names(|r| r.run.stack = "compose".to_owned()), ["run.stack"]);
        let fetch = |r: &mut Report| {
            let consumer = &mut r.environment.kafka.consumer;
            consumer.insert("fetch.min.bytes".to_owned(), "1024".to_owned());
        };
        assert_eq!(names(fetch), ["kafka.consumer.fetch.min.bytes"]);
        assert_eq!(
            names(|r| r.run.writes_in_flight = Some(8)),
            ["run.writes_in_flight"]
        );
        let paused = |r: &mut Report| {
            r.incidents = ["server_restart", LOAD_PAUSED]
                .map(|kind| Incident {
                    at: jiff::Timestamp::UNIX_EPOCH,
                    kind: kind.to_owned(),
                    what: format!("of kind {kind}"),
                    took: None,
                })
                .into();
        };
        assert_eq!(names(paused), ["run.steered"]);
        let mut other = sample::report();
        paused(&mut other);
        let found = condition_differences(&sample::report(), &other).remove(0);
        assert_eq!(found.first, "no");
        // What the servers did is not in it.
        assert_eq!(found.other, "of kind load_paused (1970-01-01T00:00:00Z)");
        assert_eq!(
            condition_differences(&other, &other),
            [],
            "two paths of one run"
        );
        let version = |r: &mut Report| r.environment.postgres.version = "17.1".to_owned();
        assert_eq!(names(version), ["postgres.version"]);
    }

    #[test]
    fn exactly_once_delivery_is_a_condition() {
        let once = |r: &mut Report| {
            let connector = r.environment.debezium.connector.as_mut().unwrap();
            for (name, value) in [
                ("exactly.once.support", "required"),
                ("transaction.boundary", "poll"),
            ] {
                connector.config.insert(name.to_owned(), value.to_owned());
            }
            assert!(connector.is_exactly_once());
            assert_eq!(connector.described(), "low-latency, exactly once");
        };
        assert_eq!(
            names(once),
            [
                "connector.exactly.once.support",
                "connector.transaction.boundary"
            ]
        );
    }

    #[test]
    fn a_setting_of_the_connector_that_one_side_lacks_is_a_default() {
        let mut other = sample::report();
        let connector = other.environment.debezium.connector.as_mut().unwrap();
        connector.config.clear();
        connector.profile = Some("stock".to_owned());
        let found = condition_differences(&sample::report(), &other);
        let what: Vec<_> = found.iter().map(|u| u.what.as_str()).collect();
        assert_eq!(what, ["connector.poll.interval.ms", "connector.profile"]);
        assert_eq!(
            (found[0].first.as_str(), found[0].other.as_str()),
            ("1", "(default)")
        );
    }

    #[test]
    fn warm_ups_until_the_servers_had_settled_are_alike_however_long_they_took() {
        let report = |settles, events| {
            let mut report = sample::report();
            report.run.warmup_settles = settles;
            report.run.warmup_events = events;
            report
        };
        assert_eq!(
            condition_differences(&report(true, 4_100), &report(true, 1_700)),
            []
        );
        let found = condition_differences(&report(true, 500), &report(false, 500));
        assert_eq!(
            (
                found[0].what.as_str(),
                found[0].first.as_str(),
                found[0].other.as_str()
            ),
            ("run.warmup_events", "auto", "500")
        );
        let found = condition_differences(&report(false, 500), &report(false, 20));
        assert_eq!(found[0].what, "run.warmup_events");
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn what_is_each_runs_own_does_not_matter() {
        let own = |r: &mut Report| {
            r.run.id = "another".to_owned();
            r.run.events = 5;
            r.environment.program.cpu_s = Some(3.0);
            r.environment.kafka.group = "another".to_owned();
            // A newer version's field, and one that an older one has not.
            r.environment.postgres.settings.remove("fsync");
        };
        assert_eq!(names(own), [""; 0]);
    }
}
