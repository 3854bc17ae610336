//! `report.json`, schema 1. Field names are a contract: other programs read them. Durations are whole microseconds
//! unless the name says otherwise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::analysis::{Diagnosis, Finding, HopStatistics, Objective, Throughput, Violation};
use crate::timeline::CapturePath;

/// The schema's name and number.
pub const SCHEMA: &str = "cdc-bench/report/1";

/// A whole result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The run.
    pub run: RunInfo,
    /// What was measured, and on what.
    pub environment: Environment,
    /// Events at each place.
    pub counts: Counts,
    /// Inserted events by type.
    pub events_by_type: EventsByType,
    /// Events a second into the store.
    pub throughput: Throughput,
    /// By capture path.
    pub paths: BTreeMap<String, PathReport>,
    /// Processor time of what paths that worked at once have shared, by server (`cdc-bench` is us, with what is told of
    /// paths), seconds a million events of each path. Empty where servers are not ours, or each path worked alone.
    #[serde(default)]
    pub shared_cpu_s_per_million: BTreeMap<String, f64>,
    /// Foreign clocks.
    pub clocks: Vec<ClockReport>,
    /// What happened while events were under way, in order.
    #[serde(default)]
    pub incidents: Vec<Incident>,
    /// The slowest hop, and what was found.
    pub diagnosis: Diagnosis,
    /// What was asked, and what was reached.
    pub objectives: Vec<Objective>,
    /// The stores compared; `null` when they were not.
    pub verification: Option<Verification>,
    /// All objectives met, nothing lost, nothing differing.
    pub verdict: Verdict,
}

impl Report {
    /// What was found: of the first path with what is about the run (`None`), then what each other path has besides.
    #[must_use]
    pub fn findings(&self) -> Vec<(Option<&str>, Vec<&Finding>)> {
        let shown = &self.diagnosis.findings;
        let mut all = vec![(None, shown.iter().collect())];
        for (name, path) in self.ordered_paths().skip(1) {
            let found = path.diagnosis.iter().flat_map(|found| &found.findings);
            let own = found.filter(|finding| !shown.contains(finding)).collect();
            all.push((Some(name), own));
        }
        all
    }

    /// The capture paths with their names, the first first.
    pub fn ordered_paths(&self) -> impl Iterator<Item = (&str, &PathReport)> {
        let position = |name: &str| self.run.paths.iter().position(|p| p.as_str() == name);
        let mut paths: Vec<_> = self.paths.iter().collect();
        paths.sort_by_key(|(name, _)| position(name));
        paths.into_iter().map(|(name, path)| (name.as_str(), path))
    }
}

/// The run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunInfo {
    /// Run id.
    pub id: String,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC.
    pub finished_at: String,
    /// Capture path; `both` for `debezium` and `wal`, else their names with commas.
    pub capture: String,
    /// The capture paths, the first of which the top-level figures are of.
    #[serde(default)]
    pub paths: Vec<CapturePath>,
    /// How often each path had its turn.
    #[serde(default = "one")]
    pub rounds: u32,
    /// Whether the paths took turns, in an order shuffled by `seed`. Else they followed the same inserts at once.
    #[serde(default)]
    pub interleaved: bool,
    /// `local`, `compose` or `external`.
    pub stack: String,
    /// Measured events.
    pub events: u64,
    /// Events before them, not counted.
    pub warmup_events: u64,
    /// Whether how many was left to the run (`--warmup auto`: until the servers have settled, where that can be seen).
    #[serde(default)]
    pub warmup_settles: bool,
    /// Scheduled rate; `null` for as fast as it goes.
    pub rate_per_s: Option<f64>,
    /// Rows a transaction.
    pub insert_batch: u64,
    /// Connections of the load generator.
    pub connections: u64,
    /// Seed of the events.
    pub seed: u64,
    /// Most documents in one write.
    pub batch_size: u64,
    /// Most store writes in flight; `null` in results of versions that could not change it.
    #[serde(default)]
    pub writes_in_flight: Option<u64>,
    /// Seconds from the first measured INSERT to the end of the drain.
    pub duration_s: f64,
}

fn one() -> u32 {
    1
}

/// What was measured, and on what.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Environment {
    /// This machine.
    pub host: Host,
    /// This program.
    pub build: BTreeMap<String, String>,
    /// What it used, from its start to the end of the run.
    pub program: Program,
    /// The source.
    pub postgres: PostgresReport,
    /// The broker.
    pub kafka: KafkaReport,
    /// The capture.
    pub debezium: DebeziumReport,
    /// The read model.
    pub store: StoreReport,
}

/// This machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Host {
    /// Operating system.
    pub os: String,
    /// Architecture.
    pub arch: String,
    /// Cores this process may use.
    pub cores: u64,
    /// The processor's name, where the system tells.
    pub cpu: Option<String>,
    /// Memory, MiB, where the system tells.
    pub memory_mib: Option<u64>,
}

/// What this program used.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Program {
    /// Most resident memory, MiB.
    pub peak_memory_mib: Option<u64>,
    /// Processor time, user and system, seconds.
    pub cpu_s: Option<f64>,
}

