//! Which hop is slow, and why, as far as the run itself can tell.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{HopStatistics, PathStatistics};
use crate::timeline::{CapturePath, Hop, Nanos};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Costs time, or makes a figure less certain.
    Warning,
    /// The main cost, or a reason to doubt the result.
    Critical,
}

/// Something the run shows, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The hop it is about (`null`: the run as a whole).
    pub hop: Option<String>,
    /// How much it matters.
    pub severity: Severity,
    /// What was seen.
    pub evidence: String,
    /// What to do.
    pub advice: String,
}

/// The slowest hop and what was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The pipeline hop with the largest median; `null` when no event came through.
    pub slowest_hop: Option<String>,
    /// Its part of the medians' sum, 0 to 1.
    pub share_of_total: f64,
    /// Worst first.
    pub findings: Vec<Finding>,
}

/// What is known about the servers and the run besides the stamps.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    /// The connector's configuration; empty when unknown.
    pub connector: BTreeMap<String, String>,
    /// PostgreSQL's settings by name.
    pub postgres: BTreeMap<String, String>,
    /// The store as it names itself, such as `MongoDB 8.0.4`.
    pub store: String,
    /// The write concern in words.
    pub write_concern: String,
    /// Whether the topic's timestamps are the broker's (LogAppendTime).
    pub log_append_time: bool,
    /// The scheduled rate a second; `None` for `max`.
    pub rate_per_s: Option<f64>,
}

/// Debezium's `poll.interval.ms` when the configuration has none.
const DEFAULT_POLL_INTERVAL_MS: i64 = 500;
/// The Kafka producer's `linger.ms` when the configuration has none (Kafka 4).
const DEFAULT_LINGER_MS: i64 = 5;

/// Looks at a finished run.
#[must_use]
pub fn diagnose(
    path: &PathStatistics,
    hops: &BTreeMap<String, HopStatistics>,
    conditions: &Conditions,
) -> Diagnosis {
    let median = |hop: Hop| {
        hops.get(hop.as_str())
            .filter(|h| h.count > 0)
            .map(|h| h.p50)
    };
    let pipeline: Vec<(Hop, i64)> = Hop::PIPELINE
        .into_iter()
        .filter_map(|hop| Some((hop, median(hop)?.max(0))))
        .collect();
    let Some(&(slowest, span)) = pipeline.iter().max_by_key(|(_, span)| *span) else {
        return Diagnosis {
            slowest_hop: None,
            share_of_total: 0.0,
            findings: Vec::new(),
        };
    };
    let sum: i64 = pipeline.iter().map(|(_, span)| span).sum();
    let mut findings = Vec::new();
    findings.extend(poll_interval(hops, conditions));
    findings.extend(linger(hops, conditions));
    findings.extend(commit(slowest, hops, conditions));
    findings.extend(store(slowest, hops, conditions));
    findings.extend(late_schedule(hops, conditions));
    findings.extend(clocks(path, hops, conditions));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Diagnosis {
        slowest_hop: Some(slowest.as_str().to_owned()),
        share_of_total: share(span, sum),
        findings,
    }
}

#[allow(clippy::cast_precision_loss)] // microseconds far below 2^53
fn share(part: i64, sum: i64) -> f64 {
    if sum <= 0 {
        0.0
    } else {
        (part as f64 / sum as f64 * 1000.0).round() / 1000.0
    }
}

fn ms(us: i64) -> String {
    Nanos::from_micros(us).to_string()
}