/// PostgreSQL.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PostgresReport {
    /// `server_version`.
    pub version: String,
    /// Settings that matter to the hops.
    #[serde(flatten)]
    pub settings: BTreeMap<String, String>,
}

/// Kafka.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct KafkaReport {
    /// Version, where it is known.
    pub version: Option<String>,
    /// Topic.
    pub topic: String,
    /// Its partitions.
    pub partitions: i32,
    /// `LogAppendTime` or `CreateTime`.
    pub timestamp_type: String,
    /// Consumer group.
    pub group: String,
    /// How our consumer fetched.
    #[serde(default)]
    pub consumer: BTreeMap<String, String>,
}

/// Debezium.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct DebeziumReport {
    /// The connector plugin's version, where it is known.
    pub version: Option<String>,
    /// Kafka Connect's version, where it is known.
    pub connect_version: Option<String>,
    /// The connector that ran; `null` when it is not known (no Connect address given).
    pub connector: Option<ConnectorReport>,
}

/// A connector.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ConnectorReport {
    /// Its name.
    pub name: String,
    /// The profile it was made with; `null` when it was there already.
    pub profile: Option<String>,
    /// Its configuration, secrets hidden.
    pub config: BTreeMap<String, String>,
}

/// The store.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StoreReport {
    /// `MongoDB`, or what else it names itself.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whether it is MongoDB itself.
    pub is_mongodb: bool,
    /// In words.
    pub write_concern: String,
    /// Database.
    pub database: String,
}

/// Events at each place; each counts once at each, however often it came by.
///
/// At the top of a report, places (`inserted` to `written`) are the first path's; troubles (all others) are those of all
/// paths together, so that none of them can be overlooked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Commit acknowledged.
    pub inserted: u64,
    /// Seen in the WAL by our reader.
    pub captured: u64,
    /// Records appended to the topic; none where no Kafka is in between.
    pub in_kafka: u64,
    /// Received and decoded by the consumer.
    pub consumed: u64,
    /// Acknowledged by the store.
    pub written: u64,
    /// Refused INSERTs and dead letters.
    pub errors: u64,
    /// Records that could not be decoded or were refused by the store.
    pub dead_letters: u64,
    /// Received more than once.
    pub duplicates: u64,
    /// Inserted but not in the store when the drain ended.
    pub lost: u64,
    /// Spans below zero by more than their clocks' error, other than a late observer's: contradictions.
    pub negative_hops: u64,
    /// Spans below zero within their clocks' error.
    pub negative_within_error: u64,
    /// Records in Kafka before our reader had the row.
    pub observer_late: u64,
    /// Records that the consumer had before their acknowledgement was back at our producer.
    #[serde(default)]
    pub acknowledged_late: u64,
    /// Our reader and the envelope disagree on LSN or transaction.
    pub lsn_mismatches: u64,
}

/// Inserted events by type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(non_snake_case)] // the names of the events themselves
pub struct EventsByType {
    /// `UserCreated`.
    pub UserCreated: u64,
    /// `ActivityCreated`.
    pub ActivityCreated: u64,
    /// `ParticipantJoined`.
    pub ParticipantJoined: u64,
}

/// One capture path.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PathReport {
    /// By hop name.
    pub hops: BTreeMap<String, HopStatistics>,
    /// T5 - Ts: the total as seen from the schedule, so that coordinated omission shows.
    pub total_from_schedule: Option<HopStatistics>,
    /// T0 until the path itself had the row: Td on Debezium's path, T1 on ours.
    #[serde(default)]
    pub until_captured: Option<HopStatistics>,
    /// Events at each place of this path.
    #[serde(default)]
    pub counts: Counts,
    /// Events a second into its collection.
    #[serde(default)]
    pub throughput: Throughput,
    /// PostgreSQL compared with its collection.
    #[serde(default)]
    pub verification: Option<Verification>,
    /// Processor time of what worked for this path alone, seconds a million events: `walsender`, `connect`, `reader`,
    /// `producer`, `receiver`; `observer_walsender` and `observer_reader` for looking on; servers and `cdc-bench` as a
    /// whole where no other path was at work.
    #[serde(default)]
    pub cpu_s_per_million: BTreeMap<String, f64>,
    /// Hops with spans below zero, and what explains them.
    #[serde(default)]
    pub causality: Vec<Violation>,
    /// Its slowest hop, and what was found.
    #[serde(default)]
    pub diagnosis: Option<Diagnosis>,
    /// What it was called on the servers.
    #[serde(default)]
    pub names: PathNames,
    /// Its rounds, where the paths took turns.
    #[serde(default)]
    pub rounds: Vec<RoundReport>,
}

impl PathReport {
    /// Whether every event arrived, and as it was.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let is_match = |v: &Verification| v.missing + v.extra + v.differing == 0;
        self.counts.lost == 0 && self.verification.as_ref().is_none_or(is_match)
    }

    /// What it costs to bring events this way: processor time of all servers and of us, less our reader where it only
    /// looks on, seconds a million events. `None` where other paths were at work too, or servers are not ours.
    #[must_use]
    pub fn cpu_cost(&self) -> Option<f64> {
        // Parts of PostgreSQL, and of us.
        const PARTS: [&str; 4] = ["walsender", "reader", "producer", "receiver"];
        const LOOKING_ON: [&str; 2] = ["observer_walsender", "observer_reader"];
        let used = &self.cpu_s_per_million;
        if !used.contains_key("postgres") || !used.contains_key("cdc-bench") {
            return None;
        }
        let cost = used.iter().map(|(name, used)| match name.as_str() {
            name if PARTS.contains(&name) => 0.0,
            name if LOOKING_ON.contains(&name) => -used,
            _ => *used,
        });
        Some(cost.sum())
    }
}

/// What a path was called on the servers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathNames {
    /// Value of the measured rows' `run_id` column.
    pub run_id: String,
    /// Replication slot of what captured, where it is known; of the last round.
    pub slot: Option<String>,
    /// Topic.
    pub topic: Option<String>,
    /// Consumer group.
    pub group: Option<String>,
    /// Collection.
    pub collection: String,
}

/// A path's turn.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RoundReport {
    /// Its number, from 0, as in `events.jsonl`.
    pub round: u32,
    /// By hop name.
    pub hops: BTreeMap<String, HopStatistics>,
    /// Events a second.
    pub throughput: Throughput,
}

/// A foreign clock.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClockReport {
    /// `postgres`, `kafka` or `connect`.
    pub server: String,
    /// What it shows more than ours, at the start of the run.
    pub offset: i64,
    /// How far any stamp of the run may be off that was corrected by the measurements until then.
    pub error_bound: i64,
    /// How much the offset changed to the end of the run, by the line through its measurements; `null` when it was
    /// measured once.
    pub drift: Option<i64>,
    /// The slope of that line: how much the clock gains on ours, parts per million.
    #[serde(default)]
    pub drift_ppm: Option<f64>,
    /// Measurements, before, during and after the run.
    #[serde(default)]
    pub measurements: u64,
    /// How it was measured.
    pub method: String,
}

/// Something that happened in the run and shows in its latencies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// When it began, or was seen: RFC 3339, UTC. A checkpoint's beginning is known to a second, the interval at which the
    /// server is asked.
    pub at: jiff::Timestamp,
    /// `server_restart`, `connector_restart`; `load_paused`, `rate_changed`; `rebalance` of the consumer group;
    /// `checkpoint` of PostgreSQL. More may come.
    pub kind: String,
    /// In a few words, such as `kafka started again`.
    pub what: String,
    /// How long it went on: from partitions taken away to partitions handed out, a checkpoint's writing and syncing, a
    /// pause; `null` for a moment, for what did not end in the run, and where it is not known.
    #[serde(default)]
    pub took: Option<i64>,
}

/// [`Incident::kind`] of a rebalance of our consumer's group.
pub const REBALANCE: &str = "rebalance";
/// [`Incident::kind`] of a checkpoint of PostgreSQL.
pub const CHECKPOINT: &str = "checkpoint";
/// [`Incident::kind`] of a load that somebody paused.
pub const LOAD_PAUSED: &str = "load_paused";
/// [`Incident::kind`] of a load whose rate somebody changed.
pub const RATE_CHANGED: &str = "rate_changed";
/// [`Incident::kind`] of a warm-up that somebody ended before the servers had settled.
pub const WARM_UP_CUT: &str = "warm_up_cut";

impl Incident {
    /// Whether it was somebody at the keys, and not a server.
    #[must_use]
    pub fn is_steering(&self) -> bool {
        [LOAD_PAUSED, RATE_CHANGED, WARM_UP_CUT].contains(&self.kind.as_str())
    }
}

/// The stores compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Rows.
    pub postgres_count: u64,
    /// Documents.
    pub store_count: u64,
    /// Rows without a document.
    pub missing: u64,
    /// Documents without a row.
    pub extra: u64,
    /// Documents that differ from their row.
    pub differing: u64,
    /// Percent of documents that equal their row.
    pub match_percent: f64,
}

/// The result in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All objectives met, nothing lost, nothing differing.
    Pass,
    /// Not so.
    Fail,
}

/// This machine, as far as it tells.
#[must_use]
pub fn host() -> Host {
    let field = |file: &str, key: &str| {
        let text = std::fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let memory_kib = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    Host {
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        cores: std::thread::available_parallelism()
            .map_or(1, |n| u64::try_from(n.get()).unwrap_or(u64::MAX)),
        cpu: field("/proc/cpuinfo", "model name"),
        memory_mib: memory_kib.map(|kib| kib / 1024),
    }
}

/// What this process has used so far.
#[must_use]
pub fn program() -> Program {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
        return Program::default();
    };
    // Linux counts in KiB, macOS in bytes.
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    let bytes = u64::try_from(usage.max_rss()).unwrap_or(0) * unit;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Program {
        peak_memory_mib: Some(bytes / (1024 * 1024)),
        cpu_s: u64::try_from(micros)
            .ok()
            .map(|micros| std::time::Duration::from_micros(micros).as_secs_f64()),
    }
}