fn number(settings: &BTreeMap<String, String>, key: &str, default: i64) -> i64 {
    settings
        .get(key)
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

/// An event waits for Debezium's poll loop before it is stamped and again before it is handed on, each time up to a
/// whole `poll.interval.ms`.
fn poll_interval(
    hops: &BTreeMap<String, HopStatistics>,
    conditions: &Conditions,
) -> Option<Finding> {
    if conditions.connector.is_empty() {
        return None;
    }
    let interval = poll_interval_ms(conditions);
    let hop = hops.get(Hop::KafkaDelivery.as_str())?;
    // Two waits uniform on 0..interval average one interval; half of it is far beyond what scheduling explains.
    if interval < 5 || hop.p50 < interval * 500 {
        return None;
    }
    Some(Finding {
        hop: Some(Hop::KafkaDelivery.as_str().to_owned()),
        severity: Severity::Critical,
        evidence: format!(
            "half of the events took {} or more from the WAL to Kafka; Debezium's poll.interval.ms is {interval}, a wait paid twice by every event",
            ms(hop.p50)
        ),
        advice: format!(
            "set \"poll.interval.ms\": \"1\" in the connector's configuration (and \"producer.override.linger.ms\": \"0\"): about {interval} ms less at the median"
        ),
    })
}

fn poll_interval_ms(conditions: &Conditions) -> i64 {
    let name = "poll.interval.ms";
    number(&conditions.connector, name, DEFAULT_POLL_INTERVAL_MS)
}

fn linger(hops: &BTreeMap<String, HopStatistics>, conditions: &Conditions) -> Option<Finding> {
    if conditions.connector.is_empty() {
        return None;
    }
    let linger = number(
        &conditions.connector,
        "producer.override.linger.ms",
        DEFAULT_LINGER_MS,
    );
    let hop = hops.get(Hop::Produce.as_str())?;
    // A hop that means nothing within its clock's error proves nothing either.
    // Nor can it be seen behind a poll's wait that is longer than it: the second of the two falls into this hop.
    if linger < 2
        || hop.p50 < linger * 500
        || hop.is_within_error()
        || poll_interval_ms(conditions) > linger
    {
        return None;
    }
    Some(Finding {
        hop: Some(Hop::KafkaDelivery.as_str().to_owned()),
        severity: Severity::Warning,
        evidence: format!("{} at the median between Debezium and the broker; the producer lingers {linger} ms", ms(hop.p50)),
        advice: "set \"producer.override.linger.ms\": \"0\" (the worker needs connector.client.config.override.policy=All)".to_owned(),
    })
}

fn commit(
    slowest: Hop,
    hops: &BTreeMap<String, HopStatistics>,
    conditions: &Conditions,
) -> Option<Finding> {
    let (capture, commit) = (
        hops.get(Hop::Capture.as_str())?,
        hops.get(Hop::Commit.as_str())?,
    );
    if slowest != Hop::Capture || commit.p50 * 2 < capture.p50 {
        return None;
    }
    let setting = |name: &str| {
        conditions
            .postgres
            .get(name)
            .map_or("unknown", String::as_str)
    };
    Some(Finding {
        hop: Some(Hop::Capture.as_str().to_owned()),
        severity: Severity::Info,
        evidence: format!(
            "the INSERT's own commit is {} of {} at the median (synchronous_commit = {}, fsync = {}): the flush of the WAL to disk",
            ms(commit.p50),
            ms(capture.p50),
            setting("synchronous_commit"),
            setting("fsync")
        ),
        advice: "a faster disk for pg_wal, or several rows a transaction; synchronous_commit = off only where losing the last commits in a crash is acceptable".to_owned(),
    })
}

fn store(
    slowest: Hop,
    hops: &BTreeMap<String, HopStatistics>,
    conditions: &Conditions,
) -> Option<Finding> {
    let (processing, write) = (
        hops.get(Hop::Processing.as_str())?,
        hops.get(Hop::Write.as_str())?,
    );
    if slowest != Hop::Processing {
        return None;
    }
    let (evidence, advice) = if write.p50 * 2 >= processing.p50 {
        (
            format!(
                "the write itself is {} of {} at the median, on {} at {}",
                ms(write.p50),
                ms(processing.p50),
                conditions.store,
                conditions.write_concern
            ),
            "a weaker write concern (w:1, no journal) trades safety for time; a faster disk for the store's journal keeps it",
        )
    } else {
        (
            format!(
                "records wait {} at the median before their write is issued",
                ms(processing.p50 - write.p50)
            ),
            "the store takes fewer writes a second than events arrive: larger batches (BATCH_SIZE), or more consumers in the group",
        )
    };
    Some(Finding {
        hop: Some(Hop::Processing.as_str().to_owned()),
        severity: Severity::Info,
        evidence,
        advice: advice.to_owned(),
    })
}

/// A load generator behind its own schedule measures itself.
fn late_schedule(
    hops: &BTreeMap<String, HopStatistics>,
    conditions: &Conditions,
) -> Option<Finding> {
    let lag = hops.get(Hop::ScheduleLag.as_str())?;
    let rate = conditions.rate_per_s?;
    if lag.p99 < 100_000 {
        return None;
    }
    Some(Finding {
        hop: None,
        severity: Severity::Critical,
        evidence: format!("INSERTs were sent up to {} behind the schedule of {rate} a second at p99: the load generator or PostgreSQL did not keep up", ms(lag.p99)),
        advice: "the totals count from the INSERT, not from the schedule: lower --rate, or raise --connections or --insert-batch".to_owned(),
    })
}

fn clocks(
    path: &PathStatistics,
    hops: &BTreeMap<String, HopStatistics>,
    conditions: &Conditions,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if path.path() == CapturePath::Debezium && !conditions.log_append_time {
        findings.push(Finding {
            hop: Some(Hop::KafkaDelivery.as_str().to_owned()),
            severity: Severity::Warning,
            evidence: "the topic keeps its producer's timestamps (CreateTime), so \"in Kafka\" is when Connect made the record, on Connect's clock".to_owned(),
            advice: "set message.timestamp.type=LogAppendTime on the topic to measure when the broker had it".to_owned(),
        });
    }
    for hop in [Hop::KafkaDelivery, Hop::ConsumerLag] {
        let Some(statistics) = hops.get(hop.as_str()).filter(|h| h.is_within_error()) else {
            continue;
        };
        let bound = statistics.error_bound.map_or_else(
            || "an unknown error".to_owned(),
            |bound| format!("±{}", ms(bound)),
        );
        findings.push(Finding {
            hop: Some(hop.as_str().to_owned()),
            severity: Severity::Info,
            evidence: format!("the median of {} is within the error of its clocks ({bound}): Kafka's timestamps are whole milliseconds", hop.as_str()),
            advice: "read it as \"below the bound\"; the total does not depend on it".to_owned(),
        });
    }
    let total = hops.get(Hop::Total.as_str()).map_or(0, |h| h.count);
    if path.observer_late() * 20 > total {
        findings.push(Finding {
            hop: Some(Hop::KafkaDelivery.as_str().to_owned()),
            severity: Severity::Info,
            evidence: format!("{} of {total} events were in Kafka before our own reader had the row", path.observer_late()),
            advice: "our reader was scheduled later than Debezium: the machine is busy, or both are equally fast; capture and kafka_delivery share the difference".to_owned(),
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventId, EventType};
    use crate::timeline::{Captured, Joined, Stamp, Stamps};

    fn run(shape: impl Fn(i64) -> [i64; 8]) -> (PathStatistics, BTreeMap<String, HopStatistics>) {
        let mut path = PathStatistics::new(CapturePath::Debezium);
        for n in 0..100 {
            let [ta, t1, td, t2, t3, t4, t5, lag] = shape(n).map(|us| Stamp(us * 1_000));
            let stamps = Stamps {
                ts: Stamp(-lag.0),
                t0: Stamp(0),
                ta,
                tc: ta,
                t1,
                td: Some(td),
                t2,
                t3,
                t4,
                t5,
            };
            let captured = Captured {
                tc: ta,
                t1,
                lsn: 1,
                commit_lsn: 2,
                xid: 3,
            };
            path.record(&Joined {
                id: EventId(uuid::Uuid::nil()),
                seq: 0,
                event_type: EventType::UserCreated,
                captured,
                stamps,
            });
        }
        let hops = Hop::ALL
            .into_iter()
            .filter_map(|hop| {
                Some((
                    hop.as_str().to_owned(),
                    path.hop(hop)?.statistics(Some(Nanos(0))),
                ))
            })
            .collect();
        (path, hops)
    }

    fn conditions(pairs: &[(&str, &str)]) -> Conditions {
        let connector = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Conditions {
            connector,
            log_append_time: true,
            rate_per_s: Some(167.0),
            store: "MongoDB 8".into(),
            ..Conditions::default()
        }
    }

    #[test]
    fn debeziums_default_poll_interval_is_named() {
        let (path, hops) = run(|n| {
            [
                900,
                1_000,
                250_000 + n,
                500_000,
                501_000,
                501_100,
                503_000,
                0,
            ]
        });
        let found = diagnose(&path, &hops, &conditions(&[("name", "x")]));
        assert_eq!(found.slowest_hop.as_deref(), Some("kafka_delivery"));
        assert!(found.share_of_total > 0.9);
        assert!(
            found.findings[0]
                .evidence
                .contains("poll.interval.ms is 500"),
            "{found:?}"
        );
        assert!(
            found
                .findings
                .iter()
                .all(|f| !f.evidence.contains("lingers")),
            "{found:?}"
        );
    }

    #[test]
    fn a_short_poll_interval_is_not_blamed() {
        let (path, hops) = run(|_| [900, 1_000, 2_000, 3_000, 4_000, 4_100, 9_000, 0]);
        let found = diagnose(
            &path,
            &hops,
            &conditions(&[
                ("poll.interval.ms", "1"),
                ("producer.override.linger.ms", "0"),
            ]),
        );
        assert_eq!(found.slowest_hop.as_deref(), Some("processing"));
        assert!(
            found
                .findings
                .iter()
                .all(|f| !f.evidence.contains("poll.interval")),
            "{found:?}"
        );
        assert!(found.findings[0].evidence.contains("MongoDB 8"));
    }

    #[test]
    fn a_lingering_producer_is_named() {
        let (path, hops) = run(|_| [900, 1_000, 2_000, 7_200, 7_600, 7_700, 9_000, 0]);
        let found = diagnose(&path, &hops, &conditions(&[("poll.interval.ms", "1")]));
        assert!(
            found
                .findings
                .iter()
                .any(|f| f.evidence.contains("lingers 5 ms")),
            "{found:?}"
        );
    }

    #[test]
    fn a_generator_behind_its_schedule_says_so() {
        let (path, hops) = run(|_| [900, 1_000, 2_000, 3_000, 4_000, 4_100, 6_000, 400_000]);
        let found = diagnose(&path, &hops, &conditions(&[("poll.interval.ms", "1")]));
        assert_eq!(found.findings[0].severity, Severity::Critical);
        assert!(found.findings[0].evidence.contains("behind the schedule"));
    }

    #[test]
    fn no_event_is_no_diagnosis() {
        let found = diagnose(
            &PathStatistics::new(CapturePath::Debezium),
            &BTreeMap::new(),
            &Conditions::default(),
        );
        assert_eq!(found.slowest_hop, None);
    }
}
